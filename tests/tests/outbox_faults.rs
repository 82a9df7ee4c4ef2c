//! Faults from the field: a broker that takes no large message or asks for a password, a copied card, a
//! lost or damaged database, and an outbox that cannot be written.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_test_support::mosquitto::Mosquitto;
use flukewatch_tests::boat::{Boat, Camera, text, whale_of};
use flukewatch_tests::pictures::{fluke, jpeg};
use flukewatch_tests::program::{Program, Running};
use flukewatch_tests::station::Station;
use flukewatch_tests::wait::until;
use image::{Rgb, RgbImage};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

const SECRET: &str = "S3cret-of-the-sea";

/// A picture that JPEG cannot compress.
fn noise() -> RgbImage {
    let mut state = 7u32;
    RgbImage::from_fn(640, 400, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Rgb([(state >> 24) as u8, (state >> 16) as u8, (state >> 8) as u8])
    })
}

/// A boat with `stills` stills, the second of which has a picture of more than 150 kB.
fn boat_with_a_large_picture(folder: &Path, port: u16, stills: u32) -> Boat {
    let boat = Boat::new(folder, "balaena", Camera::Stills(20.0), port);
    let large = jpeg(&noise());
    assert!(large.len() > 150_000);
    boat.set_frames((0..stills).map(|i| {
        let photo = if i == 1 {
            large.clone()
        } else {
            jpeg(&fluke(whale_of(i)))
        };
        (format!("{i:06}.jpg"), photo)
    }));
    boat
}

#[test]
fn a_picture_larger_than_the_broker_takes_arrives_in_parts() {
    let Some(broker) = Mosquitto::start("max_packet_size 100000") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let url = format!("mqtt://127.0.0.1:{}", broker.port());
    let station = Station::start_on(&folder.path().join("shore"), &url, &[]);
    let boat = boat_with_a_large_picture(&folder.path().join("boat"), broker.port(), 12);
    let health = boat.run(40).succeeded().json();
    assert_eq!(
        (&health["accepted"], &health["dead_letters"]),
        (&json!(12), &json!(0))
    );
    assert_eq!(broker.boat_connections(), 1);
    let stored = station.has_all("balaena", 12);
    assert!(
        stored.iter().all(|s| s["picture"] == "stored"),
        "{stored:?}"
    );
}

/// A broker with `limit` in its configuration delays nothing but the one large picture, not even parts of which it takes.
fn a_limit_parks_the_large_picture_alone(limit: &str) {
    let Some(broker) = Mosquitto::start(limit) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let url = format!("mqtt://127.0.0.1:{}", broker.port());
    let station = Station::start_on(&folder.path().join("shore"), &url, &[]);
    let boat = boat_with_a_large_picture(&folder.path().join("boat"), broker.port(), 12);
    let finished = boat.run(40).succeeded();
    let health = finished.json();
    assert_eq!(
        (&health["accepted"], &health["dead_letters"]),
        (&json!(12), &json!(1)),
        "{}",
        finished.stderr
    );
    let connections = broker.boat_connections();
    assert!(connections <= 8, "{connections}: {}", finished.stderr);
    assert!(
        finished.stderr.contains("outbox --resend"),
        "{}",
        finished.stderr
    );
    let listing = boat.listing();
    assert_eq!(listing["pending"], json!([]));
    assert_eq!(listing["dead_letters"][0]["part"], "picture");
    let reason = listing["dead_letters"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("sending a reduced copy"), "{reason}");
    let stored = station.sightings();
    let pictures = stored.iter().filter(|s| s["picture"] == "stored").count();
    assert_eq!((stored.len(), pictures), (12, 12));
}

#[test]
fn a_broker_that_closes_on_a_large_message_gets_the_others() {
    a_limit_parks_the_large_picture_alone("max_packet_size 50000");
}

#[test]
fn a_broker_that_drops_a_large_message_gets_the_others() {
    a_limit_parks_the_large_picture_alone("message_size_limit 50000");
}

