//! Measures the station for `cargo xtask bench ingest`: a fleet of boats, each with its own certificate and connection, sends signed
//! sightings over TLS to a station with mosquitto, and waits for their acknowledgements.
//!
//! ```sh
//! cargo run --release -p flukewatch-tests --example fleet -- BOATS RATE SECONDS
//! ```
//!
//! RATE is the number of sightings per second of all boats together. Prints a JSON object.
#![allow(clippy::unwrap_used, reason = "a failed step fails the measurement")]

use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::{Ack, BoatId, MessageKind, Sighting};
use flukewatch_common::{topic, wire};
use flukewatch_mqtt::{Connection, Dialer, Event, Outgoing, Settings, Subscription, TlsFiles};
use flukewatch_tests::boat::text;
use flukewatch_tests::program::Program;
use flukewatch_tests::station::Station;
use flukewatch_tests::typical_sighting::typical_sighting;
use flukewatch_trust::{PublicKey, Purpose, SigningKey, open, seal};
use serde_json::json;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, interval_at, timeout};
use uuid::Uuid;

/// Time for the last acknowledgements.
const DRAIN: Duration = Duration::from_secs(60);
/// Messages that a boat has in flight at most, as `flukewatch-edge` does.
const WINDOW: usize = 50;

fn main() {
    let arguments: Vec<u32> = std::env::args()
        .skip(1)
        .map(|a| a.parse().unwrap())
        .collect();
    let [boats, rate, seconds] = arguments[..] else {
        panic!("expected BOATS RATE SECONDS");
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("station");
    let Some(station) = Station::start_with_certificates(&data) else {
        panic!("mosquitto is not installed");
    };
    let each = rate * seconds / boats;
    let fleet: Vec<Boat> = (0..boats)
        .map(|number| Boat::provision(number, each, &data, folder.path(), &station))
        .collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let results = runtime.block_on(sail(fleet, boats, rate));
    let mut latencies: Vec<Duration> = results.iter().flat_map(|r| r.latencies.clone()).collect();
    latencies.sort_unstable();
    let at = |fraction: f64| {
        let last = latencies.len().saturating_sub(1);
        let index = (fraction * last as f64).round() as usize;
        latencies.get(index).map(Duration::as_secs_f64)
    };
    let took = results.iter().map(|r| r.last.duration_since(r.began)).max();
    let took = took.unwrap_or_default().as_secs_f64();
    let report = json!({
        "boats": boats,
        "sent": u64::from(each) * u64::from(boats),
        "acknowledged": latencies.len(),
        "stored": station.count(),
        "rejected": results.iter().map(|r| r.rejected).sum::<usize>(),
        "bytes": results.iter().map(|r| r.bytes).max(),
        "seconds": took,
        "per_second": latencies.len() as f64 / took,
        "median_seconds": at(0.5),
        "p99_seconds": at(0.99),
        "longest_seconds": at(1.0),
    });
    println!("{report}");
}

/// A boat with the sightings that it will send.
struct Boat {
    id: BoatId,
    dialer: Dialer,
    station: PublicKey,
    topic: String,
    /// Signed already: on the water each boat has a computer of its own for it.
    messages: Vec<(Uuid, Vec<u8>)>,
}

/// What became of a boat's sightings.
struct Sent {
    latencies: Vec<Duration>,
    rejected: usize,
    /// The longest message.
    bytes: usize,
    began: Instant,
    last: Instant,
}

impl Boat {
    fn provision(
        number: u32,
        messages: u32,
        data: &Path,
        folder: &Path,
        station: &Station,
    ) -> Self {
        let name = format!("boat-{number}");
        let id: BoatId = name.parse().unwrap();
        let identity = folder.join(&name);
        let arguments = [
            "provision",
            &name,
            "--data",
            text(data),
            "--out",
            text(&identity),
        ];
        Program::Shore.run(&arguments).succeeded();
        let key = SigningKey::read_file(&identity.join("boat.key")).unwrap();
        let file = |name: &str| -> Option<PathBuf> { Some(identity.join(name)) };
        let broker = format!("mqtts://127.0.0.1:{}", station.mqtt().port());
        let settings = Settings {
            tls: TlsFiles {
                ca: file("ca.pem"),
                certificate: file("boat.pem"),
                key: file("boat.key"),
            },
            subscriptions: vec![Subscription::at_least_once(topic::of_acks(&id))],
            max_in_flight: 2 * WINDOW as u16,
            max_queued: 2 * WINDOW,
            ..Settings::new(broker.parse().unwrap(), format!("flukewatch-edge-{name}"))
        };
        Self {
            dialer: Dialer::new(settings),
            station: PublicKey::read_file(&identity.join("station.pub")).unwrap(),
            topic: topic::of_message(&id, MessageKind::Sighting),
            messages: (1..=messages)
                .map(|sequence| {
                    let sighting = sighting(&id, number, sequence);
                    let message = wire::encode(&sighting).unwrap();
                    (sighting.id, seal(&key, Purpose::BoatMessage, &message))
                })
                .collect(),
            id,
        }
    }

    /// Sends a sighting at each tick.
    async fn send(self, mut connection: Connection, start: Instant, every: Duration) -> Sent {
        let bytes = self.messages.iter().map(|(_, m)| m.len()).max();
        let mut sent = Sent {
            latencies: vec![],
            rejected: 0,
            bytes: bytes.unwrap_or(0),
            began: start,
            last: start,
        };
        let mut ticks = interval_at(start, every);
        let mut in_flight: HashMap<Uuid, Instant> = HashMap::new();
        // A sighting that has to wait for the window is late from its tick on.
        let mut due: std::collections::VecDeque<Instant> = std::collections::VecDeque::new();
        let mut left = self.messages.into_iter();
        let mut ticked = 0;
        let total = left.len();
        while sent.latencies.len() + sent.rejected < total {
            tokio::select! {
                tick = ticks.tick(), if ticked < total => {
                    ticked += 1;
                    due.push_back(tick);
                }
                event = timeout(DRAIN, connection.event()) => {
                    let Ok(event) = event else { break };
                    if let Event::Received(received) = event.unwrap() {
                        let ack = open(&self.station, Purpose::StationMessage, &received.payload);
                        let ack: Ack = wire::decode(ack.unwrap()).unwrap();
                        assert_eq!(ack.boat, self.id);
                        sent.last = Instant::now();
                        for stored in &ack.stored {
                            if let Some(began) = in_flight.remove(&stored.sighting) {
                                sent.latencies.push(began.elapsed());
                            }
                        }
                        sent.rejected += ack.rejected.len();
                    }
                }
            }
            while in_flight.len() < WINDOW
                && let Some(tick) = due.pop_front()
                && let Some((id, message)) = left.next()
            {
                in_flight.insert(id, tick);
                let message = Outgoing::at_least_once(self.topic.clone(), message);
                connection.publisher().publish(message, None).await.unwrap();
            }
        }
        sent
    }
}

/// Connects all boats, then lets them send at once.
async fn sail(fleet: Vec<Boat>, boats: u32, rate: u32) -> Vec<Sent> {
    let every = Duration::from_secs_f64(f64::from(boats) / f64::from(rate));
    let mut connected = vec![];
    for mut boat in fleet {
        let connection = boat.dialer.connect(None).await.unwrap();
        connected.push((boat, connection));
    }
    let start = Instant::now() + Duration::from_secs(1);
    let mut sending = vec![];
    for (number, (boat, connection)) in connected.into_iter().enumerate() {
        // Boats do not tick together.
        let offset = every.mul_f64(number as f64 / f64::from(boats));
        sending.push(tokio::spawn(boat.send(connection, start + offset, every)));
    }
    let mut results = vec![];
    for boat in sending {
        results.push(boat.await.unwrap());
    }
    results
}

/// A sighting that ended just now.
fn sighting(boat: &BoatId, number: u32, sequence: u32) -> Sighting {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let ended = Timestamp(now.as_millis() as i64);
    Sighting {
        id: Uuid::now_v7(),
        boat: boat.clone(),
        sequence: sequence.into(),
        epoch: Some(Uuid::from_u128(u128::from(number) + 1)),
        started: ended.plus_millis(-3_500),
        ended,
        ..typical_sighting()
    }
}
