//! A bundle on its way from the publisher over the station to a boat at work, with real programs and a real
//! broker.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_tests::boat::{Boat, Camera, KNOWN, text};
use flukewatch_tests::bundle::tiny;
use flukewatch_tests::program::{Program, Running};
use flukewatch_tests::station::Station;
use flukewatch_tests::wait::until;
use serde_json::Value;
use std::path::PathBuf;

/// A station with certificates, and a boat with an identity whose bundle is version 1.
struct Fleet {
    folder: tempfile::TempDir,
    station: Station,
    boat: Boat,
}

impl Fleet {
    /// `None` where mosquitto is not installed.
    fn new(trial_minutes: f64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("station");
        let station = Station::start_with_certificates(&data)?;
        let identity = folder.path().join("identity");
        Program::Shore
            .run(&[
                "provision",
                "balaena",
                "--data",
                text(&data),
                "--out",
                text(&identity),
            ])
            .succeeded();
        let port = station.mqtt().port();
        let boat = Boat::new(
            &folder.path().join("boat"),
            "balaena",
            Camera::Stills(20.0),
            port,
        );
        boat.set_stills(100);
        let fleet = Self {
            folder,
            station,
            boat,
        };
        let key = fleet.keygen("publisher.key");
        fleet.boat.rewrite(|toml| {
            let trust = format!("trusted_keys = [\"{key}\"]\ntrial_minutes = {trial_minutes:?}");
            let uplink = format!("[uplink]\nidentity = \"{}\"", text(&identity));
            toml.replace("allow_unsigned = true", &trust)
                .replace("[uplink]", &uplink)
                .replace("mqtt://", "mqtts://")
        });
        fleet.sign(&fleet.boat.bundle(), "publisher.key", 1);
        Some(fleet)
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    fn keygen(&self, name: &str) -> String {
        let made = Program::Host
            .run(&["keygen", text(&self.path(name)), "--json"])
            .succeeded()
            .json();
        made["key"].as_str().unwrap().to_owned()
    }

    fn sign(&self, bundle: &std::path::Path, key: &str, version: u64) {
        let (key, version) = (self.path(key), version.to_string());
        let arguments = [
            "sign",
            text(bundle),
            "--key",
            text(&key),
            "--version",
            &version,
        ];
        Program::Host.run(&arguments).succeeded();
    }

    /// Offers a new bundle of so many whales.
    fn offer(&self, whales: u32, key: &str, version: u64) {
        let bundle = self.path(&format!("offered-{whales}-{version}.flukebundle"));
        tiny(whales).save(&bundle).unwrap();
        self.sign(&bundle, key, version);
        let data = self.path("station");
        let offer = [
            "offer",
            text(&bundle),
            "--data",
            text(&data),
            "--boat",
            "balaena",
        ];
        Program::Shore.run(&offer).succeeded();
    }

    /// What the station knows of the last offer.
    fn transfer(&self) -> Value {
        let boats = self.station.get("/api/v1/boats");
        boats[0]["bundle_transfers"][0].clone()
    }

    fn wait_for(&self, version: u64, progress: &str) -> Value {
        until(&format!("version {version} is {progress}"), || {
            let transfer = self.transfer();
            transfer["version"] == version && transfer["progress"] == progress
        });
        self.transfer()
    }

    fn start(&self) -> Running {
        let mut command = self.boat.command();
        command.env("STATE_DIRECTORY", self.path("state"));
        let mut boat = Running::start(command);
        boat.wait_for_log("session started");
        boat
    }

    /// The version of the bundle that worked last.
    fn noted_version(&self) -> Option<u64> {
        let file = self.boat.outbox().join("accepted-bundle.json");
        let noted: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
        noted["version"].as_u64()
    }

    /// What `flukewatch-edge trust` says of the bundle in use.
    fn in_use(&self) -> Value {
        let config = self.boat.config();
        let trust = ["trust", "--config", text(&config), "--json"];
        Program::Edge.run(&trust).succeeded().json()
    }
}

#[test]
fn a_bundle_that_is_offered_becomes_active_on_a_boat_at_work() {
    let Some(fleet) = Fleet::new(0.02) else {
        return;
    };
    let boat = fleet.start();
    until("version 1 works", || fleet.noted_version() == Some(1));
    fleet.offer(KNOWN + 3, "publisher.key", 2);
    let active = fleet.wait_for(2, "active");
    assert_eq!(active["received_bytes"], active["total_bytes"], "{active}");
    until("version 2 is noted", || fleet.noted_version() == Some(2));
    let in_use = fleet.in_use();
    assert_eq!(in_use["version"], 2, "{in_use}");
    assert!(in_use["bundle"].as_str().unwrap().contains("/bundles/"));
    boat.signal("TERM");
    let ended = boat.finish().succeeded();
    assert!(ended.stderr.contains("trial passed"), "{}", ended.stderr);
    // It stays in use after a restart, and sightings name it.
    let boat = fleet.start();
    let id = &active["manifest_sha256"].as_str().unwrap()[..12];
    until("a sighting of the new bundle", || {
        let sightings = fleet.station.sightings();
        sightings.iter().any(|s| {
            s["bundle"]
                .as_str()
                .is_some_and(|bundle| bundle.starts_with(id))
        })
    });
    boat.signal("TERM");
    boat.finish().succeeded();
}

#[test]
fn foreign_and_older_bundles_are_rejected_and_the_station_says_why() {
    let Some(fleet) = Fleet::new(0.02) else {
        return;
    };
    fleet.sign(&fleet.boat.bundle(), "publisher.key", 7);
    let boat = fleet.start();
    until("version 7 works", || fleet.noted_version() == Some(7));
    let stranger = fleet.keygen("stranger.key");
    fleet.offer(6, "stranger.key", 9);
    let rejected = fleet.wait_for(9, "rejected");
    let reason = rejected["reason"].as_str().unwrap();
    assert!(reason.contains(&stranger), "{reason}");
    fleet.offer(6, "publisher.key", 6);
    let rejected = fleet.wait_for(6, "rejected");
    let reason = rejected["reason"].as_str().unwrap();
    assert!(reason.contains("older than version 7"), "{reason}");
    assert_eq!(fleet.in_use()["version"], 7);
    // It has not disturbed the boat.
    fleet.offer(6, "publisher.key", 8);
    fleet.wait_for(8, "active");
    boat.signal("TERM");
    boat.finish().succeeded();
}

#[test]
fn a_bundle_that_brings_the_program_down_is_rolled_back() {
    // Longer than the test.
    let Some(fleet) = Fleet::new(60.0) else {
        return;
    };
    let boat = fleet.start();
    until("version 1 works", || fleet.noted_version() == Some(1));
    fleet.offer(6, "publisher.key", 2);
    fleet.wait_for(2, "on_trial");
    boat.kill();
    for _ in 0..3 {
        let boat = fleet.start();
        assert!(!boat.stderr().contains("rolled back"));
        boat.kill();
    }
    let boat = fleet.start();
    let rolled_back = fleet.wait_for(2, "rolled_back");
    let reason = rolled_back["reason"].as_str().unwrap();
    assert!(reason.contains("3 starts"), "{reason}");
    let in_use = fleet.in_use();
    assert_eq!(
        (&in_use["version"], &in_use["error"]),
        (&1.into(), &Value::Null)
    );
    boat.signal("TERM");
    boat.finish().succeeded();
}

#[test]
fn a_person_returns_to_the_bundle_before() {
    let Some(fleet) = Fleet::new(0.02) else {
        return;
    };
    let mut boat = fleet.start();
    until("version 1 works", || fleet.noted_version() == Some(1));
    fleet.offer(6, "publisher.key", 2);
    fleet.wait_for(2, "active");
    let config = fleet.boat.config();
    let roll_back = ["trust", "--config", text(&config), "--roll-back"];
    Program::Edge.run(&roll_back).succeeded();
    assert_eq!(fleet.in_use()["version"], 1);
    Program::Edge
        .run(&roll_back)
        .failed(1, &["nothing to return to"]);
    boat.signal("HUP");
    boat.wait_for_log("reloading the configuration");
    until("version 1 works again", || fleet.noted_version() == Some(1));
    boat.signal("TERM");
    boat.finish().succeeded();
}

#[test]
fn a_bundle_that_the_disk_damages_is_replaced_by_the_one_before() {
    let Some(fleet) = Fleet::new(0.02) else {
        return;
    };
    let boat = fleet.start();
    until("version 1 works", || fleet.noted_version() == Some(1));
    fleet.offer(6, "publisher.key", 2);
    let active = fleet.wait_for(2, "active");
    boat.signal("TERM");
    boat.finish().succeeded();
    let manifest = active["manifest_sha256"].as_str().unwrap();
    let received = fleet.boat.outbox().join("bundles").join(manifest);
    std::fs::write(received.join("model.onnx"), "damaged").unwrap();
    // No link is needed for it.
    let boat = fleet.start();
    assert!(boat.stderr().contains("rolled back"), "{}", boat.stderr());
    let in_use = fleet.in_use();
    assert_eq!(
        (&in_use["version"], &in_use["error"]),
        (&1.into(), &Value::Null)
    );
    boat.signal("TERM");
    boat.finish().succeeded();
}
