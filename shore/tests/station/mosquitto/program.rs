//! The program: provisioning, revoking, and the broker of a running station.

use super::client::Client;
use super::fixture::{PROGRAM, files, is_running, options, process, text};
use flukewatch_test_support::wait::until;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn run(arguments: &[&str], folder: &Path) -> Output {
    Command::new(PROGRAM)
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A running station; killed when dropped.
struct Station {
    process: Child,
    ready: Value,
}

impl Station {
    /// Starts it with a broker for boats; `None` where mosquitto is not installed.
    fn start(folder: &Path) -> Option<Self> {
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--data", "data", "--http", "127.0.0.1:0"]);
        command.args([
            "--mqtts",
            "127.0.0.1:0",
            "--server-name",
            "shore.example.org",
        ]);
        command.current_dir(folder).stdout(Stdio::piped());
        command.stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        let stdout = process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        if line.is_empty() {
            let output = process.wait_with_output().unwrap();
            assert!(
                stderr(&output).contains("apt install mosquitto"),
                "{output:?}"
            );
            eprintln!("skipped: mosquitto not installed");
            return None;
        }
        // Its log must not block it.
        let log = process.stderr.take().unwrap();
        std::thread::spawn(move || BufReader::new(log).lines().count());
        let ready = serde_json::from_str(&line).unwrap();
        Some(Self { process, ready })
    }

    fn address(&self, key: &str) -> SocketAddr {
        self.ready[key].as_str().unwrap().parse().unwrap()
    }

    fn health(&self) -> Value {
        let response = flukewatch_test_support::http::get(self.address("http"), "/api/v1/health");
        response.json()
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_boat_is_provisioned_listed_and_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let data = ["--data", "data"];
    let run = |arguments: &[&str]| run(&[arguments, &data].concat(), folder);
    let missing = run(&["provision", "balaena"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("--data"), "{missing:?}");
    std::fs::create_dir(folder.join("data")).unwrap();
    for command in [&["revoke", "balaena"][..], &["certificates"]] {
        let none = run(command);
        assert_eq!(none.status.code(), Some(1));
        assert!(stderr(&none).contains("provision"), "{none:?}");
    }

    let provisioned = run(&["provision", "balaena", "--broker", "mqtts://shore:8883"]);
    assert!(provisioned.status.success(), "{provisioned:?}");
    // The broker has never run, so that its certificate names nothing.
    assert!(stderr(&provisioned).contains("--server-name shore"));
    let names = [
        "README.txt",
        "boat.key",
        "boat.pem",
        "ca.pem",
        "station.pub",
    ];
    let mut written: Vec<_> = std::fs::read_dir(folder.join("balaena-identity"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    written.sort();
    assert_eq!(written, names);

    let again = run(&["provision", "balaena", "--out", "second"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("--replace"), "{again:?}");
    let replaced = run(&["provision", "balaena", "--out", "second", "--replace"]);
    assert!(replaced.status.success(), "{replaced:?}");
    let listed = run(&["certificates"]);
    let text = String::from_utf8(listed.stdout).unwrap();
    assert!(text.contains("revoked") && text.contains("valid"), "{text}");

    assert!(run(&["revoke", "balaena"]).status.success());
    let again = run(&["revoke", "balaena"]);
    assert!(again.status.success(), "{again:?}");
    let listed: Value = serde_json::from_slice(&run(&["certificates", "--json"]).stdout).unwrap();
    let all = listed.as_array().unwrap();
    assert_eq!(all.len(), 2);
    assert!(
        all.iter()
            .all(|c| c["boat"] == "balaena" && c["revoked"].is_string())
    );

    for (wrong, code) in [
        (&["provision", "Balaena"][..], 2),
        (&["provision", "balaena", "--days", "0"], 2),
        (&["provision", "balaena", "--broker", "shore"], 2),
        (&["provision", "station"], 1),
        (&["revoke", "orca"], 1),
        (
            &["serve", "--mqtts", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"],
            2,
        ),
        (&["serve", "--server-name", "shore"], 2),
        (
            &["serve", "--mqtts", "127.0.0.1:0", "--server-name", "a b"],
            2,
        ),
    ] {
        assert_eq!(run(wrong).status.code(), Some(code), "{wrong:?}");
    }
}

#[test]
fn the_embedded_broker_is_for_this_computer_only() {
    let folder = tempfile::tempdir().unwrap();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:1883"] {
        let arguments = ["serve", "--data", "data", "--http", "127.0.0.1:0", "--mqtt"];
        let rejected = run(&[&arguments[..], &[address]].concat(), folder.path());
        assert_eq!(rejected.status.code(), Some(2), "{rejected:?}");
        assert!(stderr(&rejected).contains("--mqtts"), "{rejected:?}");
    }
}

#[test]
fn a_running_station_disconnects_a_revoked_boat() {
    let folder = tempfile::tempdir().unwrap();
    let Some(station) = Station::start(folder.path()) else {
        return;
    };
    let broker = station.address("mqtts");
    let health = station.health();
    assert_eq!(health["broker_process"]["running"], true);
    let url = health["broker"].as_str().unwrap();
    assert_eq!(url, format!("mqtts://shore.example.org:{}", broker.port()));

    let provision = ["provision", "balaena", "--data", "data", "--broker", url];
    let provisioned = run(&provision, folder.path());
    assert!(provisioned.status.success(), "{provisioned:?}");
    assert!(!stderr(&provisioned).contains("--server-name"));
    let identity = files(&folder.path().join("balaena-identity"));
    let mut boat = Client::connect(broker, &options(&identity)).unwrap();
    assert!(boat.is_connected());
    let revoked = run(&["revoke", "balaena", "--data", "data"], folder.path());
    assert!(revoked.status.success(), "{revoked:?}");
    assert!(boat.is_closed());
    until("the broker is back", || {
        std::net::TcpStream::connect(broker).is_ok()
    });
    assert!(Client::connect(broker, &options(&identity)).is_err());
}

#[test]
fn a_killed_station_takes_its_broker_along() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut station) = Station::start(folder.path()) else {
        return;
    };
    let data = folder.path().join("data");
    let broker = process(&data);
    assert!(is_running(broker), "{}", text(&data));
    station.process.kill().unwrap();
    until("the broker ends", || !is_running(broker));
    drop(station);
    // The next start is not disturbed by what is left.
    let Some(station) = Station::start(folder.path()) else {
        return;
    };
    let broker = process(&data);
    let stopped = Command::new("kill")
        .arg(station.process.id().to_string())
        .status();
    assert!(stopped.unwrap().success());
    until("the broker ends", || !is_running(broker));
}
