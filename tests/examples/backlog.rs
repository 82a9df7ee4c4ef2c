//! Measures a boat that comes home for `cargo xtask bench backlog`: an outbox of many days without a link, then an hour's budget over
//! Iridium begins, then the harbour.
//!
//! ```sh
//! cargo run --release -p flukewatch-tests --example backlog -- DAYS SIGHTINGS_PER_DAY IRIDIUM_SECONDS
//! ```
//!
//! Boat, mosquitto and station are real programs, with TLS and signatures. Prints a JSON object.
#![allow(clippy::unwrap_used, reason = "a failed step fails the measurement")]

use flukewatch_common::clock::Timestamp;
use flukewatch_common::samples;
use flukewatch_common::sighting::{BoatId, Sighting};
use flukewatch_edge::outbox::{NewEpoch, Outbox};
use flukewatch_tests::boat::{Boat, Camera, text};
use flukewatch_tests::pictures;
use flukewatch_tests::program::{Program, Running};
use flukewatch_tests::station::Station;
use flukewatch_tests::wait::until;
use image::{Rgb, RgbImage};
use serde_json::{Value, json};
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use uuid::Uuid;

const BOAT: &str = "balaena";
const DAY: i64 = 86_400_000;
/// The size of a fluke's picture.
const WIDTH: u32 = 320;
const HEIGHT: u32 = 160;
/// Pictures that differ; more would only take longer to encode.
const PICTURES: u32 = 16;

