//! The program's interface for scripts: exit codes, stdout and stderr.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::path::Path;
use std::process::{Command, Output};

fn edge(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_flukewatch-edge"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A folder with the example configuration and empty files where it points.
fn boat() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("edge.toml"),
        include_str!("../edge.example.toml"),
    )
    .unwrap();
    std::fs::write(folder.path().join("whales.flukebundle"), "not a bundle").unwrap();
    std::fs::create_dir(folder.path().join("frames")).unwrap();
    folder
}

#[test]
fn check_names_the_line_and_exits_with_1() {
    let boat = boat();
    let file = boat.path().join("edge.toml");
    let example = std::fs::read_to_string(&file).unwrap();
    let line = 1 + example
        .lines()
        .position(|l| l == "name = \"balaena\"")
        .unwrap();
    let broken = example.replace("name = \"balaena\"", "name = \"Balaena\"");
    std::fs::write(&file, broken).unwrap();
    let output = edge(&["check", "--config", "edge.toml"], boat.path());
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    let expected = format!("ERROR config: edge.toml:{line}: [boat] name: ");
    assert!(said.starts_with(&expected), "{said}");
}

#[test]
fn check_reports_every_failing_part_as_json() {
    let boat = boat();
    let output = edge(&["check", "--config", "edge.toml", "--json"], boat.path());
    assert_eq!(output.status.code(), Some(1));
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let parts: Vec<(&str, bool)> = findings
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["part"].as_str().unwrap(), f["ok"].as_bool().unwrap()))
        .collect();
    assert_eq!(
        parts,
        [
            ("config", true),
            ("bundle", false),
            ("engine", true),
            ("camera", false),
            ("position", true),
            ("outbox", true)
        ]
    );
}

#[test]
fn run_without_a_usable_bundle_exits_with_1() {
    let boat = boat();
    let output = edge(&["run", "--config", "edge.toml"], boat.path());
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(1), String::new())
    );
    let said = text(&output.stderr);
    assert!(
        said.contains("error: ") && said.contains("whales.flukebundle"),
        "{said}"
    );
    let output = edge(&["run", "--config", "nowhere.toml"], boat.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot read the configuration nowhere.toml"));
}

#[test]
fn a_missing_outbox_lists_as_empty() {
    let boat = boat();
    let output = edge(&["outbox", "--config", "edge.toml", "--json"], boat.path());
    assert_eq!(output.status.code(), Some(0));
    let listing: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        listing,
        serde_json::json!({"accepted": 0, "pending": [], "dead_letters": [], "set_aside": []})
    );
}

#[test]
fn page_token_prints_the_address_and_renews_it() {
    let boat = boat();
    let printed = |options: &[&str]| {
        let arguments = [
            &[
                "page-token",
                "--config",
                "edge.toml",
                "--host",
                "boat.local",
            ],
            options,
        ]
        .concat();
        let output = edge(&arguments, boat.path());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let said = text(&output.stdout);
        let url = said.lines().next().unwrap().to_owned();
        let token = url
            .strip_prefix("http://boat.local:8090/?token=")
            .unwrap()
            .to_owned();
        assert!(!text(&output.stderr).contains(&token));
        assert!(
            said.lines().count() > 15 && said.contains('█'),
            "a QR code: {said}"
        );
        token
    };
    let first = printed(&[]);
    assert_eq!((first.len(), printed(&[])), (26, first.clone()));
    let second = printed(&["--renew"]);
    assert_ne!(first, second);
    let kept = std::fs::read_to_string(boat.path().join("outbox/page-token")).unwrap();
    assert_eq!(kept.trim(), second);
    let help = text(&edge(&["page-token", "--help"], boat.path()).stdout);
    for option in ["--config", "--host", "--renew"] {
        assert!(help.contains(option), "{help}");
    }
}

#[test]
fn page_token_without_a_page_exits_with_1() {
    let boat = boat();
    let file = boat.path().join("edge.toml");
    let example = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        example.replace("listen = \"127.0.0.1:8090\"", "listen = \"\""),
    )
    .unwrap();
    let output = edge(&["page-token", "--config", "edge.toml"], boat.path());
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(1), String::new())
    );
    assert!(text(&output.stderr).contains("[page] listen"));
    assert!(!boat.path().join("outbox").exists());
}

#[test]
fn cameras_succeeds_even_without_cameras() {
    let boat = boat();
    let output = edge(&["cameras", "--json"], boat.path());
    assert_eq!(output.status.code(), Some(0));
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for camera in listed.as_array().unwrap() {
        assert!(camera["path"].as_str().unwrap().starts_with("/dev/video"));
    }
    let output = edge(&["cameras"], boat.path());
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("/dev/video"));
    let stand_in = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stand-in:/usr/bin:/bin");
    let with = |path: &str| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_flukewatch-edge"));
        text(
            &program
                .arg("cameras")
                .env("PATH", path)
                .output()
                .unwrap()
                .stdout,
        )
    };
    let there = with(stand_in);
    assert!(
        there.contains("gst-launch-1.0 1.20.3 is installed"),
        "{there}"
    );
    let not = with("/nowhere");
    assert!(not.contains("sudo apt install gstreamer1.0-tools"), "{not}");
}

#[test]
fn an_invalid_command_line_exits_with_2() {
    let boat = boat();
    for wrong in [
        vec!["check"],
        vec!["run"],
        vec!["check", "--config", "edge.toml", "--bundle", "b"],
        vec!["run", "--config", "edge.toml", "--until-delivered", "-1"],
        vec!["run", "--config", "edge.toml", "--engine", "cuda"],
        vec!["selftest"],
        vec!["cameras", "--config", "edge.toml"],
        vec!["page-token"],
        vec![
            "page-token",
            "--config",
            "edge.toml",
            "--host",
            "http://boat",
        ],
    ] {
        assert_eq!(
            edge(&wrong, boat.path()).status.code(),
            Some(2),
            "{wrong:?}"
        );
    }
}