#[test]
fn a_copied_card_is_named_on_both_sides_and_loses_nothing() {
    let Some(broker) = Mosquitto::start("") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let url = format!("mqtt://127.0.0.1:{}", broker.port());
    let data = folder.path().join("shore");
    let station = Station::start_on(&data, &url, &[]);
    let first = folder.path().join("first");
    let boat = Boat::new(&first, "balaena", Camera::Stills(20.0), broker.port());
    boat.set_stills(4);
    boat.run(40).succeeded();
    let second = folder.path().join("second");
    let copied = Command::new("cp")
        .arg("-r")
        .args([&first, &second])
        .status();
    assert!(copied.unwrap().success());
    let before = broker.boat_connections();

    let config = second.join("edge.toml");
    let twin = Program::Edge.command(&["run", "--config", text(&config)]);
    let mut running = [Running::start(boat.command()), Running::start(twin)];
    for boat in &mut running {
        boat.wait_for_log("another computer sends under this boat's name");
    }
    until("both are delivered", || station.count() == 12);
    until("shore names the boat", || {
        station.get("/api/v1/health")["twins"] == json!(["balaena"])
    });
    assert_eq!(
        broker.boat_connections() - before,
        2,
        "they do not take over"
    );
    for boat in running {
        boat.signal("TERM");
        let health = boat.finish().succeeded().json();
        assert_eq!(
            (&health["twin"], &health["accepted"]),
            (&json!(true), &json!(4))
        );
    }
    let missing = Program::Shore
        .run(&["missing", "--data", text(&data)])
        .succeeded();
    assert!(missing.stdout.contains("repeated 4 (5-8)"), "{missing:?}");
    assert!(
        missing.stdout.contains("4 repeated in one outbox"),
        "{missing:?}"
    );
}

#[test]
fn a_broker_with_a_password_gets_it_from_file_and_environment() {
    let Some(broker) = Mosquitto::with_password("whales", SECRET) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, format!("{SECRET}\n")).unwrap();
    let url = format!("mqtt://127.0.0.1:{}", broker.port());
    let login = [
        "--broker-user",
        "whales",
        "--broker-password-file",
        text(&file),
    ];
    let mut station = Station::start_on(&folder.path().join("shore"), &url, &login);

    let with_environment = |boat: &Boat, password: &str| {
        let mut command = boat.command();
        command
            .args(["--until-delivered", "40"])
            .env("FLUKEWATCH_BROKER_USER", "whales")
            .env("FLUKEWATCH_BROKER_PASSWORD", password);
        Running::start(command)
    };
    let boat = Boat::new(
        &folder.path().join("boat"),
        "balaena",
        Camera::Stills(20.0),
        broker.port(),
    );
    boat.set_stills(2);
    let mut wrong = with_environment(&boat, "wrong");
    wrong.wait_for_log("the broker rejected user, password or certificate");
    wrong.kill();
    let mut output = with_environment(&boat, SECRET).finish().succeeded();
    boat.assert_delivered();
    output.stderr += &fs::read_to_string(boat.outbox().join("health.json")).unwrap();

    // The same with a file, and in the URL.
    for (old, new) in [
        (
            "[uplink]\n",
            format!(
                "[uplink]\nuser = \"whales\"\npassword_file = \"{}\"\n",
                text(&file)
            ),
        ),
        (
            &*format!("user = \"whales\"\npassword_file = \"{}\"\n", text(&file)),
            String::new(),
        ),
        ("mqtt://127", format!("mqtt://whales:{SECRET}@127")),
    ] {
        boat.rewrite(|text| text.replace(old, &new));
        if new.is_empty() {
            continue;
        }
        let finished = boat.run(40).succeeded();
        boat.assert_delivered();
        output.stderr += &finished.stderr;
        output.stdout += &finished.stdout;
        let check = Program::Edge.run(&["check", "--config", text(&boat.config())]);
        output.stdout += &check.stdout;
    }
    output.stderr += &station.program().stderr();
    output.stdout += &station.get("/api/v1/health").to_string();
    assert!(!output.stderr.contains(SECRET), "{}", output.stderr);
    assert!(!output.stdout.contains(SECRET), "{}", output.stdout);
}

#[test]
fn shore_never_repeats_a_password() {
    let folder = tempfile::tempdir().unwrap();
    for wrong in [
        &["--broker", "mqtt://whales:S3cret-of-the-sea@"][..],
        &["--broker", "mqtt://whales:S3cret-of-the-sea"],
        &["--broker", "mqtts://whales:S3cret-of-the-sea@ho st"],
        &["--broker", "whales:S3cret-of-the-sea@host"],
        &["--mqtt", "mqtt://whales:S3cret-of-the-sea@host"],
        &["mqtt://whales:S3cret-of-the-sea@host"],
    ] {
        let arguments = [&["serve", "--data", text(folder.path())], wrong].concat();
        let finished = Program::Shore.run(&arguments).failed(2, &[]);
        assert!(!finished.stderr.is_empty());
        assert!(!finished.stderr.contains(SECRET), "{}", finished.stderr);
    }
    let file = folder.path().join("no-such-file");
    let arguments = [
        "--broker",
        "mqtt://h",
        "--broker-password-file",
        text(&file),
    ];
    let arguments = [&["serve", "--data", text(folder.path())], &arguments[..]].concat();
    Program::Shore.run(&arguments).failed(1, &["no-such-file"]);
}

