//! Clips and crops that a person on shore requests of a boat, with real programs and brokers.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_common::bundle_transfer::ContentId;
use flukewatch_common::file_transfer::{Chunk, ChunkContent};
use flukewatch_common::wire;
use flukewatch_tests::boat::{Boat, Camera, text};
use flukewatch_tests::mqtt::Client;
use flukewatch_tests::program::{Program, Running};
use flukewatch_tests::station::Station;
use flukewatch_tests::wait::until;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// Large enough to be interrupted several times.
const CLIP_BYTES: usize = 60 << 20;

/// A boat with one sighting, which shore has, and its clip.
struct Fixture {
    folder: tempfile::TempDir,
    boat: Boat,
    sighting: String,
}

impl Fixture {
    fn new(folder: tempfile::TempDir, boat: Boat, station: &Station) -> Self {
        boat.set_video(&[(Some(3), 8), (None, 15)]);
        boat.run(60).succeeded();
        boat.assert_delivered();
        let stored = station.has_all("balaena", 1);
        let sighting = stored[0]["id"].as_str().unwrap().to_owned();
        // From now on it sees nothing.
        boat.set_video(&[(None, 3)]);
        Self {
            folder,
            boat,
            sighting,
        }
    }

    /// With a station that everyone on this computer may use.
    fn unsigned() -> (Self, Station) {
        let folder = tempfile::tempdir().unwrap();
        let station = Station::start(&folder.path().join("station"));
        let port = station.mqtt().port();
        let boat = Boat::new(&folder.path().join("boat"), "balaena", Camera::Video, port);
        (Self::new(folder, boat, &station), station)
    }

    /// With certificates and signatures; `None` where mosquitto is not installed.
    fn signed() -> Option<(Self, Station)> {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("station");
        let station = Station::start_with_certificates(&data)?;
        let identity = folder.path().join("identity");
        let arguments = [
            "provision",
            "balaena",
            "--data",
            text(&data),
            "--out",
            text(&identity),
        ];
        Program::Shore.run(&arguments).succeeded();
        let boat = Boat::new(
            &folder.path().join("boat"),
            "balaena",
            Camera::Video,
            station.mqtt().port(),
        );
        boat.rewrite(|toml| {
            let uplink = format!("[uplink]\nidentity = \"{}\"", text(&identity));
            toml.replace("[uplink]", &uplink)
                .replace("mqtt://", "mqtts://")
        });
        Some((Self::new(folder, boat, &station), station))
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("station")
    }

    /// The clip aboard.
    fn clip(&self) -> PathBuf {
        let entries = fs::read_dir(self.boat.outbox().join("clips")).unwrap();
        let mut paths = entries.map(|entry| entry.unwrap().path());
        let clip = paths.find(|path| path.extension().is_some_and(|e| e == "avi"));
        clip.unwrap()
    }

    /// Makes the clip a large one. Returns its content.
    fn enlarge_clip(&self) -> Vec<u8> {
        let mut content = fs::read(self.clip()).unwrap();
        let begin = content.len();
        assert!(begin < CLIP_BYTES);
        content.resize(CLIP_BYTES, 0);
        StdRng::seed_from_u64(5).fill_bytes(&mut content[begin..]);
        fs::write(self.clip(), &content).unwrap();
        content
    }

    fn request(&self, file: &str) {
        let data = self.data();
        let arguments = [
            "request",
            "--boat",
            "balaena",
            &self.sighting,
            file,
            "--data",
            text(&data),
        ];
        Program::Shore.run(&arguments).succeeded();
    }

    /// The latest request, as the command line shows it.
    fn latest(&self) -> Value {
        let data = self.data();
        let listed = Program::Shore.run(&["requests", "--data", text(&data), "--json"]);
        listed.succeeded().json()[0].clone()
    }

    fn wait_for(&self, progress: &str) -> Value {
        until(&format!("the request is {progress}"), || {
            self.latest()["progress"] == progress
        });
        self.latest()
    }

    fn received(&self) -> u64 {
        self.latest()["received_bytes"].as_u64().unwrap()
    }

    /// Waits until some more of the file has arrived, but not all. Returns how much.
    fn wait_for_more(&self, than: u64) -> u64 {
        until("more of the file arrives", || self.received() > than);
        let latest = self.latest();
        assert_eq!(latest["progress"], "open", "too fast to be interrupted");
        latest["received_bytes"].as_u64().unwrap()
    }

    fn start(&self) -> Running {
        let mut boat = Running::start(self.boat.command());
        boat.wait_for_log("session started");
        boat
    }

    /// The file of a complete request.
    fn file(&self, request: &Value) -> Vec<u8> {
        let sha256 = request["sha256"].as_str().unwrap();
        let content = fs::read(self.data().join("files").join(sha256)).unwrap();
        assert_eq!(ContentId::of(&content).to_string(), sha256);
        content
    }
}

fn files(data: &Path) -> usize {
    fs::read_dir(data.join("files")).map_or(0, Iterator::count)
}

