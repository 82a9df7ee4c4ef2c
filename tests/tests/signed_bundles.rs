//! From a publisher's key to a boat: what it signed is used, everything else is rejected.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_tests::boat::{Boat, Camera, text};
use flukewatch_tests::bundle::tiny;
use flukewatch_tests::program::{Finished, Program, Running};
use flukewatch_tests::wait::until;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A publisher with a key, and a boat that trusts it.
struct Fleet {
    folder: tempfile::TempDir,
    boat: Boat,
}

impl Fleet {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let boat = Boat::new(
            &folder.path().join("boat"),
            "balaena",
            Camera::Stills(20.0),
            1,
        );
        boat.set_stills(200);
        let fleet = Self { folder, boat };
        let key = fleet.keygen("publisher.key");
        let line = format!("trusted_keys = [\"{key}\"]");
        fleet
            .boat
            .rewrite(|toml| toml.replace("allow_unsigned = true", &line));
        fleet
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    /// Makes a key, and returns the public one.
    fn keygen(&self, name: &str) -> String {
        let file = self.path(name);
        let made = Program::Host
            .run(&["keygen", text(&file), "--json"])
            .succeeded()
            .json();
        made["key"].as_str().unwrap().to_owned()
    }

    /// Replaces the boat's bundle as a person does, by one that knows so many whales.
    fn replace_bundle(&self, whales: u32) {
        let new = self.path("new.flukebundle");
        tiny(whales).save(&new).unwrap();
        fs::rename(new, self.boat.bundle()).unwrap();
    }

    fn sign(&self, key: &str, version: u64) {
        let (bundle, key) = (self.boat.bundle(), self.path(key));
        let version = version.to_string();
        Program::Host
            .run(&[
                "sign",
                text(&bundle),
                "--key",
                text(&key),
                "--version",
                &version,
            ])
            .succeeded();
    }

    fn trust(&self, arguments: &[&str]) -> Finished {
        let config = self.boat.config();
        let trust = ["trust", "--config", text(&config)];
        Program::Edge.run(&[&trust[..], arguments].concat())
    }

    fn check(&self) -> String {
        let config = self.boat.config();
        let checked = Program::Edge.run(&["check", "--config", text(&config)]);
        let lines = checked.stdout.lines();
        let bundle = lines.filter(|l| l.contains(" bundle: "));
        bundle.collect::<Vec<_>>().join("\n")
    }

    fn start(&self) -> Running {
        let mut command = self.boat.command();
        command.env("STATE_DIRECTORY", self.path("state"));
        Running::start(command)
    }

    /// Runs until the bundle has worked.
    fn work(&self) {
        let mut boat = self.start();
        boat.wait_for_log("session started");
        let noted = self.boat.outbox().join("accepted-bundle.json");
        until("the bundle is noted", || noted.is_file());
        boat.signal("TERM");
        boat.finish().succeeded();
    }

    /// Asserts that no program of the boat uses the bundle, with these words.
    fn assert_rejected(&self, words: &[&str]) {
        let config = self.boat.config();
        let bundle = self.boat.bundle();
        let words = [&[text(&bundle), "rejected: "], words].concat();
        let config = ["--config", text(&config)];
        self.boat.run(5).failed(1, &words);
        for command in ["selftest", "reprocess"] {
            let arguments = [&[command][..], &config].concat();
            // Without an outbox there is nothing to identify again, and no bundle is opened.
            if command == "selftest" || self.boat.outbox().join("outbox.sqlite3").exists() {
                Program::Edge.run(&arguments).failed(1, &words);
            }
        }
        let checked = self.check();
        for word in [&["ERROR bundle: "][..], &words].concat() {
            assert!(checked.contains(word), "'{word}' is not in {checked}");
        }
        assert_eq!(self.trust(&[]).code, Some(1));
    }
}

