//! Boats with GNSS receivers that send what real ones send.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_tests::boat::{Boat, Camera};
use flukewatch_tests::receiver::{Receiver, sentence};
use flukewatch_tests::station::Station;
use serde_json::Value;
use std::path::Path;

const LATITUDE: f64 = 38.5123;
const LONGITUDE: f64 = -28.625;
const SIGHTINGS: u32 = 3;

/// What a boat reports: its health document and its last sighting on shore.
struct Reported {
    health: Value,
    sighting: Value,
}

/// A boat with a still every second and this receiver, run until everything is delivered.
fn sail(source: &str, receiver: &Receiver) -> Reported {
    sail_past(SIGHTINGS, source, receiver)
}

/// The same with this many stills, which is as many seconds.
fn sail_past(sightings: u32, source: &str, receiver: &Receiver) -> Reported {
    let folder = tempfile::tempdir().unwrap();
    let station = Station::start(&folder.path().join("shore"));
    let boat = boat(folder.path(), station.mqtt().port());
    boat.set_stills(sightings);
    boat.rewrite(|text| text + &receiver.section(source));
    let health = boat.run(40).succeeded().json();
    let mut all = station.has_all("balaena", u64::from(sightings));
    Reported {
        health,
        sighting: all.pop().unwrap(),
    }
}

fn boat(folder: &Path, port: u16) -> Boat {
    let boat = Boat::new(&folder.join("boat"), "balaena", Camera::Stills(1.0), port);
    boat.set_stills(SIGHTINGS);
    boat
}

fn nmea(block: impl Fn(&str) -> String + Send + 'static) -> Reported {
    sail(
        "nmea-tcp",
        &Receiver::start(move |time| block(time).into_bytes()),
    )
}

/// RMC at the Azores on `date`, with an end of its own.
fn rmc(time: &str, date: &str, end: &str) -> String {
    sentence(&format!(
        "GPRMC,{time},A,3830.7380,N,02837.5000,W,6.5,270.0,{date},{end}"
    ))
}

fn assert_at(reported: &Reported, latitude: f64, longitude: f64) {
    let Reported { health, sighting } = reported;
    assert_eq!(health["position"]["state"], "fix", "{health}");
    for (value, key) in [(latitude, "latitude"), (longitude, "longitude")] {
        for position in [&health["position"], &sighting["position"]] {
            let found = position[key].as_f64().unwrap();
            assert!((found - value).abs() < 1e-6, "{key} {found}: {position}");
        }
    }
}

fn dated(reported: &Reported, date: &str) -> bool {
    let started = reported.sighting["started"].as_str().unwrap();
    started.starts_with(date)
}

#[test]
fn a_receiver_that_does_not_know_the_date_gives_a_position_and_no_time() {
    for (date, stated) in [
        ("060180", "1980-01-06T16:2"),
        ("090746", "2046-07-09T16:2"),
        ("090407", "2007-04-09T16:2"),
    ] {
        let reported = nmea(move |time| {
            let (day, rest) = date.split_at(2);
            let (month, year) = rest.split_at(2);
            let century = if year == "80" { "19" } else { "20" };
            rmc(time, date, ",,A")
                + &sentence(&format!("GPZDA,{time},{day},{month},{century}{year},00,00"))
        });
        assert_at(&reported, LATITUDE, LONGITUDE);
        let time = &reported.health["time"];
        assert_eq!(time["source"], "system", "{time}");
        let implausible = time["implausible_time"].as_str().unwrap();
        assert!(implausible.starts_with(stated), "{time}");
        assert!(!dated(&reported, &stated[..10]), "{}", reported.sighting);
    }
}

#[test]
fn a_date_of_gpsd_is_rejected_like_any_other_and_each_device_counts() {
    let reported = sail(
        "gpsd",
        &Receiver::start(|_| {
            let with = r#"{"class":"TPV","device":"/dev/ttyUSB0","mode":3,"time":"2046-07-09T16:20:00.000Z","lat":38.5123,"lon":-28.625}"#;
            let without = r#"{"class":"TPV","device":"/dev/ttyUSB1","mode":1}"#;
            format!("{with}\n{without}\n").into_bytes()
        }),
    );
    assert_at(&reported, LATITUDE, LONGITUDE);
    let Reported { health, .. } = &reported;
    assert_eq!(health["time"]["source"], "system", "{health}");
    let sources = &health["position"]["sources"];
    assert_eq!(
        (&sources[0]["name"], &sources[0]["state"]),
        (&"/dev/ttyUSB0".into(), &"fix".into())
    );
    assert_eq!(
        (&sources[1]["name"], &sources[1]["state"]),
        (&"/dev/ttyUSB1".into(), &"no_fix".into())
    );
}

#[test]
fn the_right_date_is_used_once_the_receiver_knows_it() {
    let reported = nmea(|time| {
        let date = if time < "162001" { "060180" } else { "231126" };
        rmc(time, date, ",,A")
    });
    assert_at(&reported, LATITUDE, LONGITUDE);
    assert_eq!(reported.health["time"]["source"], "gnss");
    assert!(dated(&reported, "2026-11-23T16:"), "{}", reported.sighting);
}

