//! Our side of `cargo xtask bench pipeline`: where each millisecond goes from a film's frames to a whale's name.
//!
//! ```sh
//! cargo run --release --example bench_pipeline -- BUNDLE FILM RATE
//! ```
//!
//! Prints one JSON object: for open sea and for frames with a fluke, the mean milliseconds of one core a frame by stage, and for encounters
//! those of naming one.
#![allow(clippy::unwrap_used, reason = "a failed step fails the measurement")]

use flukewatch_common::bundle::Bundle;
use flukewatch_common::detector::Detector;
use flukewatch_common::embedder::Embedder;
use flukewatch_common::footage::FrameSize;
use flukewatch_common::sighting::MAX_CANDIDATES;
use flukewatch_edge::config::{EncounterSection, TrackSection};
use flukewatch_edge::detect::Reduced;
use flukewatch_edge::encounter::{Encounter, Encounters, Found, Grouping};
use flukewatch_edge::gate::{Gate, GateSettings, Verdict};
use flukewatch_edge::pixels::Developer;
use flukewatch_edge::source::{FrameSource, Next, Unpaced, film::Film};
use flukewatch_edge::stop::Stop;
use flukewatch_edge::time::Moment;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use std::path::Path;

/// What a frame goes through, in this order.
const STAGES: [&str; 6] = [
    "read",
    "decode",
    "reduce",
    "gate",
    "detect",
    "track and keep crops",
];

/// What this thread has worked, in milliseconds: others on the machine do not count.
fn worked() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// Sums over the frames of one kind.
#[derive(Default)]
struct Sums {
    frames: u32,
    stages: [f64; STAGES.len()],
}

impl Sums {
    fn told(&self) -> serde_json::Value {
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
    let mut developer = Developer::new(true);
    let mut gate = Gate::new(GateSettings::default());
    let grouping = Grouping::Film {
        gap: EncounterSection::default().gap_millis(rate.parse().unwrap()),
        longest: 300_000,
    };
    let mut encounters = Encounters::new(grouping, 5, preparation.margin.max(0.1))
        .with_tracks(TrackSection::default().rules(detector.threshold()))
        .for_model(preparation.height, preparation.width);
    let start = Moment::default();
    let mut film = Film::open(
        Path::new(film),
        start,
        rate.parse().unwrap(),
        Box::new(Unpaced(Stop::default())),
    )
    .unwrap();
    let (mut sea, mut flukes) = (Sums::default(), Sums::default());
    let (mut reduced, mut found) = (Reduced::default(), vec![]);
    let mut over: Vec<Encounter> = vec![];
    let mut looked_at = 0;
    loop {
        let mut at = worked();
        let mut took = [0.0; STAGES.len()];
        let mut lap = |stage: usize| {
            let now = worked();
            took[stage] = now - at;
            at = now;
        };
        let frame = match film.next().unwrap() {
            Next::Frame(frame) => frame,
            Next::Over => break,
            Next::Quiet | Next::CameraOver(_) => continue,
        };
        lap(0);
        let (photo, _) = developer.look(frame.picture).unwrap();
        lap(1);
        let pixels = photo.pixels();
        let size = FrameSize {
            width: pixels.width(),
            height: pixels.height(),
        };
        let small = reduced.of(&photo);
        lap(2);
        let moment = frame.taken.since(start);
        let verdict = gate.look(small, moment);
        lap(3);
        found.clear();
        if verdict.is_worth_it() {
            looked_at += 1;
            detector.detect(small, &mut found).unwrap();
            reduced.in_photo(&mut found);
            if !found.is_empty() {
                gate.saw_fluke(moment);
            }
        }
        lap(4);
        over.extend(encounters.pass(frame.taken));
        encounters.look(Found::Detected(&found), size, frame.taken);
        if encounters.wants_pixels() {
            encounters.keep(photo.pixels());
        }
        over.extend(encounters.complete());
        lap(5);
        developer.take_back(photo);
        let sums = if verdict == Verdict::Lately || !found.is_empty() {
            &mut flukes
        } else {
            &mut sea
        };
        sums.frames += 1;
        for (sum, took) in sums.stages.iter_mut().zip(took) {
            *sum += took;
        }
    }
    over.extend(encounters.finish());
    let (mut crops, mut embed, mut match_) = (0, 0.0, 0.0);
    for encounter in &over {
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
            .search_together(&embeddings, rule, MAX_CANDIDATES)
            .unwrap();
        embed += embedded - before;
        match_ += worked() - embedded;
        crops += embeddings.len();
    }
    let each = |sum: f64| sum / over.len().max(1) as f64;
    let told = json!({
        "stages": STAGES,
        "sea": sea.told(),
        "flukes": flukes.told(),
        "looked_at": looked_at,
        "encounters": over.len(),
        "enrolled": bundle.catalogue.len(),
        "crops": crops as f64 / over.len().max(1) as f64,
        "embed": each(embed),
        "match": each(match_),
    });
    println!("{told}");
}
