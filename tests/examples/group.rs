//! A feeding group in real time, for `cargo xtask bench group`: five flukes at once before each of two
//! cameras, on a board that takes 1.5 s to identify an encounter, and a disk that stalls for a second now
//! and then. Compared with the same video without haste.
//!
//! ```sh
//! cargo run --release -p flukewatch-tests --example group -- GROUPS
//! ```
//!
//! Prints one JSON object. The flukes are drawn, and their boxes are given with the frames: the detector is
//! measured elsewhere. The stalls are those of the database: another connection holds its lock for a second,
//! every five seconds, so that the recorder waits as for a slow `fsync`.
#![allow(clippy::unwrap_used, reason = "a failed step fails the measurement")]

use flukewatch_common::bundle::Bundle;
use flukewatch_common::clock::{Clock, ManualClock, SystemClock};
use flukewatch_common::decision::{DecisionRule, Verdict};
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::sighting::Sighting;
use flukewatch_edge::backoff::Backoff;
use flukewatch_edge::frame::{Frame, FrameImage, FrameName, RawFormat, RawImage};
use flukewatch_edge::health::Counters;
use flukewatch_edge::identification::{Identify, IdentifyError, Identity};
use flukewatch_edge::outbox::Queue;
use flukewatch_edge::pipeline::{Pipeline, PipelineParts};
use flukewatch_edge::recording::Recording;
use flukewatch_edge::source::{
    CameraFeed, Cameras, FeedSource, FrameSource, SourceError, SourceEvent,
};
use flukewatch_edge::time::{
    ManualMonotonicClock, MonotonicClock, MonotonicTimestamp, SystemMonotonicClock, Timing,
};
use flukewatch_tests::at_sea::{self, AtSea, BEGIN, START};
use flukewatch_tests::{bundle, pictures};
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage, imageops};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rusqlite::Connection;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Frames a second of each camera.
const RATE: u64 = 15;
/// The frames of a group at the surface, and of the sea after it.
const SURFACE: u64 = 40;
const SEA: u64 = 25;
/// Flukes at once.
const FLUKES: usize = 5;
const CAMERAS: [&str; 2] = ["port", "starboard"];
/// The whales in the catalogue; others are new.
const KNOWN: u32 = 12;
const SIZE: (u32, u32) = (1280, 720);
/// How long an identification takes on a slow board.
const SLOW: Duration = Duration::from_millis(1500);
const STALL: Duration = Duration::from_secs(1);
const STALL_EVERY: Duration = Duration::from_secs(5);

/// The whale in a place of a group, different for each camera and group.
fn whale(camera: usize, group: u64, place: usize) -> u32 {
    let number = (group as usize * CAMERAS.len() + camera) * FLUKES + place;
    number as u32 % (2 * KNOWN)
}

fn region(place: usize, frame: u64) -> PixelBox {
    let x0 = 20 + 250 * place as u32 + (frame % 20) as u32;
    let y0 = 260 + 40 * (place as u32 % 3);
    PixelBox {
        x0,
        y0,
        x1: x0 + 192,
        y1: y0 + 96,
    }
}

/// The frames of one group: its flukes surface and dive one after the other.
fn frames(camera: usize, group: u64) -> Vec<(Vec<u8>, Vec<PixelBox>)> {
    let flukes: Vec<RgbImage> = (0..FLUKES)
        .map(|place| {
            let fluke = pictures::fluke(whale(camera, group, place));
            imageops::resize(&fluke, 192, 96, imageops::FilterType::Triangle)
        })
        .collect();
    let frames = (0..SURFACE + SEA).map(|frame| {
        let mut picture = RgbImage::from_pixel(SIZE.0, SIZE.1, Rgb([70, 90, 105]));
        let mut boxes = vec![];
        for (place, fluke) in flukes.iter().enumerate() {
            let from = 2 * place as u64;
            if (from..SURFACE - from).contains(&frame) {
                let b = region(place, frame);
                imageops::replace(&mut picture, fluke, i64::from(b.x0), i64::from(b.y0));
                boxes.push(b);
            }
        }
        let mut jpeg = vec![];
        let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, 90);
        encoder.encode_image(&picture).unwrap();
        (jpeg, boxes)
    });
    frames.collect()
}

/// The videos of all cameras.
type Video = Arc<Vec<Vec<(Vec<u8>, Vec<PixelBox>)>>>;

fn frame(video: &Video, camera: usize, number: usize, taken: MonotonicTimestamp) -> Frame {
    let (jpeg, boxes) = &video[camera][number];
    Frame {
        camera,
        name: FrameName::Number(number as u64),
        taken,
        timing: Timing::Driver,
        image: FrameImage::Raw(RawImage {
            bytes: jpeg.clone().into(),
            format: RawFormat::Jpeg,
        }),
        boxes: Some(boxes.clone()),
        encoded: vec![],
    }
}