#[test]
fn degrees_without_leading_zeros_are_the_right_place() {
    for (latitude, longitude, north, east) in [
        ("5047.445,N", "100.102,W", 50.79075, -1.0017),
        ("830.738,S", "1237.5,E", -8.5123, 12.625),
        ("30.0,N", "6.0,E", 0.5, 0.1),
    ] {
        let reported = nmea(move |time| {
            sentence(&format!(
                "GPRMC,{time},A,{latitude},{longitude},6.5,270.0,231126,,,A"
            ))
        });
        assert_at(&reported, north, east);
    }
}

#[test]
fn the_best_source_counts() {
    let reported = nmea(|time| {
        let ais = "!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C\r\n";
        rmc(time, "231126", ",,A")
            + ais
            + &sentence(&format!("IIRMC,{time},V,,,,,,,231126,,,N"))
            + &sentence(&format!("IIGGA,{time},,,,,0,03,9.75,12.0,M,54.0,M,,"))
    });
    assert_at(&reported, LATITUDE, LONGITUDE);
    let position = &reported.health["position"];
    let sources = position["sources"].as_array().unwrap();
    let states: Vec<&str> = sources.iter().filter_map(|s| s["state"].as_str()).collect();
    assert_eq!(states, ["fix", "no_fix", "no_fix"], "{position}");
    assert_eq!(
        (&position["damaged"], &position["skipped_bytes"]),
        (&0.into(), &0.into())
    );
}

#[test]
fn gll_or_gns_alone_and_glued_sentences_give_a_position() {
    type Block = fn(&str) -> String;
    let blocks: [Block; 5] = [
        |time| sentence(&format!("GPGLL,3830.7380,N,02837.5000,W,{time},A,A")),
        |time| {
            sentence(&format!(
                "GNGNS,{time},3830.7380,N,02837.5000,W,ANN,09,0.8,1.0,1.0,,"
            ))
        },
        |time| format!("\0{}", rmc(time, "231126", ",,A")),
        |time| format!("login: {}", rmc(time, "231126", ",,A").trim_end()),
        |time| {
            let rmc = rmc(time, "231126", ",,A");
            format!("{}{rmc}", &rmc[..30])
        },
    ];
    for block in blocks {
        let reported = nmea(block);
        assert_at(&reported, LATITUDE, LONGITUDE);
    }
}

#[test]
fn legal_sentences_are_not_counted_as_damage() {
    let without_fix =
        nmea(|_| sentence("GPRMC,,V,,N,,E,,,,,,N") + &sentence("GPGGA,,,,,,0,00,99.99,,,,,,"));
    let position = &without_fix.health["position"];
    assert_eq!(position["state"], "no_fix", "{position}");
    assert_eq!(position["connections"], 1, "{position}");
    let with_fix = nmea(|time| {
        rmc(time, "231126", "4.3,,A")
            + &sentence(&format!(
                "GPGGA,{time},3830.738000000,N,02837.500000000,W,1,09,0.7500,1234.5678901,M,-54.1234567,M,123.4567,0000"
            ))
    });
    assert_at(&with_fix, LATITUDE, LONGITUDE);
    for reported in [without_fix, with_fix] {
        let position = &reported.health["position"];
        assert_eq!(position["trouble"], Value::Null, "{position}");
        for key in ["damaged", "malformed", "ignored"] {
            assert_eq!(position[key], 0, "{position}");
        }
    }
}

#[test]
fn the_hint_names_what_is_wrong() {
    let trouble = |reported: Reported| {
        let position = &reported.health["position"];
        assert_ne!(position["state"], "fix", "{position}");
        position["trouble"].as_str().unwrap().to_owned()
    };
    let bare = trouble(nmea(|time| {
        rmc(time, "231126", ",,A")
            .split('*')
            .next()
            .unwrap()
            .to_owned()
            + "\r\n"
    }));
    assert!(
        bare.contains("checksum") && !bare.contains("baud"),
        "{bare}"
    );
    // Long enough for the receiver's timeout of 2 s.
    let garbage = sail_past(
        8,
        "nmea-tcp",
        &Receiver::start(|_| b"\x86\x1f\xf8\xe6\x66\x98\x9e\x00".repeat(9)),
    );
    let garbage = trouble(garbage);
    assert!(garbage.contains("baud rate"), "{garbage}");
}

#[test]
fn messages_do_not_age_by_a_difference_between_clocks() {
    let folder = tempfile::tempdir().unwrap();
    let station = Station::start(&folder.path().join("shore"));
    let boat = boat(folder.path(), 1);
    let configured = std::fs::read_to_string(boat.config()).unwrap();
    // Years ahead of any computer's clock.
    let receiver = Receiver::start(|time| rmc(time, "010640", ",,A").into_bytes());
    let section = receiver.section("nmea-tcp") + "\n[archive]\ndays = 1.0\n";
    boat.rewrite(|text| text + &section);
    let finished = boat.run(1);
    assert_eq!(finished.code, Some(3), "{finished:?}");
    let health = finished.json();
    assert_eq!(health["time"]["source"], "gnss", "{health}");
    let age = health["outbox"]["oldest_pending_seconds"].as_u64().unwrap();
    assert!(age < 120, "{health}");
    // Delivered without GNSS, archived, and not pruned by the next session with it.
    let port = station.mqtt().port();
    let online = configured.replace("127.0.0.1:1\"", &format!("127.0.0.1:{port}\""));
    boat.rewrite(|_| online.clone());
    boat.run(40).succeeded();
    boat.rewrite(|_| online + &section);
    let health = boat.run(40).succeeded().json();
    assert_eq!(
        health["outbox"]["archived_sightings"],
        3 * SIGHTINGS,
        "{health}"
    );
}
