//! Settings that a person on shore sends to a boat at work, with real programs and a real broker.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_common::boat_settings::{BoatSettings, SettingValue};
use flukewatch_common::bundle::{Bundle, NewBundle, Precision, View};
use flukewatch_common::catalogue::{Catalogue, Enrolled};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::decision::DecisionRule;
use flukewatch_common::embedding::Embedding;
use flukewatch_common::{topic, wire};
use flukewatch_inference::samples::onnx::{bytes, node, passthrough_model};
use flukewatch_inference::samples::{
    CREATED, detector_info, detector_model, model_info, preparation,
};
use flukewatch_test_support::mosquitto::Mosquitto;
use flukewatch_tests::boat::{Boat, Camera, text};
use flukewatch_tests::mqtt::Client;
use flukewatch_tests::pictures::jpeg;
use flukewatch_tests::program::{Finished, Program, Running};
use flukewatch_tests::station::Station;
use flukewatch_tests::wait::until;
use flukewatch_trust::{Purpose, SigningKey, seal};
use image::{Rgb, RgbImage, imageops};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A broker, a station that signs its messages, and a boat with an identity.
struct Fleet {
    folder: tempfile::TempDir,
    broker: Mosquitto,
    station: Station,
    boat: Boat,
}

impl Fleet {
    /// `None` where mosquitto is not installed.
    fn new(camera: Camera, trial_minutes: f64) -> Option<Self> {
        let broker = Mosquitto::start("")?;
        let folder = tempfile::tempdir().unwrap();
        let (data, identity) = (
            folder.path().join("station"),
            folder.path().join("identity"),
        );
        let station = Station::start_signed_on(&data, &broker.url());
        let provision = [
            "provision",
            "balaena",
            "--data",
            text(&data),
            "--out",
            text(&identity),
        ];
        Program::Shore.run(&provision).succeeded();
        let boat = Boat::new(
            &folder.path().join("boat"),
            "balaena",
            camera,
            broker.port(),
        );
        boat.rewrite(|toml| {
            let trial = format!("allow_unsigned = true\ntrial_minutes = {trial_minutes:?}");
            let uplink = format!("[uplink]\nidentity = \"{}\"", text(&identity));
            toml.replace("allow_unsigned = true", &trial)
                .replace("[uplink]", &uplink)
        });
        Some(Self {
            folder,
            broker,
            station,
            boat,
        })
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    fn start(&self) -> Running {
        let mut command = self.boat.command();
        command.env("STATE_DIRECTORY", self.path("state"));
        command.env("RUST_LOG", "info,flukewatch_edge::received_settings=debug");
        let mut boat = Running::start(command);
        boat.wait_for_log("session started");
        boat
    }

    /// `flukewatch-shore settings` with these arguments.
    fn settings(&self, arguments: &[&str]) -> Finished {
        let data = self.path("station");
        let settings = ["settings", "--data", text(&data)];
        Program::Shore.run(&[&settings, arguments].concat())
    }

    fn send(&self, arguments: &[&str]) {
        let boat = ["--boat", "balaena"];
        self.settings(&[&boat, arguments].concat()).succeeded();
    }

    /// What the station shows of the boat.
    fn boat_on_shore(&self) -> Value {
        self.station.get("/api/v1/boats")[0].clone()
    }

    fn wait_for(&self, revision: u64, progress: &str) -> Value {
        until(&format!("revision {revision} is {progress}"), || {
            let settings = &self.boat_on_shore()["settings"];
            settings["revision"] == revision && settings["progress"] == progress
        });
        self.boat_on_shore()["settings"].clone()
    }

    /// The boat's health document.
    fn health(&self) -> Value {
        let file = self.boat.outbox().join("health.json");
        let read = std::fs::read(file).unwrap_or_default();
        serde_json::from_slice(&read).unwrap_or_default()
    }

    /// What `flukewatch-edge check` says of the settings.
    fn checked(&self) -> String {
        let config = self.boat.config();
        let check = ["check", "--config", text(&config), "--json"];
        let results = Program::Edge.run(&check).succeeded().json();
        let mut results = results.as_array().unwrap().iter();
        let settings = results.find(|result| result["part"] == "settings").unwrap();
        settings["message"].as_str().unwrap().to_owned()
    }

    /// A message with these values, as the station would encode it.
    fn message(&self, revision: u64, values: &[(u8, SettingValue)]) -> Vec<u8> {
        let boat = "balaena".parse().unwrap();
        let mut settings = BoatSettings::new(boat, revision, Timestamp(1_795_450_800_000), &[]);
        settings.values = values.to_vec();
        wire::encode(&settings).unwrap()
    }

    /// Publishes messages to the boat, past the station.
    fn publish(&self, messages: &[Vec<u8>]) {
        let broker = ([127, 0, 0, 1], self.broker.port()).into();
        let mut client = Client::connect(broker, "mallory").unwrap();
        let topic = topic::of_settings(&"balaena".parse().unwrap());
        for message in messages {
            client.publish(&topic, message).unwrap();
        }
    }

    /// A message with the signature of the station.
    fn signed(&self, message: &[u8]) -> Vec<u8> {
        let key = SigningKey::read_file(&self.path("station/authority/station.key")).unwrap();
        seal(&key, Purpose::StationMessage, message)
    }
}

fn end(boat: Running) -> String {
    boat.signal("TERM");
    boat.finish().succeeded().stderr
}

#[test]
fn settings_are_applied_survive_a_restart_and_are_cleared() {
    let Some(fleet) = Fleet::new(Camera::Stills(20.0), 0.02) else {
        return;
    };
    fleet.boat.set_stills(100);
    let boat = fleet.start();
    until("the boat reports", || {
        fleet.boat_on_shore()["status"].is_object()
    });
    assert_eq!(fleet.boat_on_shore()["settings"], Value::Null);
    fleet.send(&["uplink.link=lte", "clip.days=14"]);
    let active = fleet.wait_for(1, "active");
    assert_eq!(
        (&active["in_use"], &active["reason"]),
        (&1.into(), &Value::Null)
    );
    assert_eq!(
        active["values"],
        serde_json::json!(["clip.days=14", "uplink.link=lte"])
    );
    until("the link is used as LTE", || {
        fleet.boat_on_shore()["status"]["link"]["class"] == "lte"
    });
    let log = end(boat);
    assert!(log.contains("settings from shore work"), "{log}");

    // After a restart, without a word from shore.
    std::fs::remove_file(fleet.boat.outbox().join("health.json")).unwrap();
    let in_place = "in place of the file's values: clip.days=14, uplink.link=lte";
    let checked = fleet.checked();
    assert!(
        checked.contains("revision 1") && checked.contains(in_place),
        "{checked}"
    );
    let boat = fleet.start();
    until("the restarted boat uses them", || {
        let health = fleet.health();
        health["link"]["class"] == "lte" && health["settings"]["report"]["progress"] == "active"
    });
    // One key is changed, and the other stays.
    fleet.send(&["clip.days=7"]);
    let changed = fleet.wait_for(2, "active");
    assert_eq!(
        changed["values"],
        serde_json::json!(["clip.days=7", "uplink.link=lte"])
    );
    fleet.send(&["--clear"]);
    let cleared = fleet.wait_for(3, "active");
    assert_eq!(cleared["values"], serde_json::json!([]));
    until("the link is used as the file says", || {
        fleet.boat_on_shore()["status"]["link"] == Value::Null
    });
    let list = fleet.settings(&["--json"]).succeeded().json();
    assert_eq!(
        (&list[0]["boat"], &list[0]["in_use"]),
        (&"balaena".into(), &3.into())
    );
    end(boat);
}

#[test]
fn invalid_older_and_forged_settings_are_not_used() {
    let Some(fleet) = Fleet::new(Camera::Stills(20.0), 0.02) else {
        return;
    };
    fleet.boat.set_stills(100);
    let boat = fleet.start();
    // The station's command does not even send an invalid value.
    fleet
        .settings(&["--boat", "balaena", "clip.days=-1"])
        .failed(2, &["clip.days: must be 0 to 3650, not -1"]);
    fleet
        .settings(&["--boat", "balaena", "uplink.broker=mqtt://elsewhere"])
        .failed(
            2,
            &[
                "'uplink.broker' cannot be set from shore",
                "detector.threshold",
            ],
        );
    // Another version of the station might: one invalid value rejects all of them.
    let number = SettingValue::Number;
    let invalid = fleet.message(5, &[(1, number(0.4)), (6, number(-1.0))]);
    fleet.publish(&[fleet.signed(&invalid)]);
    let rejected = fleet.wait_for(5, "rejected");
    assert_eq!(rejected["reason"], "clip.days: must be 0 to 3650, not -1");
    assert_eq!(rejected["in_use"], 0);
    fleet.publish(&[fleet.signed(&fleet.message(6, &[(200, number(1.0))]))]);
    let rejected = fleet.wait_for(6, "rejected");
    let reason = rejected["reason"].as_str().unwrap();
    assert!(reason.contains("setting 200 is unknown"), "{reason}");
    // It has not disturbed the boat. The station counts on from what the boat reports.
    fleet.send(&["clip.days=7"]);
    fleet.wait_for(7, "active");

    let older = fleet.message(3, &[(6, number(9.0))]);
    let newer = fleet.message(100, &[(6, number(9.0))]);
    let stranger = SigningKey::from_seed([1; 32]);
    let of_boat = SigningKey::read_file(&fleet.path("identity/boat.key")).unwrap();
    fleet.publish(&[
        fleet.signed(&older),
        newer.clone(),
        seal(&stranger, Purpose::StationMessage, &newer),
        seal(&of_boat, Purpose::StationMessage, &newer),
        seal(&of_boat, Purpose::BoatMessage, &newer),
    ]);
    until("the older one is ignored", || {
        boat.stderr().contains("are not newer")
    });
    until("the forged ones are counted", || {
        fleet.health()["invalid_signatures"] == 4
    });
    let settings = fleet.boat_on_shore()["settings"].clone();
    assert_eq!(
        (&settings["revision"], &settings["in_use"]),
        (&7.into(), &7.into())
    );
    let checked = fleet.checked();
    assert!(
        checked.ends_with("in place of the file's values: clip.days=7"),
        "{checked}"
    );
    let log = end(boat);
    assert_eq!(
        log.matches("settings from shore accepted").count(),
        1,
        "{log}"
    );
}

#[test]
fn settings_on_trial_when_the_program_is_killed_again_and_again_are_rolled_back() {
    // Longer than the test.
    let Some(fleet) = Fleet::new(Camera::Stills(20.0), 60.0) else {
        return;
    };
    fleet.boat.set_stills(100);
    let boat = fleet.start();
    fleet.send(&["clip.days=14"]);
    fleet.wait_for(1, "on_trial");
    boat.kill();
    for _ in 0..3 {
        let boat = fleet.start();
        assert!(!boat.stderr().contains("rolled back"));
        boat.kill();
    }
    let boat = fleet.start();
    let rolled_back = fleet.wait_for(1, "rolled_back");
    let reason = rolled_back["reason"].as_str().unwrap();
    assert!(reason.contains("3 starts"), "{reason}");
    assert_eq!(rolled_back["in_use"], 0);
    // What did not work is not sent again with the next ones.
    fleet.send(&["archive.days=3"]);
    let next = fleet.wait_for(2, "on_trial");
    assert_eq!(next["values"], serde_json::json!(["archive.days=3"]));
    end(boat);
}

/// With a detector whose threshold hides everything, a faulty model does not matter; with a lower one from shore, no
/// encounter can be identified.
#[test]
fn a_threshold_that_makes_identification_fail_is_rolled_back() {
    let Some(fleet) = Fleet::new(Camera::Video, 60.0) else {
        return;
    };
    faulty_bundle(&fleet.boat.bundle());
    let sea = RgbImage::from_pixel(320, 160, Rgb([30; 3]));
    let mut fluke = sea.clone();
    imageops::replace(
        &mut fluke,
        &RgbImage::from_pixel(100, 60, Rgb([255; 3])),
        80,
        40,
    );
    let (sea, fluke) = (jpeg(&sea), jpeg(&fluke));
    let script = [(&sea, 10), (&fluke, 8), (&sea, 30), (&fluke, 8), (&sea, 30)];
    let frames = script
        .into_iter()
        .flat_map(|(frame, count)| std::iter::repeat_n(frame, count));
    let frames = frames
        .enumerate()
        .map(|(i, frame)| (format!("{i:06}.jpg"), frame.clone()));
    fleet.boat.set_frames(frames);
    fleet
        .boat
        .rewrite(|toml| toml + "\n[detector]\nthreshold = 1.0\n");
    let boat = fleet.start();
    fleet.send(&["detector.threshold=0.5"]);
    let rolled_back = fleet.wait_for(1, "rolled_back");
    let reason = rolled_back["reason"].as_str().unwrap();
    assert!(
        reason.contains("encounters could be identified"),
        "{reason}"
    );
    assert_eq!(rolled_back["in_use"], 0);
    let health = fleet.health();
    assert_eq!(health["settings"]["values"], serde_json::json!([]));
    let log = end(boat);
    assert!(log.contains("settings from shore rolled back"), "{log}");
}

/// A bundle with a detector of bright areas, and a model that makes no embeddings of what is dark.
fn faulty_bundle(path: &Path) {
    let (height, width) = (8, 16);
    let mut model = passthrough_model(height, width);
    let graph = model.graph.as_mut().unwrap();
    graph.node = vec![
        node("Flatten", "flatten", &["image"], "flat"),
        node("Log", "log", &["flat"], "embedding"),
    ];
    let dimension = (height * width) as usize;
    let mut catalogue = Catalogue::new(dimension);
    let entry = Enrolled {
        photo: "W0.jpg".into(),
        whale: "W0".into(),
        source: "drawn".into(),
        ..Enrolled::default()
    };
    let embedding = Embedding::normalised(vec![1.0; dimension]).unwrap();
    catalogue.enrol(entry, &embedding).unwrap();
    let bundle = Bundle::new(NewBundle {
        name: "faulty",
        created: CREATED,
        preparation: preparation(height, width),
        views: vec![View::Plain],
        model_info: model_info(Precision::F32),
        model: bytes(&model),
        catalogue,
        decision: DecisionRule::thresholds(0.8, 0.6, "nothing"),
        card: "# faulty\n\nFor tests.\n".into(),
    });
    let detector = (detector_info(), detector_model(20.0, -10.0));
    let bundle = bundle.unwrap().with_detector(Some(detector)).unwrap();
    bundle.save(path).unwrap();
}

#[test]
fn a_boat_whose_file_forbids_settings_says_so() {
    let Some(fleet) = Fleet::new(Camera::Stills(20.0), 0.02) else {
        return;
    };
    fleet.boat.set_stills(100);
    fleet
        .boat
        .rewrite(|toml| toml + "\n[settings]\nover_the_air = false\n");
    let boat = fleet.start();
    fleet.send(&["uplink.link=lte"]);
    let rejected = fleet.wait_for(1, "rejected");
    let reason = rejected["reason"].as_str().unwrap();
    assert!(reason.contains("settings.over_the_air"), "{reason}");
    assert_eq!(fleet.health()["link"]["class"], "harbour");
    end(boat);
}