/// A camera in real time.
struct LiveGroup {
    video: Video,
    camera: usize,
    next: usize,
    began: MonotonicTimestamp,
    captured: Arc<AtomicU64>,
}

impl FrameSource for LiveGroup {
    fn next(&mut self) -> Result<SourceEvent, SourceError> {
        let number = self.next;
        if number == self.video[self.camera].len() {
            return Ok(SourceEvent::Ended);
        }
        self.next += 1;
        let due = self
            .began
            .plus(Duration::from_secs(1) * number as u32 / RATE as u32);
        std::thread::sleep(due.since(SystemMonotonicClock.now()));
        self.captured.fetch_add(1, Ordering::Relaxed);
        Ok(SourceEvent::Frame(frame(
            &self.video,
            self.camera,
            number,
            due,
        )))
    }
}

/// The frames of all cameras in turn, without haste.
struct InTurn {
    video: Video,
    next: usize,
    clock: Arc<ManualClock>,
    monotonic: Arc<ManualMonotonicClock>,
}

impl FrameSource for InTurn {
    fn next(&mut self) -> Result<SourceEvent, SourceError> {
        let (number, camera) = (self.next / CAMERAS.len(), self.next % CAMERAS.len());
        if number == self.video[0].len() {
            return Ok(SourceEvent::Ended);
        }
        self.next += 1;
        if camera == 0 {
            self.clock.advance(1000 / RATE as i64);
            self.monotonic.advance(Duration::from_secs(1) / RATE as u32);
        }
        let taken = self.monotonic.now();
        Ok(SourceEvent::Frame(frame(
            &self.video,
            camera,
            number,
            taken,
        )))
    }
}

/// Identifies as slowly as a slow board.
struct Slow(Box<dyn Identify>);

impl Identify for Slow {
    fn identify(&mut self, recording: &Recording) -> Result<Identity, IdentifyError> {
        let began = Instant::now();
        let identity = self.0.identify(recording);
        std::thread::sleep(SLOW.saturating_sub(began.elapsed()));
        identity
    }

    fn remember(&mut self, recording: &Recording, identity: &Identity) {
        self.0.remember(recording, identity);
    }
}

/// Locks the database of an outbox for a second now and then.
fn stall(outbox: &Path, over: &AtomicBool) -> u32 {
    let database = Connection::open(outbox.join("outbox.sqlite3")).unwrap();
    database.busy_timeout(Duration::from_secs(30)).unwrap();
    let mut stalls = 0;
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(STALL_EVERY - STALL);
        database.execute_batch("BEGIN IMMEDIATE").unwrap();
        std::thread::sleep(STALL);
        database.execute_batch("ROLLBACK").unwrap();
        stalls += 1;
    }
    stalls
}

/// A fluke: its camera, group and place.
type Key = (usize, u64, usize);
/// The frames and the verdict of each sighting of a fluke.
type Seen = Vec<(u32, Verdict)>;
/// What a run found.
type Found = BTreeMap<Key, Seen>;

fn found(sightings: &[Sighting], began: i64) -> Found {
    let mut found = Found::new();
    for sighting in sightings {
        let camera = CAMERAS.iter().position(|c| *c == sighting.camera).unwrap();
        let seconds = (sighting.started.0 - began) as f64 / 1000.0;
        // Rounded: an encounter begins up to half a second after its group, by clocks of milliseconds.
        let group = ((seconds * RATE as f64 + 10.0) / (SURFACE + SEA) as f64) as u64;
        let place = (sighting.region.x0.saturating_sub(20) / 250) as usize;
        let one = (sighting.frames, sighting.verdict.clone());
        found.entry((camera, group, place)).or_default().push(one);
    }
    found
}

fn boat(
    bundle: &Bundle,
    source: Box<dyn FrameSource>,
    live: bool,
    folder: &Path,
    clocks: (Arc<dyn Clock>, Arc<dyn MonotonicClock>),
) -> (PipelineParts, Queue) {
    let (clock, monotonic) = clocks;
    AtSea {
        bundle,
        source,
        cameras: &CAMERAS.map(|name| (name, live)),
        rate: RATE as f64,
        detector: None,
        threshold: 0.0,
        within: Duration::ZERO,
        folder,
        clock,
        monotonic,
    }
    .parts()
}

/// The same video without haste.
fn unpaced(bundle: &Bundle, video: &Video) -> Found {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(START));
    let monotonic = Arc::new(ManualMonotonicClock::new(BEGIN));
    let source = InTurn {
        video: video.clone(),
        next: 0,
        clock: clock.clone(),
        monotonic: monotonic.clone(),
    };
    let clocks = (
        clock as Arc<dyn Clock>,
        monotonic as Arc<dyn MonotonicClock>,
    );
    let (parts, queue) = boat(bundle, Box::new(source), false, folder.path(), clocks);
    Pipeline::new(parts).run().unwrap();
    found(&at_sea::sightings(&queue), START.0)
}

