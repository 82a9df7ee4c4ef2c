//! Commands that need the trainer, in builds without it.
#![cfg(not(feature = "train"))]
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::process::Command;

#[test]
fn without_the_trainer_commands_say_how_to_get_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("photos.csv");
    std::fs::create_dir(dir.path().join("photos")).unwrap();
    std::fs::write(&data, "image,identity\n").unwrap();
    let run = dir.path().join("run");
    for command in [
        &["train", "--run"][..],
        &["train-detector", "--run"],
        &["ensemble", "classify", "some.flukebundle", "--out"],
    ] {
        let mut flukewatch = Command::new(env!("CARGO_BIN_EXE_flukewatch"));
        flukewatch.args(command).arg(&run);
        let table = if command[0] == "ensemble" {
            "--train"
        } else {
            "--data"
        };
        let output = flukewatch.arg(table).arg(&data).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(
            error.contains("cargo xtask setup") && error.contains("--features train"),
            "{error}"
        );
    }
}
