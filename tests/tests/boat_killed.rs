//! A boat whose program is killed again and again, at any moment and at the boundaries of its stages: each
//! encounter that was recorded reaches shore once, with its verdict.
//!
//! `FLUKEWATCH_KILLS=200 cargo test --release -p flukewatch-tests --test boat_killed` kills it more often.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_tests::boat::{Boat, Camera, KNOWN};
use flukewatch_tests::bundle::name;
use flukewatch_tests::program::Running;
use flukewatch_tests::station::Station;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How often the boat is killed, unless the environment says otherwise.
const KILLS: u32 = 10;
/// Encounters a second.
const RATE: f64 = 40.0;
/// What the log says at the boundaries: an encounter is recorded, and it is identified.
const BOUNDARIES: [&str; 2] = ["encounter recorded", "encounter identified"];
/// The longest time from a start to its kill.
const MAX_LIFE: Duration = Duration::from_millis(1500);

/// Kills the boat at a moment, or right after a line of its log.
fn kill(running: Running, random: &mut StdRng) {
    let boundary = BOUNDARIES.get(random.random_range(0..3usize));
    let begun = Instant::now();
    if let Some(boundary) = boundary {
        let after = random.random_range(1..6);
        while running.stderr().matches(boundary).count() < after && begun.elapsed() < MAX_LIFE * 4 {
            std::thread::sleep(Duration::from_micros(random.random_range(50..2000)));
        }
    } else {
        let life = random.random_range(Duration::from_millis(50)..MAX_LIFE);
        std::thread::sleep(life);
    }
    running.kill();
}

#[test]
fn what_was_recorded_arrives_once_with_its_verdict() {
    let kills = std::env::var("FLUKEWATCH_KILLS").map_or(KILLS, |n| n.parse().unwrap());
    let mut random = StdRng::seed_from_u64(17);
    let folder = tempfile::tempdir().unwrap();
    let station = Station::start(&folder.path().join("shore"));
    let boat = Boat::new(
        &folder.path().join("boat"),
        "balaena",
        Camera::Stills(RATE),
        station.mqtt().port(),
    );
    boat.set_stills(400);
    for _ in 0..kills {
        kill(boat.start(60), &mut random);
    }
    let recorded = boat.accepted();
    assert!(recorded >= u64::from(kills) / 2, "only {recorded} recorded");
    // Nothing more is seen; what is on board is identified and sent.
    boat.set_stills(1);
    boat.run(120).succeeded();
    boat.assert_delivered();
    let accepted = boat.accepted();
    assert_eq!(accepted, recorded + 1);
    let stored = station.has_all("balaena", accepted);
    let mut verdicts: HashMap<&str, usize> = HashMap::new();
    for sighting in &stored {
        *verdicts
            .entry(sighting["verdict"].as_str().unwrap())
            .or_default() += 1;
        check_verdict(sighting);
        assert_eq!(sighting["picture"], "stored");
        assert!(sighting["revision"].as_u64().unwrap() >= 1, "{sighting}");
    }
    assert_eq!(verdicts.get("unidentified"), None, "{verdicts:?}");
    assert!(verdicts["known"] > 0 && verdicts["new"] > 0, "{verdicts:?}");
    println!("{kills} kills, {accepted} recorded encounters: {verdicts:?}");
}

/// Known whales are the catalogue's.
fn check_verdict(sighting: &Value) {
    match sighting["verdict"].as_str().unwrap() {
        "known" => assert!((0..KNOWN).any(|whale| sighting["whale"] == json!(name(whale)))),
        "new" => assert_eq!(sighting["whale"], json!(null)),
        other => panic!("{other}: {sighting}"),
    }
}
