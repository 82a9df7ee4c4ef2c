//! A large picture over a slow link, with a boat that is killed while it is sent.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_tests::boat::{Boat, Camera};
use flukewatch_tests::pictures::jpeg;
use flukewatch_tests::station::Station;
use flukewatch_tests::wait::until;
use image::{Rgb, RgbImage};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

/// Bytes that the link passes from the boat at a time, and the time for them: about 50 kB/s.
const STEP: usize = 1024;
const STEP_TIME: Duration = Duration::from_millis(20);
/// How often the boat is killed, each time after so many more bytes.
const KILLS: u64 = 3;
const BYTES_BETWEEN_KILLS: u64 = 25_000;

/// Passes bytes between boats and a station, slowly, and counts those of the boats. Its threads end with the process.
struct SlowLink {
    port: u16,
    sent: Arc<AtomicU64>,
}

impl SlowLink {
    fn start(station: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let sent = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&sent);
        std::thread::spawn(move || {
            for boat in listener.incoming().flatten() {
                if let Ok(station) = TcpStream::connect(station) {
                    serve(&boat, &station, &counter);
                }
            }
        });
        Self { port, sent }
    }

    fn sent(&self) -> u64 {
        self.sent.load(SeqCst)
    }
}

/// Passes the bytes of a connection until one side ends it.
fn serve(boat: &TcpStream, station: &TcpStream, sent: &Arc<AtomicU64>) {
    let pass = |from: &TcpStream, to: &TcpStream, sent: Option<Arc<AtomicU64>>| {
        let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        std::thread::spawn(move || {
            let mut buffer = [0; STEP];
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                if let Some(sent) = &sent {
                    sent.fetch_add(read as u64, SeqCst);
                    std::thread::sleep(STEP_TIME);
                }
                if to.write_all(&buffer[..read]).is_err() {
                    break;
                }
            }
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        });
    };
    pass(boat, station, Some(Arc::clone(sent)));
    pass(station, boat, None);
}

/// A frame that does not compress well.
fn noise() -> Vec<u8> {
    let mut random = StdRng::seed_from_u64(3);
    let mut frame = RgbImage::new(800, 450);
    for pixel in frame.pixels_mut() {
        *pixel = Rgb([random.next_u32() as u8; 3]);
    }
    jpeg(&frame)
}

/// A video of a fluke that fills most of each frame, and of nothing after it.
fn video() -> impl Iterator<Item = (String, Vec<u8>)> {
    let frame = noise();
    (0..25).flat_map(move |number| {
        let region = json!({"x0": 50, "y0": 50, "x1": 750, "y1": 400});
        let boxes = if number < 8 { vec![region] } else { vec![] };
        let sidecar = json!({ "boxes": boxes }).to_string().into_bytes();
        [
            (format!("{number:06}.jpg"), frame.clone()),
            (format!("{number:06}.json"), sidecar),
        ]
    })
}

/// The size of the only picture in the outbox, in bytes.
fn picture_aboard(boat: &Boat) -> Option<u64> {
    let entries = fs::read_dir(boat.outbox().join("pictures")).ok()?;
    let mut sizes = entries.map(|entry| entry.unwrap().metadata().unwrap().len());
    let size = sizes.next()?;
    assert_eq!(sizes.next(), None);
    Some(size)
}

/// What the station has of a picture that is incomplete, in bytes.
fn arrived(data: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(data.join("pictures").join("parts")) else {
        return 0;
    };
    let sizes = entries.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()));
    sizes.sum()
}

#[test]
fn a_large_picture_over_vsat_survives_kills_of_the_boat() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("station");
    let station = Station::start(&data);
    let link = SlowLink::start(station.mqtt());
    // A port that nothing listens on, for the time being.
    let nowhere = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = nowhere.local_addr().unwrap().port();
    drop(nowhere);
    let at_sea = folder.path().join("boat");
    let boat = Boat::new(&at_sea, "balaena", Camera::Video, port);
    boat.rewrite(|toml| toml.replace("[uplink]", "[uplink]\nlink = \"vsat\""));
    boat.set_frames(video());
    let mut running = boat.start(600);
    running.wait_for_log("encounter identified");
    running.kill();
    let bytes = picture_aboard(&boat).unwrap();
    assert!(bytes > 100_000, "{bytes} bytes: too small for this test");

    // From now on it sees nothing, and has a link.
    boat.set_video(&[(None, 3)]);
    boat.rewrite(|toml| toml.replace(&format!(":{port}"), &format!(":{}", link.port)));
    let mut before = 0;
    for kill in 1..=KILLS {
        let running = boat.start(600);
        until("some of the picture is on its way", || {
            link.sent() > kill * BYTES_BETWEEN_KILLS
        });
        running.kill();
        let has = arrived(&data);
        assert!(
            has > before && has < bytes,
            "{before}, then {has} of {bytes} bytes"
        );
        before = has;
    }
    boat.run(120).succeeded();
    boat.assert_delivered();
    let stored = station.has_all("balaena", 1);
    assert_eq!(stored[0]["picture"], "stored");
    let id = stored[0]["id"].as_str().unwrap();
    let file = data.join("pictures").join(format!("{id}.jpg"));
    assert_eq!(fs::metadata(file).unwrap().len(), bytes);
    assert_eq!(arrived(&data), 0, "nothing partial is left");
    let sent = link.sent();
    println!("{sent} bytes sent for a picture of {bytes} bytes, with {KILLS} kills");
    assert!(sent < 2 * bytes, "{sent} bytes sent for {bytes}");
}
