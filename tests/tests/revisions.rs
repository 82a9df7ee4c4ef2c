//! A sighting that is stored under a wrong date is corrected on shore once the right date is known.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_common::clock::{Clock, SystemClock, Timestamp};
use flukewatch_tests::boat::{Boat, Camera};
use flukewatch_tests::program::Running;
use flukewatch_tests::station::Station;
use flukewatch_tests::wait::until;
use serde_json::{Value, json};
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How far the computer's clock is behind GNSS time.
const BEHIND: i64 = 30 * 86_400_000;

/// A GNSS receiver on a TCP port, silent until it has satellites.
struct Receiver {
    address: SocketAddr,
    satellites: Arc<AtomicBool>,
    closing: Arc<AtomicBool>,
    serving: Option<JoinHandle<()>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (satellites, closing) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (ready, closed) = (satellites.clone(), closing.clone());
        let serving = std::thread::spawn(move || {
            for client in listener.incoming() {
                if closed.load(Ordering::SeqCst) {
                    return;
                }
                send(client.unwrap(), &ready, &closed);
            }
        });
        Self {
            address,
            satellites,
            closing,
            serving: Some(serving),
        }
    }

    fn acquire(&self) {
        self.satellites.store(true, Ordering::SeqCst);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let _ = self.serving.take().unwrap().join();
    }
}

/// Sends a sentence every 200 ms until the client disconnects.
fn send(mut client: TcpStream, satellites: &AtomicBool, closing: &AtomicBool) {
    while !closing.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(200));
        if satellites.load(Ordering::SeqCst)
            && client.write_all(sentence(gnss_now()).as_bytes()).is_err()
        {
            return;
        }
    }
}

fn gnss_now() -> Timestamp {
    SystemClock.now().plus_millis(BEHIND)
}

/// An RMC sentence with this time.
fn sentence(time: Timestamp) -> String {
    // 2026-11-23T16:20:00.123Z
    let text = time.to_string();
    let part = |range: std::ops::Range<usize>| &text[range];
    let body = format!(
        "GPRMC,{}{}{},A,3830.7380,N,02837.5000,W,6.5,270.0,{}{}{},,,A",
        part(11..13),
        part(14..16),
        part(17..22),
        part(8..10),
        part(5..7),
        part(2..4)
    );
    let checksum = body.bytes().fold(0, |sum, byte| sum ^ byte);
    format!("${body}*{checksum:02X}\r\n")
}

/// A boat with one video of one whale, and `receiver`.
fn boat(folder: &Path, port: u16, receiver: &Receiver) -> Boat {
    let boat = Boat::new(folder, "balaena", Camera::Video, port);
    boat.set_video(&[(Some(3), 8), (None, 15)]);
    let address = receiver.address;
    boat.rewrite(|text| {
        text + &format!("\n[position]\nsource = \"nmea-tcp\"\naddress = \"{address}\"\n")
    });
    boat
}

/// Milliseconds from `earlier` to `later`, both RFC 3339.
fn millis(earlier: &Value, later: &Value) -> i64 {
    let parsed = |time: &Value| {
        let time: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
        time.as_millisecond()
    };
    parsed(later) - parsed(earlier)
}

fn assert_corrected_by(correction: i64) {
    // The sentences are sent with a delay, and their time is rounded down.
    assert!((correction - BEHIND).abs() < 1_500, "{correction} ms");
}

#[test]
fn a_delivered_sighting_is_corrected_when_gnss_time_is_acquired() {
    let folder = tempfile::tempdir().unwrap();
    let station = Station::start(&folder.path().join("shore"));
    let receiver = Receiver::start();
    let boat = boat(
        &folder.path().join("boat"),
        station.mqtt().port(),
        &receiver,
    );
    let mut running = Running::start(boat.command());
    until("shore has the sighting and its picture", || {
        let all = station.sightings();
        !all.is_empty() && all[0]["picture"] == "stored"
    });
    let first = station.sightings().remove(0);
    assert_eq!(first["revision"], 1, "its verdict: {first}");

    receiver.acquire();
    running.wait_for_log("corrected sighting times sightings=1");
    until("shore has the revision", || {
        station.sightings()[0]["revision"] == 2
    });
    let newest = station.has_all("balaena", 1).remove(0);
    assert_corrected_by(millis(&first["started"], &newest["started"]));
    assert_eq!(
        millis(&newest["started"], &newest["ended"]),
        millis(&first["started"], &first["ended"])
    );
    for field in ["id", "sequence", "whale", "verdict", "footage"] {
        assert_eq!(newest[field], first[field], "{field}");
    }
    let id = newest["id"].as_str().unwrap();
    let one = station.get(&format!("/api/v1/sightings/{id}"));
    let earlier = one["earlier_revisions"].as_array().unwrap();
    assert_eq!(earlier.len(), 1);
    assert_eq!(earlier[0]["started"], first["started"]);

    running.signal("TERM");
    running.finish().succeeded();
    boat.assert_delivered();
}

/// Without a connection the wrong date never leaves the boat, also after a power cut.
#[test]
fn a_pending_sighting_is_corrected_before_it_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start();
    let (data, http, mqtt) = Station::start(&folder.path().join("shore")).kill();
    let boat = boat(&folder.path().join("boat"), mqtt.port(), &receiver);
    let before = SystemClock.now();
    let mut running = Running::start(boat.command());
    running.wait_for_log("encounter identified");
    receiver.acquire();
    running.wait_for_log("corrected sighting times sightings=1");
    running.kill();

    let station = Station::start_at(&data, http, mqtt);
    boat.set_video(&[(None, 3)]);
    boat.run(40).succeeded();
    let sighting = station.has_all("balaena", 1).remove(0);
    assert_eq!(sighting["revision"], 2, "verdict and time: {sighting}");
    let started = millis(&json!(before.to_string()), &sighting["started"]);
    assert!((started - BEHIND).abs() < 30_000, "{started} ms");
    let id = sighting["id"].as_str().unwrap();
    let one = station.get(&format!("/api/v1/sightings/{id}"));
    assert_eq!(one["earlier_revisions"], json!([]));
    boat.assert_delivered();
}
