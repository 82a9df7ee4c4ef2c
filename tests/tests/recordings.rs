//! What stays on board of an encounter: its recording, its clip, and a second look with a newer bundle.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_tests::boat::{Boat, Camera, KNOWN, text};
use flukewatch_tests::bundle;
use flukewatch_tests::program::Program;
use flukewatch_tests::station::Station;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// A whale that the first bundle does not have, and a newer one has.
const LATER: u32 = KNOWN;

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = all
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    files.sort();
    files
}

fn reprocess(boat: &Boat, more: &[&str]) -> Value {
    let config = boat.config();
    let command = ["reprocess", "--config", text(&config), "--json"];
    Program::Edge
        .run(&[&command, more].concat())
        .succeeded()
        .json()
}

#[test]
fn recorded_encounters_are_identified_again_with_a_newer_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let station = Station::start(&folder.path().join("shore"));
    let boat = Boat::new(
        &folder.path().join("boat"),
        "balaena",
        Camera::Video,
        station.mqtt().port(),
    );
    boat.set_video(&[
        (Some(3), 8),
        (None, 15),
        (Some(LATER), 8),
        (None, 15),
        (Some(1), 6),
    ]);
    boat.run(40).succeeded();
    boat.assert_delivered();
    let before = station.has_all("balaena", 3);
    assert_eq!(before[1]["verdict"], "new");

    let recordings = files(&boat.outbox().join("recordings"), "tar");
    assert_eq!(recordings.len(), 3);
    let clips = files(&boat.outbox().join("clips"), "avi");
    let descriptions = files(&boat.outbox().join("clips"), "json");
    assert!(!clips.is_empty() && clips.len() == descriptions.len());
    let frames: usize = descriptions
        .iter()
        .map(|file| {
            let clip: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
            assert_eq!(clip["camera"], "main");
            clip["frames"].as_array().unwrap().len()
        })
        .sum();
    // Each fluke's frames at least, and no more than there are.
    assert!((22..=52).contains(&frames), "{frames}");

    assert_eq!(reprocess(&boat, &[]), json!([]), "the same bundle");
    bundle::tiny(LATER + 1).save(&boat.bundle()).unwrap();
    let changes = |found: &Value| -> Vec<(Value, Value, Value)> {
        let all = found.as_array().unwrap().iter();
        all.map(|one| {
            (
                one["before"].clone(),
                one["after"].clone(),
                one["queued"].clone(),
            )
        })
        .collect()
    };
    let known = |whale: u32| json!(format!("known {}", bundle::name(whale)));
    let dry = changes(&reprocess(&boat, &["--dry-run"]));
    let expected = |queued| {
        vec![
            (known(3), known(3), json!(queued)),
            (json!("new"), known(LATER), json!(queued)),
            (known(1), known(1), json!(queued)),
        ]
    };
    assert_eq!(dry, expected(false));
    assert_eq!(boat.listing()["pending"], json!([]));
    assert_eq!(changes(&reprocess(&boat, &[])), expected(true));

    boat.set_video(&[(None, 3)]);
    boat.run(40).succeeded();
    boat.assert_delivered();
    let after = station.has_all("balaena", 3);
    assert_eq!(
        (
            &after[1]["verdict"],
            &after[1]["whale"],
            &after[1]["revision"]
        ),
        (&json!("known"), &json!(bundle::name(LATER)), &json!(2))
    );
    let id = after[1]["id"].as_str().unwrap();
    let one = station.get(&format!("/api/v1/sightings/{id}"));
    let earlier = one["earlier_revisions"].as_array().unwrap();
    assert_eq!(earlier.len(), 1);
    assert_eq!(earlier[0]["verdict"], "new");
}
