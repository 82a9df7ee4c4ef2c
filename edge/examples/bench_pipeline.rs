//! Measures the stages of the pipeline for `cargo xtask bench pipeline`, from the frames of a video to
//! the match.
//!
//! ```sh
//! cargo run --release --example bench_pipeline -- BUNDLE FILM RATE
//! ```
//!
//! Prints one JSON object: the mean CPU milliseconds per frame by stage, for open sea and for frames
//! with a fluke, and the mean CPU milliseconds per encounter for embedding and matching.
#![allow(clippy::unwrap_used, reason = "a failed step fails the measurement")]

use flukewatch_common::bundle::Bundle;
use flukewatch_common::footage::FrameSize;
use flukewatch_common::sighting::MAX_CANDIDATES;
use flukewatch_edge::cancellation::CancellationToken;
use flukewatch_edge::config::{EncounterSection, TrackSection};
use flukewatch_edge::detect::DownscaledFrame;
use flukewatch_edge::encounter::{Encounter, Encounters, FlukeBoxes, Grouping};
use flukewatch_edge::gate::{Gate, GateDecision, GateSettings};
use flukewatch_edge::pixels::Decoder;
use flukewatch_edge::source::{FrameSource, SourceEvent, Unpaced, VideoFile};
use flukewatch_edge::time::MonotonicTimestamp;
use flukewatch_inference::detector::Detector;
use flukewatch_inference::embedder::Embedder;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use std::path::Path;

/// The stages of a frame, in order.
const STAGES: [&str; 7] = [
    "read",
    "decode",
    "reduce",
    "gate",
    "detect",
    "check data",
    "track and keep crops",
];

/// CPU time of this thread in milliseconds, independent of the machine's load.
fn worked() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// Total CPU milliseconds by stage over the frames of one kind.
#[derive(Default)]
struct Sums {
    frames: u32,
    stages: [f64; STAGES.len()],
}

impl Sums {
    fn json(&self) -> serde_json::Value {
        let each = |sum: &f64| sum / f64::from(self.frames.max(1));
        let stages: Vec<f64> = self.stages.iter().map(each).collect();
        json!({"frames": self.frames, "milliseconds": stages})
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [bundle, film, rate] = &args[..] else {
        panic!("BUNDLE FILM RATE");
    };
    let bundle = Bundle::open(Path::new(bundle)).unwrap();
    let mut detector = Detector::open(&bundle)
        .unwrap()
        .expect("a detector in the bundle");
    let mut embedder = Embedder::open(&bundle).unwrap();
    let preparation = &bundle.manifest.preparation;
    let mut decoder = Decoder::new(true);
    let mut gate = Gate::new(GateSettings::default());
    let grouping = Grouping::Video {
        gap: EncounterSection::default().gap_millis(rate.parse().unwrap()),
        longest: 300_000,
    };
    let mut encounters = Encounters::new(grouping, 5, preparation.padding.max(0.1))
        .with_tracks(TrackSection::default().rules(detector.threshold()))
        .for_model(preparation.height, preparation.width);
    let start = MonotonicTimestamp::default();
    let mut video = VideoFile::open(
        Path::new(film),
        start,
        rate.parse().unwrap(),
        Box::new(Unpaced(CancellationToken::default())),
        &CancellationToken::default(),
    )
    .unwrap();
    let (mut sea, mut flukes) = (Sums::default(), Sums::default());
    let (mut downscaled, mut detections) = (DownscaledFrame::default(), vec![]);
    let mut ended: Vec<Encounter> = vec![];
    let mut looked_at = 0;
    loop {
        let mut at = worked();
        let mut took = [0.0; STAGES.len()];
        let mut lap = |stage: usize| {
            let now = worked();
            took[stage] = now - at;
            at = now;
        };
        let frame = match video.next().unwrap() {
            SourceEvent::Frame(frame) => frame,
            SourceEvent::Ended => break,
            SourceEvent::Idle | SourceEvent::CameraEnded(_) => continue,
        };
        lap(0);
        let decoded = decoder.decode(frame.image).unwrap();
        lap(1);
        let pixels = decoded.image.pixels();
        let size = FrameSize {
            width: pixels.width(),
            height: pixels.height(),
        };
        let small = downscaled.downscale(&decoded.image);
        lap(2);
        let moment = frame.taken.since(start);
        let decision = gate.check(small, moment);
        lap(3);
        detections.clear();
        if decision.opens() {
            looked_at += 1;
            detector.detect(small, &mut detections).unwrap();
            downscaled.upscale_detections(&mut detections);
            if !detections.is_empty() {
                gate.hold(moment);
            }
        }
        lap(4);
        if !detections.is_empty() {
            decoded.check().unwrap();
        }
        lap(5);
        let boxes = FlukeBoxes::Detected(&detections);
        let mut observed = encounters.observe(boxes, size, frame.taken);
        if observed.wants_pixels() {
            observed.keep_crops(pixels);
        }
        ended.extend(observed.complete());
        lap(6);
        let sums = if decision == GateDecision::Held || !detections.is_empty() {
            &mut flukes
        } else {
            &mut sea
        };
        sums.frames += 1;
        for (sum, took) in sums.stages.iter_mut().zip(took) {
            *sum += took;
        }
    }
    ended.extend(encounters.finish());
    let (mut crops, mut embed, mut match_) = (0, 0.0, 0.0);
    for encounter in &ended {
        let before = worked();
        let embeddings: Vec<_> = encounter
            .crops
            .iter()
            .map(|crop| embedder.embed(&crop.pixels, Some(crop.region)).unwrap())
            .collect();
        let embedded = worked();
        let rule = bundle.decision.whale_score;
        bundle
            .catalogue
            .search_encounter(&embeddings, rule, MAX_CANDIDATES)
            .unwrap();
        embed += embedded - before;
        match_ += worked() - embedded;
        crops += embeddings.len();
    }
    let each = |sum: f64| sum / ended.len().max(1) as f64;
    let result = json!({
        "stages": STAGES,
        "sea": sea.json(),
        "flukes": flukes.json(),
        "looked_at": looked_at,
        "encounters": ended.len(),
        "enrolled": bundle.catalogue.len(),
        "crops": crops as f64 / ended.len().max(1) as f64,
        "embed": each(embed),
        "match": each(match_),
    });
    println!("{result}");
}
