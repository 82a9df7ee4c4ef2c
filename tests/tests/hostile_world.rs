//! Hostile messages, an unreachable broker, and a full disk: shore keeps running, and the boat loses
//! nothing.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_common::sighting::Ack;
use flukewatch_common::wire;
use flukewatch_tests::boat::{Boat, Camera, KNOWN, text, whale_of};
use flukewatch_tests::mqtt::{Client, send_garbage};
use flukewatch_tests::pictures::{fluke, jpeg};
use flukewatch_tests::program::{Program, Running, plain};
use flukewatch_tests::station::Station;
use flukewatch_tests::wait::until;
use image::{Rgb, RgbImage};
use serde_json::json;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

const SIGHTINGS: &str = "flukewatch/v1/balaena/sighting";
const FLOOD: usize = 100_000_000;

#[test]
fn hostile_messages_are_rejected_by_reason_and_valid_ones_stored() {
    let folder = tempfile::tempdir().unwrap();
    let mut station = Station::start(&folder.path().join("shore"));
    let broker = station.mqtt();
    let boat = Boat::new(
        &folder.path().join("boat"),
        "balaena",
        Camera::Stills(10.0),
        broker.port(),
    );
    boat.set_stills(30);
    let running = boat.start(40);
    until("shore stores", || station.count() >= 3);

    let mut client = Client::connect(broker, "mallory").unwrap();
    let random: Vec<u8> = (0..5000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    client.publish(SIGHTINGS, &random).unwrap();
    let ack = wire::encode(&Ack {
        boat: "balaena".parse().unwrap(),
        stored: vec![],
        rejected: vec![],
    })
    .unwrap();
    client.publish(SIGHTINGS, &ack).unwrap();
    let mut newer = ack.clone();
    // A sighting of version 9.
    newer[4..6].copy_from_slice(&[1, 9]);
    client.publish(SIGHTINGS, &newer).unwrap();
    client.publish(SIGHTINGS, &ack[..7]).unwrap();
    client.publish(SIGHTINGS, b"").unwrap();
    client
        .publish("flukewatch/v1/Not A Boat/picture", &random)
        .unwrap();
    send_garbage(broker, &random).unwrap();
    send_garbage(broker, b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let sent = Client::connect(broker, "trudy")
        .unwrap()
        .flood(SIGHTINGS, FLOOD);
    assert!(
        sent < FLOOD / 2,
        "{sent} bytes of an oversized message were read"
    );

    running.finish().succeeded();
    boat.assert_delivered();
    station.has_all("balaena", 30);
    for (reason, times) in [
        ("unknown_format", 1),
        ("wrong_kind", 1),
        ("unsupported_version", 1),
        ("corrupt", 2),
        ("unknown_topic", 1),
    ] {
        assert_eq!(station.rejected(reason), times, "{reason}");
    }
    until("the flood is listed", || station.rejected("too_large") == 1);
    assert!(station.program().is_running());
    if let Some(peak) = peak_megabytes(station.program().id()) {
        assert!(peak < 150, "shore took {peak} MB");
    }
}

/// Peak resident memory of a process, in megabytes; `None` where the system does not report it.
fn peak_megabytes(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
}

/// Without a broker the boat keeps working, logs one warning, and exits with code 3; once there is a
/// broker, everything is delivered.
#[test]
fn an_unreachable_broker_only_delays_delivery() {
    let folder = tempfile::tempdir().unwrap();
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let boat = Boat::new(
        &folder.path().join("boat"),
        "balaena",
        Camera::Stills(100.0),
        address.port(),
    );
    boat.set_stills(8);
    let link = format!("broker mqtt://{address} disconnected");
    let finished = boat
        .run(2)
        .failed(3, &[&link, "16 messages are still pending in the outbox"]);
    assert_eq!(
        finished.stderr.matches(&link).count(),
        1,
        "{}",
        finished.stderr
    );
    let health = finished.json();
    assert_eq!(
        (&health["accepted"], &health["broker"]),
        (&json!(8), &json!("disconnected"))
    );

    let any = "127.0.0.1:0".parse().unwrap();
    let station = Station::start_at(&folder.path().join("shore"), any, address);
    boat.configure("balaena", Camera::Video, address.port());
    boat.set_video(&[(None, 1)]);
    boat.run(40).succeeded();
    boat.assert_delivered();
    station.has_all("balaena", 8);
}

/// A limit of 128 KiB per file simulates a full disk, on which large pictures do not fit; then the limit
/// is lifted. The outbox and its reserved space exist from an earlier run.
#[test]
fn a_full_disk_delays_sightings_and_loses_none() {
    if Command::new("prlimit").arg("--version").output().is_err() {
        eprintln!("skipped: prlimit not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let station = Station::start(&folder.path().join("shore"));
    let boat = Boat::new(
        &folder.path().join("boat"),
        "balaena",
        Camera::Video,
        station.mqtt().port(),
    );
    boat.set_video(&[(None, 1)]);
    boat.run(40).succeeded();
    boat.configure("balaena", Camera::Stills(50.0), station.mqtt().port());
    let noise = jpeg(&noise());
    assert!(noise.len() > 150_000);
    boat.set_frames((0..6).map(|i| {
        let photo = if i < 2 {
            jpeg(&fluke(whale_of(i)))
        } else {
            noise.clone()
        };
        (format!("{i}.jpg"), photo)
    }));
    let mut running = Running::start(on_full_disk(&boat.config()));
    running.wait_for_log("no space in ");
    until("the first sightings are delivered", || station.count() == 2);
    assert_eq!(boat.accepted(), 2);
    assert!(running.is_running());

    let lifted = Command::new("prlimit")
        .args(["--fsize=unlimited", "--pid", &running.id().to_string()])
        .status();
    assert!(lifted.unwrap().success());
    let finished = running.finish().succeeded();
    assert!(
        finished.stderr.contains("outbox accepts recordings again"),
        "{}",
        finished.stderr
    );
    assert_eq!(
        (
            &finished.json()["accepted"],
            &finished.json()["dropped_sightings"]
        ),
        (&json!(6), &json!(0))
    );
    boat.assert_delivered();
    assert!(whale_of(0) < KNOWN);
    station.has_all("balaena", 6);
}

/// The boat's program with files limited to 128 KiB. Exceeding the limit is an error rather than a
/// signal, like on a full disk.
fn on_full_disk(config: &Path) -> Command {
    let edge = Program::Edge.path();
    let script = "trap '' XFSZ; exec \"$@\"";
    let limited = [
        "--fsize=131072:unlimited",
        "sh",
        "-c",
        script,
        "sh",
        text(&edge),
    ];
    let work = ["run", "--config", text(config), "--until-delivered", "40"];
    plain(Command::new("prlimit"), &[&limited[..], &work].concat())
}

/// A picture that JPEG cannot compress.
fn noise() -> RgbImage {
    let mut state = 7u32;
    RgbImage::from_fn(640, 400, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Rgb([(state >> 24) as u8, (state >> 16) as u8, (state >> 8) as u8])
    })
}