/// The folders of earlier outboxes beside a boat's.
fn set_aside(boat: &Boat) -> Vec<PathBuf> {
    let listed = boat.listing()["set_aside"].as_array().unwrap().clone();
    let folder = |s: &Value| PathBuf::from(s["folder"].as_str().unwrap());
    listed.iter().map(folder).collect()
}

/// A boat whose outbox of 20 sightings is changed while all are pending goes on with a new one, and keeps the
/// old. So many of the 20 are brought back and reach shore.
fn a_changed_outbox_is_set_aside(
    change: impl FnOnce(&Path),
    words: &str,
    brought_back: RangeInclusive<usize>,
) {
    let folder = tempfile::tempdir().unwrap();
    let boat = Boat::new(
        &folder.path().join("boat"),
        "balaena",
        Camera::Stills(50.0),
        9,
    );
    boat.set_stills(20);
    boat.run(0).failed(3, &[]);
    assert_eq!(boat.accepted(), 20);
    change(&boat.outbox().join("outbox.sqlite3"));
    let station = Station::start(&folder.path().join("shore"));
    boat.configure("balaena", Camera::Stills(50.0), station.mqtt().port());
    boat.set_stills(3);
    let finished = boat.run(40).failed(0, &["outbox set aside", words]);
    let health = finished.json();
    let reason = health["outbox"]["set_aside"][0]["reason"].to_string();
    assert!(reason.contains(words), "{reason}");
    assert_eq!(health["accepted"], 3);
    boat.assert_delivered();
    let arrived = station.sightings();
    let ids: BTreeSet<_> = arrived.iter().map(|s| s["id"].to_string()).collect();
    assert_eq!(ids.len(), arrived.len(), "two sightings share an id");
    let old = arrived.len() - 3;
    assert!(
        brought_back.contains(&old),
        "{old} sightings brought back: {}",
        finished.stderr
    );
    if old == 20 {
        assert!(arrived.iter().all(|s| s["picture"] == "stored"));
    }
    let [aside] = &set_aside(&boat)[..] else {
        panic!("{:?}", set_aside(&boat))
    };
    assert_eq!(
        aside.parent(),
        boat.outbox().canonicalize().unwrap().parent()
    );
    assert_eq!(fs::read_dir(aside.join("pictures")).unwrap().count(), 20);
}

#[test]
fn a_missing_database_sets_its_pictures_aside() {
    a_changed_outbox_is_set_aside(
        |database| fs::remove_file(database).unwrap(),
        "missing",
        0..=0,
    );
}

#[test]
fn a_damaged_database_is_set_aside() {
    let damage = |database: &Path| {
        let mut bytes = fs::read(database).unwrap();
        let middle = bytes.len() / 2 / 4096 * 4096;
        bytes[middle..middle + 4096].fill(0xa5);
        fs::write(database, bytes).unwrap();
    };
    a_changed_outbox_is_set_aside(damage, "damaged", 0..=20);
}

#[test]
fn the_sightings_of_a_damaged_database_reach_shore() {
    let damage = |database: &Path| {
        let mut bytes = fs::read(database).unwrap();
        // The number of free pages: SQLite's check finds it, and no row is lost.
        bytes[36..40].fill(0x7f);
        fs::write(database, bytes).unwrap();
    };
    a_changed_outbox_is_set_aside(damage, "damaged", 20..=20);
}

#[test]
fn a_truncated_database_is_set_aside() {
    let cut = |database: &Path| {
        let bytes = fs::read(database).unwrap();
        fs::write(database, &bytes[..bytes.len() / 2]).unwrap();
    };
    a_changed_outbox_is_set_aside(cut, "damaged", 0..=20);
}

#[test]
fn a_check_fails_where_the_outbox_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let boat = Boat::new(
        &folder.path().join("boat"),
        "balaena",
        Camera::Stills(50.0),
        9,
    );
    boat.set_stills(1);
    let config = boat.config();
    let check = || Program::Edge.run(&["check", "--config", text(&config)]);
    assert!(check().succeeded().stdout.contains("ok    outbox"));
    let fails = |words: &str| {
        let finished = check().failed(1, &[]);
        let line = finished.stdout.lines().find(|l| l.contains(" outbox: "));
        let line = line.unwrap_or_default();
        assert!(
            line.starts_with("ERROR") && line.contains(words),
            "{finished:?}"
        );
        boat.run(0).failed(1, &[words]);
    };
    fs::write(boat.outbox(), "-").unwrap();
    fails("is a file");
    fs::remove_file(boat.outbox()).unwrap();
    symlink(folder.path().join("card"), boat.outbox()).unwrap();
    fails("is a link to");
}
