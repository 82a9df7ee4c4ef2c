//! Damaged bundles (a changed byte, a missing part, a cut-off file): every program names the part and
//! changes nothing.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_tests::boat::{Boat, Camera, text};
use flukewatch_tests::bundle::tiny;
use flukewatch_tests::program::Program;
use flukewatch_tests::station::Station;
use std::fs;
use std::path::Path;

const PARTS: [(&str, &str); 4] = [
    ("model", "model.onnx"),
    ("catalogue", "catalogue.bin"),
    ("decision", "decision.json"),
    ("card", "CARD.md"),
];

/// Changes the middle byte of a file.
fn change(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).unwrap();
}

/// Asserts that the workstation's and the boat's programs reject `bundle` with these words.
fn refused(bundle: &Path, words: &[&str]) {
    Program::Host
        .run(&["inspect", text(bundle)])
        .failed(1, words);
    let check = Program::Edge.run(&["check", "--bundle", text(bundle)]);
    assert_eq!(check.code, Some(1), "{check:?}");
    for word in [&["ERROR bundle: "], words].concat() {
        assert!(
            check.stdout.contains(word),
            "'{word}' is not in {}",
            check.stdout
        );
    }
}

#[test]
fn a_changed_byte_is_reported_with_its_part() {
    for (part, file) in PARTS {
        let folder = tempfile::tempdir().unwrap();
        let bundle = folder.path().join("whales");
        tiny(3).save(&bundle).unwrap();
        change(&bundle.join(file));
        refused(
            &bundle,
            &[
                text(&bundle),
                &format!("its {part} does not match the manifest"),
            ],
        );
    }
}

#[test]
fn a_missing_part_is_named() {
    for (part, file) in PARTS {
        let folder = tempfile::tempdir().unwrap();
        let bundle = folder.path().join("whales");
        tiny(3).save(&bundle).unwrap();
        fs::remove_file(bundle.join(file)).unwrap();
        refused(&bundle, &[text(&bundle), &format!("its {part} is missing")]);
    }
}

#[test]
fn a_damaged_single_file_bundle_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("whales.flukebundle");
    tiny(3).save(&bundle).unwrap();
    let whole = fs::read(&bundle).unwrap();
    // The model's name occurs only in its first bytes.
    let at = whole.windows(7).position(|w| w == b"flatten").unwrap();
    let mut changed = whole.clone();
    changed[at] ^= 1;
    fs::write(&bundle, changed).unwrap();
    refused(&bundle, &["its model does not match the manifest"]);
    fs::write(&bundle, &whole[..at]).unwrap();
    refused(&bundle, &[text(&bundle), "the file is damaged or cut off"]);
    fs::write(&bundle, []).unwrap();
    refused(&bundle, &[text(&bundle), "is not a bundle"]);
}

#[test]
fn a_boat_and_a_station_do_not_start_with_a_damaged_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let boat = Boat::new(
        &folder.path().join("boat"),
        "balaena",
        Camera::Stills(50.0),
        1,
    );
    boat.set_stills(1);
    let bundle = folder.path().join("boat/whales.flukebundle");
    change(&bundle);
    boat.run(1)
        .failed(1, &["error: bundle ", "whales.flukebundle"]);
    assert!(!boat.outbox().join("outbox.sqlite3").exists());

    let (data, photos) = (folder.path().join("shore"), folder.path().join("photos"));
    fs::create_dir(&photos).unwrap();
    let serve = [
        "serve",
        "--data",
        text(&data),
        "--http",
        "127.0.0.1:0",
        "--mqtt",
        "127.0.0.1:0",
    ];
    let shown = ["--bundle", text(&bundle), "--photos", text(&photos)];
    Program::Shore
        .run(&[&serve[..], &shown].concat())
        .failed(1, &["flukewatch-shore: bundle ", "whales.flukebundle"]);
    drop(Station::start(&data));
}
