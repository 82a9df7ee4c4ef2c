//! From the boat's camera to shore's database, through the real programs, with and without power cuts.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_tests::boat::{Boat, Camera, KNOWN, whale_of};
use flukewatch_tests::bundle::name;
use flukewatch_tests::station::Station;
use flukewatch_tests::wait::until;
use serde_json::json;
use std::time::Duration;

/// Stills in the tests of power cuts, and how many of them are taken a second: enough time to cut in the middle.
const STILLS: u32 = 60;
const RATE: f64 = 25.0;

#[test]
fn a_film_becomes_sightings_on_shore() {
    let folder = tempfile::tempdir().unwrap();
    let station = Station::start(&folder.path().join("shore"));
    let boat = Boat::new(
        &folder.path().join("boat"),
        "balaena",
        Camera::Film,
        station.mqtt().port(),
    );
    // A gap of 1 s, ten frames, ends an encounter; five frames of sea do not.
    boat.takes_film(&[
        (None, 12),
        (Some(3), 8),
        (None, 5),
        (Some(3), 4),
        (None, 12),
        (Some(77), 6),
        (None, 12),
        (Some(0), 9),
    ]);
    let health = boat.run(40).succeeded().json();
    assert_eq!(
        (
            &health["frames"],
            &health["encounters"],
            &health["dead_letters"]
        ),
        (&json!(68), &json!(3), &json!(0))
    );
    boat.is_empty();
    let told: Vec<_> = station
        .has_all("balaena", 3)
        .iter()
        .map(|s| {
            (
                s["verdict"].clone(),
                s["whale"].clone(),
                s["frames"].clone(),
            )
        })
        .collect();
    let expected = [
        (json!("known"), json!("W03"), json!(12)),
        (json!("new"), json!(null), json!(6)),
        (json!("known"), json!("W00"), json!(9)),
    ];
    assert_eq!(told, expected);
}

#[test]
fn two_boats_at_once_keep_apart() {
    let folder = tempfile::tempdir().unwrap();
    let station = Station::start(&folder.path().join("shore"));
    let boats = ["balaena", "megaptera"].map(|boat| {
        let at_sea = Boat::new(
            &folder.path().join(boat),
            boat,
            Camera::Stills(100.0),
            station.mqtt().port(),
        );
        at_sea.takes_stills(12);
        at_sea
    });
    for running in boats.each_ref().map(|boat| boat.start(40)) {
        running.finish().succeeded();
    }
    for (boat, at_sea) in ["balaena", "megaptera"].iter().zip(&boats) {
        at_sea.is_empty();
        station.has_all(boat, 12);
    }
}

/// Shore and its broker die three times while a boat sends; the boat notices nothing but a broken link.
#[test]
fn nothing_is_lost_when_shore_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut station = Station::start(&folder.path().join("shore"));
    let boat = Boat::new(
        &folder.path().join("boat"),
        "balaena",
        Camera::Stills(RATE),
        station.mqtt().port(),
    );
    boat.takes_stills(STILLS);
    let running = boat.start(40);
    for stored in [5, 20, 40] {
        until("shore stores", || station.count() >= stored);
        let (data, http, mqtt) = station.kill();
        std::thread::sleep(Duration::from_millis(200));
        station = Station::start_at(&data, http, mqtt);
    }
    let finished = running.finish().succeeded();
    assert_eq!(finished.json()["accepted"], STILLS);
    boat.is_empty();
    let stored = station.has_all("balaena", u64::from(STILLS));
    for (i, sighting) in stored.iter().enumerate() {
        let whale = whale_of(i as u32);
        let known = if whale < KNOWN {
            json!(name(whale))
        } else {
            json!(null)
        };
        assert_eq!(sighting["whale"], known, "{sighting}");
    }
}

/// The boat dies three times, twice with shore there and once without; what it had accepted arrives.
#[test]
fn nothing_is_lost_when_the_boat_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut station = Station::start(&folder.path().join("shore"));
    let boat = Boat::new(
        &folder.path().join("boat"),
        "balaena",
        Camera::Stills(RATE),
        station.mqtt().port(),
    );
    boat.takes_stills(STILLS);
    for stored in [4, 24] {
        let running = boat.start(40);
        until("shore stores", || station.count() >= stored);
        accepted_what_it_said(&boat, &running.kill());
    }
    let (data, http, mqtt) = station.kill();
    let before = boat.accepted();
    let running = boat.start(40);
    until("the boat accepts", || {
        running.said().matches("sequence=").count() >= 10
    });
    accepted_what_it_said(&boat, &running.kill());
    let waiting = boat.accepted();
    assert!(waiting >= before + 10, "{waiting} after {before}");

    station = Station::start_at(&data, http, mqtt);
    let finished = boat.run(40).succeeded();
    let accepted = boat.accepted();
    assert_eq!(
        (finished.json()["accepted"].clone(), accepted),
        (json!(STILLS), waiting + u64::from(STILLS))
    );
    boat.is_empty();
    station.has_all("balaena", accepted);
}

/// A sighting is told in the log once it is accepted: each number in there must be in the outbox.
fn accepted_what_it_said(boat: &Boat, log: &str) {
    let numbers = log
        .split("sequence=")
        .skip(1)
        .filter_map(|rest| rest.split(' ').next()?.trim().parse::<u64>().ok());
    let told = numbers.max().unwrap_or(0);
    assert!(told > 0, "nothing was told: {log}");
    assert!(
        boat.accepted() >= told,
        "{told} was told and is not in the outbox"
    );
}
