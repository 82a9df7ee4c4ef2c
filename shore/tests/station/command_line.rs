//! The program: ready line, signals, exit codes.

use crate::fixtures::{Boat, sample, start_station};
use crate::sample_bundle;
use flukewatch_test_support::http::send;
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

struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn serve_prints_a_ready_line_and_stops_on_sigterm() {
    let data = tempfile::tempdir().unwrap();
    let child = Command::new(PROGRAM)
        .args([
            "serve",
            "--http",
            "127.0.0.1:0",
            "--mqtt",
            "127.0.0.1:0",
            "--host",
            "station.example",
            "--host",
            "proxy.example:443",
            "--data",
        ])
        .arg(data.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = KillOnDrop(child.unwrap());
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    let http = ready["http"].as_str().unwrap().parse().unwrap();
    let mqtt: std::net::SocketAddr = ready["mqtt"].as_str().unwrap().parse().unwrap();
    let mut boat = Boat::connect("127.0.0.1", mqtt.port(), "balaena").await;
    boat.send_sighting(&sample::sighting("balaena", 2).0).await;
    boat.expect_acks(1).await;
    assert_eq!(
        crate::browse::get(http, "/api/v1/sightings").await.json()[0]["boat"],
        "balaena"
    );

    for (host, status) in [
        ("station.example", 200),
        ("proxy.example:443", 200),
        ("proxy.example", 421),
        ("evil.example", 421),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let response = tokio::task::spawn_blocking(move || send(http, &request));
        assert_eq!(response.await.unwrap().unwrap().status, status, "{host}");
    }

    let second = run(
        &["serve", "--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"],
        data.path(),
    );
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use by another"));

    let missing = run(&["missing"], data.path());
    assert_eq!(missing.status.code(), Some(4), "while the station runs");
    assert!(String::from_utf8_lossy(&missing.stdout).contains("missing 1 (1)"));

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
async fn list_and_missing_read_the_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let empty = run(&["list"], folder.path());
    assert_eq!(empty.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&empty.stderr).contains("contains no shore database"));

    let station = start_station(folder.path()).await;
    let mut boat = Boat::connect_to(&station, "balaena").await;
    boat.send_sighting(&sample::sighting("balaena", 1).0).await;
    boat.send_sighting(&sample::unidentified("balaena", 2))
        .await;
    boat.expect_acks(2).await;
    station.shutdown().await;

    let list = run(&["list"], folder.path());
    let text = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(
        list.status.success()
            && text.contains("HW-0042")
            && text.contains("unidentified")
            && text.contains("2 of 2 sightings"),
        "{text}"
    );
    let list: serde_json::Value =
        serde_json::from_slice(&run(&["list", "--json"], folder.path()).stdout).unwrap();
    assert_eq!(list[0]["reason"], "the model has not run yet");
    assert_eq!(list[1]["whale"], "HW-0042");
    let missing = run(&["missing", "--json"], folder.path());
    assert_eq!(missing.status.code(), Some(0));
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&missing.stdout).unwrap()[0]["gaps"],
        serde_json::json!([])
    );
}

#[test]
fn wrong_usage_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    for wrong in [
        &["serve", "--broker", "localhost"][..],
        &["serve", "--broker", "mqtts://host", "--key-file", "k"],
        &["serve", "--accept-unsigned"],
        &["serve", "--bundle", "b"],
        &["serve", "--http", "here"],
        &["serve", "--host", "http://station"],
        &["serve", "--host", ""],
        &["offer", "azores.flukebundle"],
        &["offer", "azores.flukebundle", "--boat", "Ocean!"],
        &["withdraw"],
    ] {
        assert_eq!(
            run(wrong, folder.path()).status.code(),
            Some(2),
            "{wrong:?}"
        );
    }
}

#[test]
fn bundles_are_offered_listed_and_withdrawn_before_the_station_was_started() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("azores");
    sample_bundle::bundle("azores").save(&bundle).unwrap();
    let bundle = bundle.to_str().unwrap();
    let data = folder.path().join("data");
    let offer = |more: &[&str]| {
        let arguments = ["offer", bundle, "--boat", "balaena", "--boat", "orca"];
        run(&[&arguments[..], more].concat(), &data)
    };
    let failed = |output: Output, expected: &str| {
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(expected), "{errors}");
    };
    failed(offer(&[]), "does not exist");
    std::fs::create_dir(&data).unwrap();
    failed(offer(&[]), "is not signed");
    failed(offer(&["--all"]), "has no certificates yet");
    failed(run(&["withdraw", "balaena"], &data), "nothing is offered");
    assert!(offer(&["--allow-unsigned"]).status.success());
    sample_bundle::sign(bundle.as_ref(), 3);
    assert!(offer(&[]).status.success());
    assert!(run(&["withdraw", "orca"], &data).status.success());
    let offers = run(&["offers", "--json"], &data);
    let offers: serde_json::Value = serde_json::from_slice(&offers.stdout).unwrap();
    assert_eq!(offers.as_array().unwrap().len(), 1);
    assert_eq!(offers[0]["boat"], "balaena");
    assert_eq!(
        (&offers[0]["name"], &offers[0]["version"]),
        (&"azores".into(), &3.into())
    );
    assert_eq!(offers[0]["progress"], "offered");
    assert_eq!(offers[0]["received_bytes"], serde_json::Value::Null);
    let listed = run(&["offers"], &data);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(
        listed.contains("balaena") && listed.contains("azores"),
        "{listed}"
    );
}