/// How the run in real time went.
struct RealTime {
    found: Found,
    captured: u64,
    counters: Arc<Counters>,
    stalls: u32,
    /// From the last encounter's end until everything was identified.
    backlog: Duration,
}

fn real_time(bundle: &Bundle, video: &Video) -> RealTime {
    let folder = tempfile::tempdir().unwrap();
    let captured = Arc::new(AtomicU64::new(0));
    let began = SystemMonotonicClock.now().plus(Duration::from_secs(1));
    let began_utc = SystemClock.now().plus_millis(1000);
    let feeds = CAMERAS.iter().enumerate().map(|(camera, name)| {
        let (video, captured) = (video.clone(), captured.clone());
        CameraFeed {
            name: (*name).to_owned(),
            source: FeedSource::Live {
                start: Box::new(move || {
                    Box::new(LiveGroup {
                        video: video.clone(),
                        camera,
                        next: 0,
                        began,
                        captured: captured.clone(),
                    })
                }),
                backoff: Backoff::new(Duration::from_secs(5), Box::new(StdRng::seed_from_u64(1))),
            },
            state: Arc::default(),
        }
    });
    let source = Box::new(Cameras::start(feeds.collect()).unwrap());
    let clocks = (
        Arc::new(SystemClock) as Arc<dyn Clock>,
        Arc::new(SystemMonotonicClock) as Arc<dyn MonotonicClock>,
    );
    let (mut parts, queue) = boat(bundle, source, true, folder.path(), clocks);
    parts.identify = Box::new(Slow(parts.identify));
    let counters = parts.counters.clone();
    let over = AtomicBool::new(false);
    let (stalls, backlog) = std::thread::scope(|scope| {
        let stalls = scope.spawn(|| stall(folder.path(), &over));
        let mut running = Pipeline::new(parts).start().unwrap();
        let mut recorded = None;
        loop {
            running.supervise();
            if running.is_recorded() {
                let at = *recorded.get_or_insert_with(Instant::now);
                if running.is_identified().unwrap() {
                    running.stop().unwrap();
                    over.store(true, Ordering::Relaxed);
                    return (stalls.join().unwrap(), at.elapsed());
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    RealTime {
        found: found(&at_sea::sightings(&queue), began_utc.0),
        captured: captured.load(Ordering::Relaxed),
        counters,
        stalls,
        backlog,
    }
}

fn main() {
    let groups: u64 = std::env::args().nth(1).map_or(5, |n| n.parse().unwrap());
    let photos = (0..KNOWN).map(|number| (bundle::name(number), pictures::fluke(number)));
    let rule = DecisionRule::thresholds(0.8, 0.6, "nothing");
    let bundle = bundle::of_photos(photos, rule);
    let video: Video = Arc::new(
        (0..CAMERAS.len())
            .map(|camera| {
                (0..groups)
                    .flat_map(|group| frames(camera, group))
                    .collect()
            })
            .collect(),
    );
    let reference = unpaced(&bundle, &video);
    let real = real_time(&bundle, &video);

    let expected: Vec<Key> = (0..CAMERAS.len())
        .flat_map(|camera| (0..groups).map(move |group| (camera, group)))
        .flat_map(|(camera, group)| (0..FLUKES).map(move |place| (camera, group, place)))
        .collect();
    let right = |key: &Key, verdict: &Verdict| {
        let whale = whale(key.0, key.1, key.2);
        match verdict {
            Verdict::Known { whale: named } => whale < KNOWN && *named == bundle::name(whale),
            Verdict::New => whale >= KNOWN,
            Verdict::Review | Verdict::Unidentified { .. } => false,
        }
    };
    let share = |found: &Found, what: &dyn Fn(&Key, &Seen) -> bool| {
        let hits = expected
            .iter()
            .filter(|key| found.get(key).is_some_and(|seen| what(key, seen)));
        hits.count() as f64 / expected.len() as f64
    };
    let recall = |found: &Found| share(found, &|_, seen| !seen.is_empty());
    let whole = |found: &Found| share(found, &|_, seen| seen.len() == 1);
    let decisions =
        |found: &Found| share(found, &|key, seen| seen.iter().all(|(_, v)| right(key, v)));
    let searched = real.counters.frames();
    let report = json!({
        "encounters": expected.len(),
        "unpaced": {
            "recall": recall(&reference),
            "whole": whole(&reference),
            "right": decisions(&reference),
        },
        "real_time": {
            "recall": recall(&real.found),
            "whole": whole(&real.found),
            "right": decisions(&real.found),
            "frames_captured": real.captured,
            "frames_searched": searched,
            "searched": searched as f64 / real.captured.max(1) as f64,
            "unrecorded": real.counters.unrecorded_encounters().encounters,
            "stalls": real.stalls,
            "seconds_to_identify_the_rest": real.backlog.as_secs_f64(),
        },
    });
    println!("{report}");
}
