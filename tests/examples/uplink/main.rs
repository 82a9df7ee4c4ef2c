//! Measures the uplink for `cargo xtask bench uplink`: what a sighting costs on the wire in three formats, and how soon a boat delivers
//! again after its link was cut.
//!
//! ```sh
//! cargo run --release -p flukewatch-tests --example uplink -- SIGHTINGS CUTS SECONDS
//! ```
//!
//! Prints a JSON object.
#![allow(clippy::unwrap_used, reason = "a failed step fails the measurement")]

mod formats;
mod proxy;

use flukewatch_common::sighting::{BoatId, MessageKind};
use flukewatch_common::{brief, topic, wire};
use flukewatch_mqtt::{Dialer, Event, Outgoing, Settings, TlsFiles};
use flukewatch_tests::boat::{Boat, Camera, text};
use flukewatch_tests::program::{Program, Running};
use flukewatch_tests::station::Station;
use flukewatch_tests::typical_sighting::typical_sighting;
use flukewatch_tests::wait::until;
use flukewatch_trust::{Purpose, SigningKey, seal};
use proxy::{Condition, Proxy};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use uuid::Uuid;

const BOAT: &str = "balaena";
/// Of TCP and IPv4 for each segment; a boat's segments carry one message here.
const HEADERS: u64 = 40;

fn main() {
    let arguments: Vec<u32> = std::env::args()
        .skip(1)
        .map(|a| a.parse().unwrap())
        .collect();
    let [sightings, cuts, seconds] = arguments[..] else {
        panic!("expected SIGHTINGS CUTS SECONDS");
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("station");
    let Some(station) = Station::start_with_certificates(&data) else {
        panic!("mosquitto is not installed");
    };
    let identity = folder.path().join("identity");
    let arguments = [
        "provision",
        BOAT,
        "--data",
        text(&data),
        "--out",
        text(&identity),
    ];
    Program::Shore.run(&arguments).succeeded();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sizes: Vec<Value> = messages()
        .into_iter()
        .map(|message| runtime.block_on(size(&message, sightings, &identity, &station)))
        .collect();
    let recovery: Vec<Value> = [Condition::Closed, Condition::Silent]
        .into_iter()
        .map(|condition| recover(folder.path(), condition, cuts, seconds, &identity, &station))
        .collect();
    println!("{}", json!({ "sizes": sizes, "recovery": recovery }));
}

/// A message by its name, topic and content.
struct Content {
    name: &'static str,
    kind: MessageKind,
    bytes: Vec<u8>,
}

/// A sighting as a boat with the shipped model sends it, in each format, and as a brief.
fn messages() -> Vec<Content> {
    let sighting = typical_sighting();
    let mut all: Vec<Content> = formats::all(&sighting)
        .into_iter()
        .map(|(name, bytes)| Content {
            name,
            kind: MessageKind::Sighting,
            bytes,
        })
        .collect();
    let brief = brief::Brief::of(&sighting);
    all.push(Content {
        name: "brief",
        kind: MessageKind::Brief,
        bytes: wire::encode(&brief).unwrap(),
    });
    all
}

/// Sends a message `count` times, one after the other, over a connection of its own.
async fn size(content: &Content, count: u32, identity: &Path, station: &Station) -> Value {
    let proxy = Proxy::start(station.mqtt());
    let key = SigningKey::read_file(&identity.join("boat.key")).unwrap();
    let boat: BoatId = BOAT.parse().unwrap();
    let file = |name: &str| -> Option<PathBuf> { Some(identity.join(name)) };
    let broker = format!("mqtts://127.0.0.1:{}", proxy.port());
    let settings = Settings {
        tls: TlsFiles {
            ca: file("ca.pem"),
            certificate: file("boat.pem"),
            key: file("boat.key"),
        },
        ..Settings::new(
            broker.parse().unwrap(),
            format!("{BOAT}-{}", Uuid::now_v7()),
        )
    };
    let mut connection = Dialer::new(settings).connect(None).await.unwrap();
    let topic = topic::of_message(&boat, content.kind);
    let sealed = seal(&key, Purpose::BoatMessage, &content.bytes);
    let mut before = (0, 0);
    for number in 0..=u64::from(count) {
        let message = Outgoing::at_least_once(topic.clone(), sealed.clone());
        connection
            .publisher()
            .publish(message, Some(number))
            .await
            .unwrap();
        loop {
            match connection.event().await.unwrap() {
                Event::Accepted(token) if token == number => break,
                Event::Rejected { reason, .. } => panic!("{reason}"),
                _ => {}
            }
        }
        // The first one comes after the handshake, and may be the one that sets a topic's alias.
        if number == 0 {
            before = proxy.bytes();
        }
    }
    let after = proxy.bytes();
    let each = |after: u64, before: u64| (after - before) as f64 / f64::from(count);
    json!({
        "format": content.name,
        "payload": content.bytes.len(),
        "signed": sealed.len(),
        "tls": each(after.0, before.0),
        "wire": each(after.0, before.0) + HEADERS as f64,
        "broker_answer": each(after.1, before.1),
    })
}

/// Cuts the link of a boat that makes sightings all the time, and measures how long after its return the station has a new one.
fn recover(
    folder: &Path,
    condition: Condition,
    cuts: u32,
    seconds: u32,
    identity: &Path,
    station: &Station,
) -> Value {
    let proxy = Proxy::start(station.mqtt());
    let folder = folder.join(format!("{condition:?}"));
    let boat = Boat::new(&folder, BOAT, Camera::Stills(2.0), proxy.port());
    boat.rewrite(|config| {
        let line = format!("[uplink]\nidentity = \"{}\"", text(identity));
        let lines = config
            .replace("[uplink]", &line)
            .replace("mqtt://", "mqtts://");
        // As a boat has them that sets nothing.
        let defaults = lines.lines().filter(|line| {
            !line.starts_with("ack_timeout_seconds") && !line.starts_with("max_backoff_seconds")
        });
        defaults.collect::<Vec<_>>().join("\n") + "\n"
    });
    boat.set_stills(cuts * (seconds + 60) * 2);
    let mut running = Running::start(boat.command());
    let mut recovered = vec![];
    for _ in 0..cuts {
        let before = station.count();
        until("sightings arrive", || station.count() > before);
        proxy.set(condition);
        std::thread::sleep(Duration::from_secs(seconds.into()));
        let before = station.count();
        let began = Instant::now();
        proxy.set(Condition::Open);
        while station.count() == before {
            assert!(
                began.elapsed() < Duration::from_secs(300),
                "{}",
                running.stderr()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        recovered.push(began.elapsed().as_secs_f64());
    }
    running.signal("TERM");
    until("the boat stops", || !running.is_running());
    json!({
        "cut": format!("{condition:?}").to_lowercase(),
        "seconds": seconds,
        "recovered": recovered,
    })
}
