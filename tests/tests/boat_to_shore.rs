//! From the boat's camera to shore's database with the real programs, with and without power cuts.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_tests::boat::{Boat, Camera, KNOWN, whale_of};
use flukewatch_tests::bundle::name;
use flukewatch_tests::station::Station;
use flukewatch_tests::wait::until;
use serde_json::json;
use std::time::Duration;

/// The number of stills in the tests of power cuts, and their rate per second: slow enough to
/// interrupt the delivery.
const STILLS: u32 = 60;
const RATE: f64 = 25.0;

#[test]
fn a_video_becomes_sightings_on_shore() {
    let folder = tempfile::tempdir().unwrap();
    let station = Station::start(&folder.path().join("shore"));
    let boat = Boat::new(
        &folder.path().join("boat"),
        "balaena",
        Camera::Video,
        station.mqtt().port(),
    );
    // A gap of 1 s, ten frames, ends an encounter; five frames of sea do not.
    boat.set_video(&[
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
    boat.assert_delivered();
    let stored: Vec<_> = station
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
    assert_eq!(stored, expected);
}

#[test]
fn simultaneous_boats_do_not_interfere() {
    let folder = tempfile::tempdir().unwrap();
    let station = Station::start(&folder.path().join("shore"));
    let boats = ["balaena", "megaptera"].map(|name| {
        let boat = Boat::new(
            &folder.path().join(name),
            name,
            Camera::Stills(100.0),
            station.mqtt().port(),
        );
        boat.set_stills(12);
        boat
    });
    for running in boats.each_ref().map(|boat| boat.start(40)) {
        running.finish().succeeded();
    }
    for (name, boat) in ["balaena", "megaptera"].iter().zip(&boats) {
        boat.assert_delivered();
        station.has_all(name, 12);
    }
}

#[test]
fn the_status_of_a_boat_is_on_shore_while_it_runs_and_offline_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let station = Station::start(&folder.path().join("shore"));
    let boat = Boat::new(
        &folder.path().join("boat"),
        "balaena",
        Camera::Stills(RATE),
        station.mqtt().port(),
    );
    boat.set_stills(STILLS);
    let status = || station.get("/api/v1/boats")[0]["status"].clone();
    let running = boat.start(40);
    until("shore has the status", || status()["contact"] == "online");
    let online = status();
    assert_eq!(online["cameras"], 1, "{online}");
    assert_eq!(online["version"], env!("CARGO_PKG_VERSION"), "{online}");
    running.finish().succeeded();
    until("the boat is offline", || status()["contact"] == "offline");
    boat.assert_delivered();
}

/// Shore and its broker are killed three times while a boat sends; the boat only sees lost
/// connections.
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
    boat.set_stills(STILLS);
    let running = boat.start(40);
    for stored in [5, 20, 40] {
        until("shore stores", || station.count() >= stored);
        let (data, http, mqtt) = station.kill();
        std::thread::sleep(Duration::from_millis(200));
        station = Station::start_at(&data, http, mqtt);
    }
    let finished = running.finish().succeeded();
    assert_eq!(finished.json()["accepted"], STILLS);
    boat.assert_delivered();
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

/// The boat is killed three times, twice while shore runs and once while it does not; every accepted
/// sighting arrives.
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
    boat.set_stills(STILLS);
    for stored in [4, 24] {
        let running = boat.start(40);
        until("shore stores", || station.count() >= stored);
        logged_sightings_are_accepted(&boat, &running.kill());
    }
    let (data, http, mqtt) = station.kill();
    let before = boat.accepted();
    let running = boat.start(40);
    until("the boat accepts", || {
        running.stderr().matches("encounter recorded").count() >= 10
    });
    logged_sightings_are_accepted(&boat, &running.kill());
    let waiting = boat.accepted();
    assert!(waiting >= before + 10, "{waiting} after {before}");

    station = Station::start_at(&data, http, mqtt);
    let finished = boat.run(40).succeeded();
    let accepted = boat.accepted();
    assert_eq!(
        (finished.json()["accepted"].clone(), accepted),
        (json!(STILLS), waiting + u64::from(STILLS))
    );
    boat.assert_delivered();
    station.has_all("balaena", accepted);
}

/// A sighting is logged once it is accepted: every logged sequence number must be in the outbox.
fn logged_sightings_are_accepted(boat: &Boat, log: &str) {
    let numbers = log
        .split("sequence=")
        .skip(1)
        .filter_map(|rest| rest.split(' ').next()?.trim().parse::<u64>().ok());
    let logged = numbers.max().unwrap_or(0);
    assert!(logged > 0, "no sighting was logged: {log}");
    assert!(
        boat.accepted() >= logged,
        "{logged} was logged and is not in the outbox"
    );
}