#[test]
fn a_clip_arrives_although_boat_and_station_are_killed() {
    let Some((fixture, station)) = Fixture::signed() else {
        return;
    };
    let content = fixture.enlarge_clip();
    let boat = fixture.start();
    fixture.request("--clip");
    let first = fixture.wait_for_more(0);
    boat.kill();
    let boat = fixture.start();
    let second = fixture.wait_for_more(fixture.received());
    assert!(second > first);
    // What it has is on disk; its broker ends with it.
    let address = station.mqtt();
    station.kill();
    let kept = fixture.received();
    assert!(kept >= second);
    let station = Station::start_with_certificates_at(&fixture.data(), address).unwrap();
    fixture.wait_for_more(kept);
    let request = fixture.wait_for("complete");
    assert!(fixture.file(&request) == content, "another content");
    assert_eq!(files(&fixture.data()), 1, "nothing partial is left");
    let of_sighting = station.get(&format!("/api/v1/sightings/{}", fixture.sighting));
    assert_eq!(of_sighting["file_requests"][0], request);
    assert_eq!(
        station.get("/api/v1/rejected")["counts"],
        serde_json::json!([])
    );

    // The crops follow while the boat works.
    fixture.request("--crops");
    let request = fixture.wait_for("complete");
    let recording = format!("recordings/{}.tar", fixture.sighting);
    let recording = fs::read(fixture.boat.outbox().join(recording)).unwrap();
    assert!(fixture.file(&request) == recording, "another content");
    boat.signal("TERM");
    let log = boat.finish().succeeded().stderr;
    assert_eq!(log.matches("request of a file ended").count(), 2, "{log}");
}

#[test]
fn a_request_waits_for_a_boat_that_is_off_and_can_be_cancelled() {
    let (fixture, station) = Fixture::unsigned();
    let content = fs::read(fixture.clip()).unwrap();
    fixture.request("--clip");
    // The embedded broker has forgotten everything.
    let (data, http, mqtt) = station.kill();
    let _station = Station::start_at(&data, http, mqtt);
    let boat = fixture.start();
    let request = fixture.wait_for("complete");
    assert!(fixture.file(&request) == content, "another content");
    boat.kill();
    fixture.request("--crops");
    let id = fixture.latest()["id"].as_str().unwrap().to_owned();
    let cancel = ["requests", "--data", text(&data), "--cancel", &id];
    Program::Shore.run(&cancel).succeeded();
    let boat = fixture.start();
    fixture.request("--crops");
    let request = fixture.wait_for("complete");
    assert_ne!(request["id"], id.as_str());
    let cancelled = Program::Shore.run(&["requests", "--data", text(&data)]);
    assert!(cancelled.succeeded().stdout.contains("cancelled"));
    boat.kill();
}

#[test]
fn a_file_that_is_gone_is_reported_with_its_reason() {
    let (fixture, _station) = Fixture::unsigned();
    // As if the limits of the configuration had deleted it.
    let recording = fixture.boat.outbox().join("recordings");
    let clip = fixture.clip();
    fs::remove_file(&clip).unwrap();
    fs::remove_file(clip.with_extension("json")).unwrap();
    let boat = fixture.start();
    fixture.request("--clip");
    let request = fixture.wait_for("unavailable");
    assert_eq!(request["reason"], "not aboard: deleted, or never recorded");
    boat.kill();
    // The boat's own limits do so for the recording, which it remembers.
    fixture
        .boat
        .rewrite(|toml| toml.replace("[page]", "[recording]\nmax_megabytes = 0\n\n[page]"));
    let boat = fixture.start();
    until("the recording is deleted", || {
        fs::read_dir(&recording).unwrap().count() == 0
    });
    fixture.request("--crops");
    let request = fixture.wait_for("unavailable");
    let reason = request["reason"].as_str().unwrap();
    assert!(reason.starts_with("deleted aboard"), "{reason}");
    boat.kill();
}

#[test]
fn chunks_that_lie_are_rejected_counted_and_visible() {
    let (fixture, station) = Fixture::unsigned();
    let mut boat = Client::connect(station.mqtt(), "balaena-hostile").unwrap();
    let mut send = |request: &str, file: &[u8], total: u64, offset: u64, bytes: &[u8]| {
        let chunk = Chunk {
            boat: "balaena".parse().unwrap(),
            request: request.parse().unwrap(),
            content: ChunkContent::Bytes {
                file: ContentId::of(file),
                total,
                offset,
                bytes: bytes.to_vec(),
            },
        };
        let message = wire::encode(&chunk).unwrap();
        boat.publish("flukewatch/v1/balaena/chunk", &message)
            .unwrap();
    };
    let requested = || {
        fixture.request("--clip");
        fixture.latest()["id"].as_str().unwrap().to_owned()
    };
    let id = requested();
    // Behind the end of the file.
    send(&id, b"whale", 5, 4, b"le");
    until("one is rejected", || station.rejected("invalid") == 1);
    assert_eq!(fixture.latest()["progress"], "open");
    // Another size than before.
    send(&id, b"whale", 5, 0, b"wh");
    send(&id, b"whale", 6, 2, b"al");
    let failed = fixture.wait_for("failed");
    assert_eq!(failed["reason"], "file of 6 bytes, 5 before");
    // More than is permitted.
    let id = requested();
    send(&id, b"whale", 1 << 30, 0, b"wh");
    let failed = fixture.wait_for("failed");
    assert!(failed["reason"].as_str().unwrap().contains("permitted"));
    // Other bytes than announced.
    let id = requested();
    send(&id, b"whale", 5, 0, b"snail");
    let failed = fixture.wait_for("failed");
    assert!(failed["reason"].as_str().unwrap().contains("that are not"));
    until("all are counted", || station.rejected("invalid") == 4);
    assert_eq!(files(&fixture.data()), 0);
    // The true one arrives all the same.
    let content = fs::read(fixture.clip()).unwrap();
    let boat = fixture.start();
    requested();
    let request = fixture.wait_for("complete");
    assert!(fixture.file(&request) == content, "another content");
    boat.kill();
}
