//! The program itself: its ready line, its signals, its exit codes.

use crate::boat::{Boat, sample, station};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_flukewatch-shore");

fn run(arguments: &[&str], data: &Path) -> Output {
    Command::new(PROGRAM)
        .args(arguments)
        .arg("--data")
        .arg(data)
        .output()
        .unwrap()
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn it_says_when_it_is_ready_and_ends_on_sigterm() {
    let data = tempfile::tempdir().unwrap();
    let child = Command::new(PROGRAM)
        .args([
            "serve",
            "--http",
            "127.0.0.1:0",
            "--mqtt",
            "127.0.0.1:0",
            "--data",
        ])
        .arg(data.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = Ended(child.unwrap());
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    let http = ready["http"].as_str().unwrap().parse().unwrap();
    let mqtt: std::net::SocketAddr = ready["mqtt"].as_str().unwrap().parse().unwrap();
    let mut boat = Boat::connect("127.0.0.1", mqtt.port(), "balaena").await;
    boat.sighting(&sample::sighting("balaena", 2).0).await;
    boat.receipted(1).await;
    assert_eq!(
        crate::browse::get(http, "/api/sightings").await.json()[0]["boat"],
        "balaena"
    );

    let second = run(
        &["serve", "--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"],
        data.path(),
    );
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use by another"));

    let gaps = run(&["gaps"], data.path());
    assert_eq!(gaps.status.code(), Some(4), "beside the running station");
    assert!(String::from_utf8_lossy(&gaps.stdout).contains("missing 1 (1)"));

    assert!(
        Command::new("kill")
            .arg(child.0.id().to_string())
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_gaps_are_read_from_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let missing = run(&["list"], folder.path());
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("holds no data of shore"));

    let running = station(folder.path()).await;
    let mut boat = Boat::at(&running, "balaena").await;
    boat.sighting(&sample::sighting("balaena", 1).0).await;
    boat.receipted(1).await;
    running.stop().await;

    let list = run(&["list"], folder.path());
    let text = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(
        list.status.success() && text.contains("HW-1") && text.contains("1 of 1 sightings"),
        "{text}"
    );
    let list: serde_json::Value =
        serde_json::from_slice(&run(&["list", "--json"], folder.path()).stdout).unwrap();
    assert_eq!(list[0]["whale"], "HW-1");
    let gaps = run(&["gaps", "--json"], folder.path());
    assert_eq!(gaps.status.code(), Some(0));
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&gaps.stdout).unwrap()[0]["gaps"],
        serde_json::json!([])
    );
}

#[test]
fn wrong_usage_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    for wrong in [
        &["serve", "--broker", "localhost"][..],
        &["serve", "--broker", "mqtts://host"],
        &["serve", "--bundle", "b"],
        &["serve", "--http", "here"],
    ] {
        assert_eq!(
            run(wrong, folder.path()).status.code(),
            Some(2),
            "{wrong:?}"
        );
    }
}