#[test]
fn a_boat_uses_what_its_publisher_signed_and_nothing_else() {
    let fleet = Fleet::new();
    fleet.assert_rejected(&["not signed", "flukewatch sign"]);

    let stranger = fleet.keygen("stranger.key");
    fleet.sign("stranger.key", 50);
    fleet.assert_rejected(&[&stranger, "not in trusted_keys"]);

    fleet.sign("publisher.key", 20);
    assert!(
        fleet.check().starts_with("ok    bundle: "),
        "{}",
        fleet.check()
    );
    fleet.work();
    assert!(fleet.boat.accepted() > 0);
    let trusted = fleet.trust(&["--json"]).succeeded().json();
    assert_eq!(
        (&trusted["version"], &trusted["last_version"]),
        (&20.into(), &20.into())
    );
    assert_eq!(trusted["error"], Value::Null);

    // An older one, and how to return to it on purpose.
    fleet.replace_bundle(3);
    fleet.sign("publisher.key", 19);
    fleet.assert_rejected(&["version 19 is older than version 20", "trust --accept"]);
    fleet.trust(&["--accept"]).succeeded();
    fleet.work();
    assert_eq!(fleet.trust(&["--json"]).json()["last_version"], 19);

    // Its version is signed, too.
    let bundle = fleet.boat.bundle();
    let mut bytes = fs::read(&bundle).unwrap();
    let version = b"\"version\": 19";
    let at = bytes
        .windows(version.len())
        .position(|w| w == version)
        .unwrap();
    bytes[at + version.len() - 2] = b'9';
    fs::write(&bundle, &bytes).unwrap();
    fleet.assert_rejected(&["altered after"]);
}

