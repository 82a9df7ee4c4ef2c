//! A configuration that fails falls back to the last one that worked.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_common::decision::DecisionRule;
use flukewatch_inference::samples::passthrough_bundle;
use image::{Rgb, RgbImage};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const GOOD: &str = r#"[boat]
name = "balaena"

[bundle]
path = "whales.flukebundle"
allow_unsigned = true
[camera]
source = "stills"
path = "frames"
frames_per_second = 20.0

[encounter]
gap_seconds = 1.0

[outbox]
path = "outbox"

[page]
listen = ""

[uplink]
broker = "mqtt://boat:S3cret@127.0.0.1:1"
"#;

/// A boat with a state folder, as under systemd. Its broker cannot be reached.
struct Boat(tempfile::TempDir);

impl Boat {
    fn new() -> Self {
        let boat = Self(tempfile::tempdir().unwrap());
        let fluke = |shade: u8| RgbImage::from_fn(64, 32, |x, y| Rgb([(x * y) as u8 ^ shade; 3]));
        passthrough_bundle(
            [("W0".to_owned(), fluke(0)), ("W1".to_owned(), fluke(99))],
            DecisionRule::thresholds(0.8, 0.6, "nothing"),
        )
        .save(&boat.path("whales.flukebundle"))
        .unwrap();
        fs::create_dir(boat.path("frames")).unwrap();
        fluke(0).save(boat.path("frames/0.jpg")).unwrap();
        boat.write(GOOD);
        boat
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.0.path().join(inside)
    }

    fn write(&self, configuration: &str) {
        fs::write(self.path("edge.toml"), configuration).unwrap();
    }

    fn kept(&self) -> PathBuf {
        self.path("state/last-working/edge.toml")
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flukewatch-edge"));
        command
            .args([subcommand, "--config"])
            .arg(self.path("edge.toml"))
            // Not the configuration's folder, which relative paths refer to.
            .current_dir("/")
            .env("STATE_DIRECTORY", self.path("state"));
        command
    }

    fn start(&self) -> Running<'_> {
        let log = self.path("log");
        let child = self
            .command("run")
            .stdout(Stdio::null())
            .stderr(File::create(log).unwrap())
            .spawn()
            .unwrap();
        Running { boat: self, child }
    }

    /// Runs until the configuration has been kept.
    fn work(&self) {
        let running = self.start();
        running.wait("the configuration is kept", || self.kept().is_file());
        running.stop();
    }

    fn output(&self, subcommand: &str) -> Output {
        self.command(subcommand).output().unwrap()
    }

    fn configuration_health(&self) -> Value {
        let document = fs::read(self.path("outbox/health.json")).unwrap();
        let document: Value = serde_json::from_slice(&document).unwrap();
        document["configuration"].clone()
    }
}

struct Running<'a> {
    boat: &'a Boat,
    child: Child,
}

