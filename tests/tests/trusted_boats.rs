//! A boat with an identity, and a station whose broker demands one.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_tests::boat::{Boat, Camera, text};
use flukewatch_tests::program::Program;
use flukewatch_tests::station::Station;
use flukewatch_tests::wait::until;
use std::path::{Path, PathBuf};

/// Makes the identity of `boat` on the station with this data folder.
fn provision(data: &Path, boat: &str, out: &Path) -> PathBuf {
    let arguments = ["provision", boat, "--data", text(data), "--out", text(out)];
    Program::Shore.run(&arguments).succeeded();
    out.to_owned()
}

/// A boat that uses `identity` with the station's broker.
fn boat(folder: &Path, station: &Station, identity: &Path) -> Boat {
    let boat = Boat::new(
        folder,
        "balaena",
        Camera::Stills(20.0),
        station.mqtt().port(),
    );
    boat.rewrite(|config| {
        let line = format!("[uplink]\nidentity = \"{}\"", text(identity));
        config
            .replace("[uplink]", &line)
            .replace("mqtt://127.0.0.1", "mqtts://127.0.0.1")
    });
    boat.set_stills(6);
    boat
}

#[test]
fn sightings_arrive_signed_and_encrypted() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("station");
    let Some(station) = Station::start_with_certificates(&data) else {
        return;
    };
    let identity = provision(&data, "balaena", &folder.path().join("identity"));
    let boat = boat(&folder.path().join("boat"), &station, &identity);
    boat.run(60).succeeded();
    boat.assert_delivered();
    assert_eq!(station.count(), boat.accepted());
    let check = Program::Edge.run(&["check", "--config", text(&boat.config())]);
    assert!(
        check.stdout.contains("messages are signed"),
        "{}",
        check.stdout
    );
    let health = station.get("/api/v1/health");
    assert_eq!(health["broker_process"]["running"], true, "{health}");
}

#[test]
fn a_revoked_boat_keeps_its_sightings_until_it_has_a_new_identity() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("station");
    let Some(station) = Station::start_with_certificates(&data) else {
        return;
    };
    let identity = provision(&data, "balaena", &folder.path().join("identity"));
    Program::Shore
        .run(&["revoke", "balaena", "--data", text(&data)])
        .succeeded();
    let boat = boat(&folder.path().join("boat"), &station, &identity);
    let failed = boat.run(8);
    assert_eq!(station.count(), 0, "{}", failed.stderr);
    let accepted = boat.accepted();
    assert!(accepted > 0);

    let renewed = provision(&data, "balaena", &folder.path().join("renewed"));
    boat.rewrite(|config| config.replace(text(&identity), text(&renewed)));
    boat.run(60).succeeded();
    boat.assert_delivered();
    assert_eq!(station.count(), boat.accepted());
}

#[test]
fn the_identity_of_another_boat_delivers_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("station");
    let Some(station) = Station::start_with_certificates(&data) else {
        return;
    };
    let identity = provision(&data, "mysticeta", &folder.path().join("identity"));
    let boat = boat(&folder.path().join("boat"), &station, &identity);
    let failed = boat.run(8);
    assert!(
        failed
            .stderr
            .contains("does the certificate belong to this boat"),
        "{}",
        failed.stderr
    );
    assert_eq!(station.count(), 0);
    let pending = boat.listing()["pending"].as_array().unwrap().len();
    assert!(
        pending > 0
            && boat.listing()["dead_letters"]
                .as_array()
                .unwrap()
                .is_empty()
    );
}

#[test]
fn a_broker_elsewhere_needs_an_identity_or_a_lab() {
    let folder = tempfile::tempdir().unwrap();
    let boat = Boat::new(folder.path(), "balaena", Camera::Stills(20.0), 1883);
    boat.rewrite(|config| config.replace("mqtt://127.0.0.1", "mqtt://192.0.2.1"));
    let check = || Program::Edge.run(&["check", "--config", text(&boat.config())]);
    let rejected = check().failed(1, &[]);
    let output = [rejected.stdout, rejected.stderr].concat();
    assert!(output.contains("allow_unsigned"), "{output}");
    boat.rewrite(|config| config.replace("[uplink]", "[uplink]\nallow_unsigned = true"));
    until("the configuration is valid", || {
        check().stdout.contains("messages are not signed")
    });
}