#[test]
fn a_running_boat_keeps_its_bundle_where_the_new_one_is_rejected() {
    let fleet = Fleet::new();
    fleet.sign("publisher.key", 20);
    let mut boat = fleet.start();
    let noted = fleet.boat.outbox().join("accepted-bundle.json");
    until("the bundle is noted", || noted.is_file());
    fleet.replace_bundle(3);
    boat.signal("HUP");
    boat.wait_for_log("rejected: not signed");
    boat.wait_for_log("keeping the current configuration");
    fleet.sign("publisher.key", 21);
    boat.signal("HUP");
    boat.wait_for_log("configuration applied");
    until("the newer bundle is noted", || {
        fs::read_to_string(&noted).is_ok_and(|note| note.contains("21"))
    });
    boat.signal("TERM");
    boat.finish().succeeded();

    // An unsigned one under a name of its own, which the next start does not use.
    tiny(4).save(&fleet.path("boat/other.flukebundle")).unwrap();
    fleet
        .boat
        .rewrite(|toml| toml.replace("whales.flukebundle", "other.flukebundle"));
    let mut boat = fleet.start();
    boat.wait_for_log("other.flukebundle rejected: not signed");
    boat.wait_for_log("using the last working one");
    boat.wait_for_log("session started");
    boat.signal("TERM");
    let finished = boat.finish().succeeded();
    let health: Value = serde_json::from_str(finished.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(health["signature"]["version"], 21);
    assert_eq!(health["signature"]["expired"], false);
}

#[test]
fn the_workstation_makes_keys_signs_and_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let key_file = path("publisher.key");
    let said = Program::Host.run(&["keygen", text(&key_file)]).succeeded();
    let public_file = path("publisher.key.pub");
    let key = fs::read_to_string(&public_file).unwrap().trim().to_owned();
    assert!(
        said.stdout.contains(&format!("trusted_keys = [\"{key}\"]")),
        "{said:?}"
    );
    let mode = fs::metadata(&key_file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // A key is never overwritten.
    let before = fs::read(&key_file).unwrap();
    Program::Host
        .run(&["keygen", text(&key_file)])
        .failed(1, &[text(&key_file)]);
    assert_eq!(fs::read(&key_file).unwrap(), before);

    for name in ["whales", "whales.flukebundle"] {
        let bundle = path(name);
        tiny(3).save(&bundle).unwrap();
        let verify = |more: &[&str]| {
            let arguments = [&["verify", text(&bundle), "--json"], more].concat();
            let verified = Program::Host.run(&arguments);
            let json = verified.json();
            (verified.code, json)
        };
        let (code, found) = verify(&[]);
        assert_eq!(
            (code, &found["valid"], &found["key"]),
            (Some(3), &false.into(), &Value::Null)
        );
        let sign = |more: &[&str]| {
            let arguments = ["sign", text(&bundle), "--key", text(&key_file), "--json"];
            Program::Host
                .run(&[&arguments[..], more].concat())
                .succeeded()
                .json()
        };
        let signed = sign(&["--days", "2"]);
        assert_eq!(signed["key"], key.as_str());
        assert_eq!(signed["id"], tiny(3).id());
        let again = sign(&[]);
        assert!(again["version"].as_u64() > signed["version"].as_u64());
        assert!(again["expires"].as_str() > signed["expires"].as_str());
        for trusted in [
            &[][..],
            &["--trusted", &key],
            &["--trusted", text(&public_file)],
        ] {
            let (code, found) = verify(trusted);
            assert_eq!((code, &found["valid"]), (Some(0), &true.into()), "{found}");
            assert_eq!(found["version"], again["version"]);
        }
        let other = "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let (code, found) = verify(&["--trusted", other]);
        assert_eq!((code, &found["valid"]), (Some(3), &false.into()));
        let inspected = Program::Host.run(&["inspect", text(&bundle), "--json"]);
        let inspected = inspected.succeeded().json();
        assert_eq!(inspected["signature"]["key"], key.as_str());
        // Not a key.
        Program::Host
            .run(&["sign", text(&bundle), "--key", text(&public_file)])
            .failed(1, &[text(&public_file), "not an Ed25519 private key"]);
    }
    let bundle = path("whales");
    fs::write(bundle.join("model.onnx"), "other").unwrap();
    Program::Host
        .run(&["verify", text(&bundle)])
        .failed(1, &["its model has"]);
    Program::Host
        .run(&["sign", text(&bundle), "--key", text(&key_file)])
        .failed(1, &["its model has"]);
}

/// Another program verifies a signature by what docs/bundle.md says of it.
#[test]
fn openssl_verifies_the_documented_bytes() {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("skipped: openssl not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let run = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
    };
    let openssl = |arguments: &[&str]| run(Command::new("openssl").args(arguments));
    let (key, public) = (path("key"), path("key.pem"));
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", text(&key)]);
    openssl(&["pkey", "-in", text(&key), "-pubout", "-out", text(&public)]);
    let bundle = path("whales");
    tiny(2).save(&bundle).unwrap();
    Program::Host
        .run(&["sign", text(&bundle), "--key", text(&key), "--version", "7"])
        .succeeded();
    let read = |name: &str| fs::read(bundle.join(name)).unwrap();
    let signature: Value = serde_json::from_slice(&read("signature.json")).unwrap();
    let expires: jiff::Timestamp = signature["expires"].as_str().unwrap().parse().unwrap();
    let manifest = path("manifest.sha256");
    openssl(&[
        "dgst",
        "-sha256",
        "-binary",
        "-out",
        text(&manifest),
        text(&bundle.join("manifest.json")),
    ]);
    let mut signed = b"flukewatch bundle\0manifest 1\0".to_vec();
    signed.extend(fs::read(&manifest).unwrap());
    signed.extend(7_u64.to_be_bytes());
    signed.extend(expires.as_second().to_be_bytes());
    fs::write(path("signed"), signed).unwrap();
    fs::write(path("base64"), signature["signature"].as_str().unwrap()).unwrap();
    openssl(&[
        "base64",
        "-d",
        "-A",
        "-in",
        text(&path("base64")),
        "-out",
        text(&path("raw")),
    ]);
    let verify = |signed: &Path| {
        Command::new("openssl")
            .args([
                "pkeyutl",
                "-verify",
                "-pubin",
                "-inkey",
                text(&public),
                "-rawin",
            ])
            .args(["-in", text(signed), "-sigfile", text(&path("raw"))])
            .output()
            .unwrap()
            .status
            .success()
    };
    assert!(verify(&path("signed")));
    fs::write(
        path("other"),
        [&fs::read(path("signed")).unwrap()[..], b"x"].concat(),
    )
    .unwrap();
    assert!(!verify(&path("other")));
}
