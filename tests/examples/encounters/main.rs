//! Our side of `cargo xtask bench encounters`: a film of the sea through the boat's own watch, from JPEG frames to sightings in the outbox,
//! held against the film's truth.
//!
//! ```sh
//! cargo run --release -p flukewatch-tests --example encounters -- BUNDLE FILM RATE [STILLS]
//! ```
//!
//! Prints one JSON object. `FILM` is one of `flukewatch synth-sea`, its truth beside it; `STILLS` a table of photos with boxes, the first of each
//! whale of which is named, too.
#![allow(clippy::unwrap_used, reason = "a failed step fails the measurement")]

mod stills;
mod truth;

use flukewatch_common::bundle::Bundle;
use flukewatch_common::clock::{ManualClock, Timestamp};
use flukewatch_common::decision::Verdict;
use flukewatch_common::embedder::Embedder;
use flukewatch_common::sighting::{BoatId, Part, Sighting};
use flukewatch_common::wire;
use flukewatch_edge::config::{DetectorSection, EncounterSection, TrackSection};
use flukewatch_edge::encounter::{Encounters, Grouping};
use flukewatch_edge::gate::{Gate, GateSettings};
use flukewatch_edge::health::Counters;
use flukewatch_edge::identify::Identifier;
use flukewatch_edge::outbox::{Load, Outbox};
use flukewatch_edge::position::Positions;
use flukewatch_edge::report::{Reporter, Whereabouts};
use flukewatch_edge::returns::Returns;
use flukewatch_edge::run::{PICTURE_MARGIN, detector};
use flukewatch_edge::source::{Film, Unpaced};
use flukewatch_edge::stop::Stop;
use flukewatch_edge::time::{ManualSteadyClock, Moment, Timekeeper};
use flukewatch_edge::track::TrackRules;
use flukewatch_edge::watch::{Watch, Watched};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use truth::Truth;

/// When the film begins.
const START: Timestamp = Timestamp(1_795_450_800_000);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let ([bundle, film, rate] | [bundle, film, rate, _]) = &args[..] else {
        panic!("BUNDLE FILM RATE [STILLS]");
    };
    let (film, rate): (&Path, f64) = (film.as_ref(), rate.parse().unwrap());
    let bundle = Bundle::open(Path::new(bundle)).unwrap();
    let names = bundle.catalogue.entries().iter();
    let enrolled: BTreeSet<String> = names.map(|e| e.whale.clone()).collect();
    let margin = bundle.manifest.preparation.margin.max(PICTURE_MARGIN);
    let truth = Truth::beside(film);
    let began = Instant::now();
    let sightings = watch(&bundle, film, rate, margin);
    let took = began.elapsed().as_secs_f64();

    let stills = match args.get(3) {
        Some(table) => {
            let embedder = Embedder::open(&bundle).unwrap();
            let mut identifier = Identifier::new(bundle, embedder);
            stills::verdicts(Path::new(table), &mut identifier, margin)
        }
        None => BTreeMap::new(),
    };
    let right = |whale: &str, verdict: &Verdict| match verdict {
        Verdict::Known { whale: named } => named == whale && enrolled.contains(whale),
        Verdict::New => !enrolled.contains(whale),
        Verdict::Review => false,
    };
    let began = |s: &Sighting| s.started.millis_since(START) as f64 / 1000.0;
    let shown: Vec<Option<usize>> = sightings
        .iter()
        .map(|s| truth.of(s, began(s), rate))
        .collect();
    let surfacings: Vec<_> = truth
        .surfacings
        .iter()
        .enumerate()
        .map(|(number, surfacing)| {
            let of = sightings.iter().zip(&shown);
            let of: Vec<&Sighting> = of.filter(|(_, n)| **n == Some(number)).map(|(s, _)| s).collect();
            let whale = &surfacing.whale;
            json!({
                "whale": whale,
                "from": surfacing.places.first().map(|p| p.0),
                "frames": surfacing.places.len(),
                "width": surfacing.width(),
                "enrolled": enrolled.contains(whale),
                "sightings": of.len(),
                // The last one rests on all that was seen of it.
                "right": of.last().map(|s| right(whale, &s.verdict)),
                "named_another": of.last().map(|s| matches!(&s.verdict, Verdict::Known { whale: n } if n != whale)),
                "still_right": stills.get(whale).map(|v| right(whale, v)),
            })
        })
        .collect();
    // A sighting that continues another: whether both show one whale.
    let whale_of = |at: usize| shown[at].map(|number| &truth.surfacings[number].whale);
    let returns: Vec<bool> = sightings
        .iter()
        .enumerate()
        .filter_map(|(at, s)| {
            let first = s.footage.as_ref()?.encounter;
            let first = sightings.iter().position(|o| o.id == first)?;
            (first != at).then(|| whale_of(at).is_some() && whale_of(at) == whale_of(first))
        })
        .collect();
    let strays: Vec<_> = sightings
        .iter()
        .zip(&shown)
        .filter(|(_, number)| number.is_none())
        .map(|(s, _)| {
            let detector = s.footage.as_ref().and_then(|f| f.detector);
            json!({"at": began(s), "frames": s.frames, "box": s.region, "detector": detector})
        })
        .collect();
    let told = json!({
        "frames": truth.frames,
        "seconds": truth.seconds,
        "took": took,
        "surfacings": surfacings,
        "strays": strays,
        "returns": {"right": returns.iter().filter(|r| **r).count(), "wrong": returns.iter().filter(|r| !**r).count()},
    });
    println!("{told}");
}