fn main() {
    let arguments: Vec<u32> = std::env::args()
        .skip(1)
        .map(|a| a.parse().unwrap())
        .collect();
    let [days, per_day, iridium_seconds] = arguments[..] else {
        panic!("expected DAYS SIGHTINGS_PER_DAY IRIDIUM_SECONDS");
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("station");
    let Some(station) = Station::start_with_certificates(&data) else {
        panic!("mosquitto is not installed");
    };
    let boat = boat(folder.path(), &data, &station);

    // Without a link: the broker's port is closed.
    set_link(&boat, "harbour", 1);
    let empty = start(&boat);
    let all = days * per_day;
    let tenth = all / 10;
    let mut filled = Instant::now();
    fill(&boat, 0..tenth, all, per_day);
    let mut seconds_to_fill = filled.elapsed().as_secs_f64();
    let some = start(&boat);
    filled = Instant::now();
    fill(&boat, tenth..all, all, per_day);
    seconds_to_fill += filled.elapsed().as_secs_f64();
    let accepted = boat.accepted();
    let full = start(&boat);

    set_link(&boat, "iridium", station.mqtt().port());
    let mut running = Running::start(boat.command());
    std::thread::sleep(Duration::from_secs(iridium_seconds.into()));
    let over_iridium = json!({
        "seconds": iridium_seconds,
        "briefs": count(&station.get("/api/v1/briefs?limit=10000")),
        "sightings": station.count(),
        "memory_bytes": memory(&running, "VmRSS"),
    });
    stop(&mut running);

    set_link(&boat, "harbour", station.mqtt().port());
    let began = Instant::now();
    let mut running = boat.start(3_600);
    let total = boat.accepted();
    let mut sightings = None;
    let mut peak = 0;
    while running.is_running() {
        peak = peak.max(memory(&running, "VmHWM"));
        if sightings.is_none() && station.count() >= total {
            sightings = Some(began.elapsed().as_secs_f64());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let everything = began.elapsed().as_secs_f64();
    running.finish().succeeded();
    boat.assert_delivered();
    let total = boat.accepted();
    let missing = Program::Shore.run(&["missing", "--data", text(&data)]);
    println!(
        "{}",
        json!({
            "backlog": accepted,
            "seconds_to_fill": seconds_to_fill,
            "empty": empty,
            "tenth": some,
            "full": full,
            "iridium": over_iridium,
            "accepted": total,
            "stored": station.count(),
            "pictures_stored": stored_pictures(&data),
            "missing": missing.code != Some(0),
            "seconds_to_all_sightings": sightings.unwrap_or(everything),
            "seconds_to_everything": everything,
            "peak_bytes": peak,
        })
    );
}

/// A boat with an identity and one fluke before its camera.
fn boat(folder: &Path, data: &Path, station: &Station) -> Boat {
    let identity = folder.join("identity");
    let arguments = [
        "provision",
        BOAT,
        "--data",
        text(data),
        "--out",
        text(&identity),
    ];
    Program::Shore.run(&arguments).succeeded();
    let boat = Boat::new(&folder.join("boat"), BOAT, Camera::Stills(20.0), 1);
    boat.rewrite(|config| {
        let line = format!(
            "[uplink]\nidentity = \"{}\"\nlink = \"harbour\"",
            text(&identity)
        );
        config
            .replace("[uplink]", &line)
            .replace("mqtt://127.0.0.1:1\"", "mqtts://127.0.0.1:1\"")
    });
    boat.set_stills(1);
    assert!(station.mqtt().port() > 1);
    boat
}

/// Rewrites the link class and the broker's port.
fn set_link(boat: &Boat, class: &str, port: u16) {
    boat.rewrite(|config| {
        let lines = config.lines().map(|line| {
            if line.starts_with("link = ") {
                format!("link = \"{class}\"")
            } else if line.starts_with("broker = ") {
                format!("broker = \"mqtts://127.0.0.1:{port}\"")
            } else {
                line.to_owned()
            }
        });
        lines.collect::<Vec<_>>().join("\n") + "\n"
    });
}

/// Accepts some of `all` sightings, the last of which was now.
fn fill(boat: &Boat, numbers: Range<u32>, all: u32, per_day: u32) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = Timestamp(now.as_millis() as i64);
    let id: BoatId = BOAT.parse().unwrap();
    let epoch = NewEpoch {
        id: Uuid::now_v7(),
        now,
    };
    let mut outbox = Outbox::open(&boat.outbox(), &id, 1 << 40, epoch).unwrap();
    let photos: Vec<Vec<u8>> = (0..PICTURES)
        .map(|seed| pictures::jpeg(&noise(seed)))
        .collect();
    for number in numbers {
        let before = i64::from(all - number) * DAY / i64::from(per_day);
        let ended = now.plus_millis(-before);
        let sighting = Sighting {
            id: Uuid::now_v7(),
            boat: id.clone(),
            sequence: 0,
            epoch: None,
            started: ended.plus_millis(-3_500),
            ended,
            ..samples::sighting()
        };
        let photo = photos[number as usize % photos.len()].clone();
        let (sighting, picture) = samples::with_picture(sighting, photo, WIDTH, HEIGHT);
        outbox.accept(&sighting, &picture.jpeg, ended).unwrap();
    }
}

/// A picture that is as large as one of a fluke, about 20 kB.
fn noise(seed: u32) -> RgbImage {
    let mut state = seed + 7;
    RgbImage::from_fn(WIDTH, HEIGHT, |x, y| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let grain = (state >> 26) as u8;
        Rgb([(x / 2) as u8 + grain, y as u8 + grain, 90 + grain])
    })
}

/// Starts the boat until it has recorded an encounter. Returns the seconds that took, and its memory some seconds later.
fn start(boat: &Boat) -> Value {
    let mut command = boat.command();
    command.env("RUST_LOG", "info");
    let began = Instant::now();
    let mut running = Running::start(command);
    until("an encounter is recorded", || {
        running.stderr().contains("encounter recorded")
    });
    let seconds = began.elapsed().as_secs_f64();
    std::thread::sleep(Duration::from_secs(5));
    let bytes = memory(&running, "VmRSS");
    stop(&mut running);
    json!({ "seconds_to_start": seconds, "memory_bytes": bytes })
}

fn stop(running: &mut Running) {
    if running.is_running() {
        running.signal("TERM");
        until("the boat stops", || !running.is_running());
    }
}

/// A line of the process's status, in bytes; 0 when it has ended.
fn memory(running: &Running, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap_or_default();
    let value = status
        .lines()
        .find_map(|l| l.strip_prefix(line)?.strip_prefix(':'));
    let kilobytes = value.and_then(|v| v.trim().split(' ').next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

fn count(list: &Value) -> usize {
    list.as_array().map_or(0, Vec::len)
}

/// Complete pictures on shore.
fn stored_pictures(data: &Path) -> usize {
    let files = fs::read_dir(data.join("pictures")).unwrap();
    let names = files.map(|file| file.unwrap().file_name());
    names
        .filter(|name| name.to_string_lossy().ends_with(".jpg"))
        .count()
}