impl Running<'_> {
    fn log(&self) -> String {
        fs::read_to_string(self.boat.path("log")).unwrap()
    }

    fn wait(&self, what: &str, done: impl Fn() -> bool) {
        let started = Instant::now();
        while !done() {
            let waited = started.elapsed();
            assert!(waited < Duration::from_secs(60), "{what}: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn wait_for_log(&self, words: &str) {
        self.wait(words, || self.log().contains(words));
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Shuts it down and returns its log.
    fn stop(mut self) -> String {
        self.signal(Signal::TERM);
        let status = self.child.wait().unwrap();
        let log = self.log();
        assert!(status.success(), "{log}");
        log
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_invalid_file_is_replaced_by_the_last_working_one_until_it_is_repaired() {
    let boat = Boat::new();
    boat.work();
    assert_eq!(boat.configuration_health()["fallback"], Value::Null);
    let kept = fs::read_to_string(boat.kept()).unwrap();
    assert!(kept.ends_with(GOOD), "{kept}");
    let mode = fs::metadata(boat.kept()).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "it holds a password");

    boat.write(&GOOD.replace("gap_seconds = 1.0", "gap_seconds = -1.0"));
    let running = boat.start();
    running.wait_for_log("edge.toml:13: [encounter] gap_seconds: must be");
    running.wait_for_log("using the last working one");
    running.wait_for_log("session started");
    running.wait("health is written", || {
        let fallback = &boat.configuration_health()["fallback"];
        fallback.as_str().is_some_and(|f| f.contains("gap_seconds"))
    });

    boat.write(&GOOD.replace("gap_seconds = 1.0", "gap_seconds = 2.0"));
    running.signal(Signal::HUP);
    running.wait_for_log("configuration applied");
    running.wait("the new configuration is kept", || {
        fs::read_to_string(boat.kept()).is_ok_and(|kept| kept.contains("gap_seconds = 2.0"))
    });
    let log = running.stop();
    let health = boat.configuration_health();
    assert_eq!(health["fallback"], Value::Null);
    assert!(health["file"].as_str().unwrap().ends_with("edge.toml"));
    assert!(health["applied_at"].as_str().unwrap().ends_with('Z'));
    assert!(!log.contains("S3cret"), "{log}");
}

#[test]
fn a_configuration_that_is_valid_and_cannot_run_falls_back_too() {
    let boat = Boat::new();
    boat.work();
    fs::write(boat.path("damaged.flukebundle"), "not a bundle").unwrap();
    fs::write(boat.path("taken"), "not a folder").unwrap();
    fs::create_dir(boat.path("empty")).unwrap();
    for (from, to, reason) in [
        (
            "whales.flukebundle",
            "damaged.flukebundle",
            "damaged.flukebundle",
        ),
        ("path = \"outbox\"", "path = \"taken\"", "taken"),
        ("path = \"frames\"", "path = \"empty\"", "empty"),
        (
            "window = 1",
            "user = \"boat\"\npassword_file = \"missing\"",
            "missing",
        ),
    ] {
        boat.write(&format!("{GOOD}window = 1\n").replace(from, to));
        let running = boat.start();
        running.wait_for_log("using the last working one");
        running.wait_for_log("session started");
        running.stop();
        let health = boat.configuration_health();
        let said = health["fallback"].as_str().unwrap();
        assert!(said.contains(reason), "{reason}: {said}");
    }
    assert!(fs::read_to_string(boat.kept()).unwrap().ends_with(GOOD));
}

#[test]
fn a_configuration_that_brings_the_program_down_at_each_start_falls_back() {
    let boat = Boat::new();
    boat.work();
    fs::create_dir(boat.path("broken")).unwrap();
    (0..9).for_each(|i| fs::write(boat.path(&format!("broken/{i}.jpg")), "no image").unwrap());
    // It has no frame to work on for a while.
    let new = GOOD.replace("path = \"frames\"", "path = \"broken\"");
    boat.write(&new.replace("frames_per_second = 20.0", "frames_per_second = 0.05"));
    for _ in 0..3 {
        let running = boat.start();
        running.wait_for_log("session started");
        // Killed, as by a fault of a driver.
        drop(running);
    }
    let running = boat.start();
    running.wait_for_log("ended at each of 3 starts");
    running.wait_for_log("using the last working one");
    running.wait_for_log("session started");
    running.stop();
    let health = boat.configuration_health();
    assert!(health["fallback"].as_str().unwrap().contains("3 starts"));
    // It has another chance.
    let running = boat.start();
    running.wait_for_log("session started");
    assert!(!running.log().contains("last working"), "{}", running.log());
}

#[test]
fn a_failed_reload_is_reported_and_survives_a_restart() {
    let boat = Boat::new();
    let running = boat.start();
    running.wait("the configuration is kept", || boat.kept().is_file());
    boat.write("[boat]\n");
    running.signal(Signal::HUP);
    running.wait_for_log("keeping the current configuration");
    running.stop();
    let health = boat.configuration_health();
    assert!(health["fallback"].as_str().unwrap().contains("missing"));
    let running = boat.start();
    running.wait_for_log("session started");
    running.stop();
}

#[test]
fn without_a_last_working_configuration_an_invalid_file_ends_the_run() {
    let boat = Boat::new();
    let invalid = GOOD.replace("gap_seconds = 1.0", "gap_seconds = -1.0");
    boat.write(&invalid);
    let fails = |output: Output, words: &str| {
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(words), "{said}");
    };
    fails(boat.output("run"), "[encounter] gap_seconds");
    boat.write(GOOD);
    boat.work();
    boat.write(&invalid);
    // By hand, a person reads the error.
    let by_hand = boat.command("run").env_remove("STATE_DIRECTORY").output();
    fails(by_hand.unwrap(), "[encounter] gap_seconds");
    let checked = boat.output("check");
    assert_eq!(checked.status.code(), Some(1), "the file itself is checked");
    // The program was updated, and knows the kept configuration no longer.
    let kept = fs::read_to_string(boat.kept()).unwrap();
    fs::write(boat.kept(), kept.replace("gap_seconds", "gap_moons")).unwrap();
    fails(boat.output("run"), "gap_moons");
}