/// The sightings that the boat makes of a film, in order, set up as it is where its configuration says nothing.
fn watch(bundle: &Bundle, film: &Path, rate: f64, margin: f32) -> Vec<Sighting> {
    let (encounter, track) = (EncounterSection::default(), TrackSection::default());
    let detector = detector(bundle, 0.0)
        .unwrap()
        .expect("a detector in the bundle");
    let folder = Scratch::beside(film);
    let boat: BoatId = "bench".parse().unwrap();
    let outbox = Outbox::open(&folder.0, &boat, 1 << 34).unwrap();
    let queue = outbox.queue().unwrap();
    let start = Moment::from_millis(60_000);
    let clock = Arc::new(ManualClock::new(START));
    let steady = Arc::new(ManualSteadyClock::new(start));
    let whereabouts = Whereabouts {
        keeper: Arc::new(Timekeeper::new(clock.clone(), steady.clone())),
        positions: Arc::new(Positions::new(Duration::from_secs(60), false)),
    };
    let embedder = Embedder::open(bundle).unwrap();
    let identifier = Identifier::new(bundle.clone(), embedder);
    let random = Box::new(StdRng::seed_from_u64(1));
    let reporter = Reporter::new(boat, vec!["main".into()], identifier, whereabouts, random)
        .with_returns(Returns::new(encounter.return_within()));
    let source = Film::open(film, start, rate, Box::new(Unpaced(Stop::default()))).unwrap();
    let grouping = Grouping::Film {
        gap: encounter.gap_millis(rate),
        longest: encounter.longest_millis(),
    };
    let preparation = &bundle.manifest.preparation;
    let encounters = Encounters::new(grouping, encounter.best_crops, margin)
        .with_tracks(TrackRules {
            threshold: detector.threshold(),
            sure: track.sure as f32,
            hits: track.hits,
            of_frames: track.of_frames,
            ..TrackRules::default()
        })
        .for_model(preparation.height, preparation.width);
    let gate = Gate::new(GateSettings {
        every: DetectorSection::default().every,
        ..GateSettings::default()
    });
    Watch::new(
        Box::new(source),
        vec![Watched::new(encounters, false).gated(Some(gate))],
        reporter,
        outbox,
        clock,
        steady,
        Arc::new(Counters::default()),
        Arc::new(Notify::new()),
        Stop::default(),
    )
    .detecting(Some(Box::new(detector)))
    .run()
    .unwrap();
    let queued = queue.next(&HashSet::new(), 1_000_000).unwrap();
    let parts = queued.into_iter().filter(|q| q.key.part == Part::Sighting);
    parts
        .map(|q| match queue.load(q.key).unwrap() {
            Load::Message(message) => wire::decode(&message).unwrap(),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// A folder for the outbox, gone when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn beside(film: &Path) -> Self {
        let folder = film.with_extension("outbox");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
