//! Evaluates encounters for `cargo xtask bench encounters`: runs a synthetic video through the boat's
//! pipeline, from JPEG frames to sightings in the outbox, and compares these with the ground truth.
//!
//! ```sh
//! cargo run --release -p flukewatch-tests --example encounters -- BUNDLE FILM RATE [STILLS]
//! ```
//!
//! Prints one JSON object. `FILM` is a video of `flukewatch synth-sea` with its ground truth beside it.
//! `STILLS` is a table of photos with boxes: the first photo of each whale is identified too, at full
//! size and downscaled to the fluke's size in the video.
#![allow(clippy::unwrap_used, reason = "a failed step fails the measurement")]

mod stills;
mod truth;

use flukewatch_common::bundle::Bundle;
use flukewatch_common::decision::Verdict;
use flukewatch_common::sighting::Sighting;
use flukewatch_edge::cancellation::CancellationToken;
use flukewatch_edge::identification::Identifier;
use flukewatch_edge::source::{Unpaced, VideoFile};
use flukewatch_inference::embedder::Embedder;
use flukewatch_tests::at_sea::{self, BEGIN, START};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use stills::Stills;
use truth::Truth;

/// A whale that resurfaces within this time continues its encounter. The videos show as many whales in
/// ten minutes as a boat meets in days: the default of ten minutes would compare each with a hundred
/// others.
const RETURN_WITHIN: Duration = Duration::from_secs(130);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let ([bundle, film, rate] | [bundle, film, rate, _]) = &args[..] else {
        panic!("BUNDLE FILM RATE [STILLS]");
    };
    let (film, rate): (&Path, f64) = (film.as_ref(), rate.parse().unwrap());
    let bundle = Bundle::open(Path::new(bundle)).unwrap();
    let names = bundle.catalogue.entries().iter();
    let enrolled: BTreeSet<String> = names.map(|e| e.whale.clone()).collect();
    let padding = at_sea::padding(&bundle);
    let truth = Truth::beside(film);
    let began = Instant::now();
    let sightings = watch(&bundle, film, rate);
    let took = began.elapsed().as_secs_f64();

    let mut stills = args.get(3).map(|table| {
        let embedder = Embedder::open(&bundle).unwrap();
        Stills::open(Path::new(table), Identifier::new(bundle, embedder), padding)
    });
    let right = |whale: &str, verdict: &Verdict| match verdict {
        Verdict::Known { whale: named } => named == whale && enrolled.contains(whale),
        Verdict::New => !enrolled.contains(whale),
        Verdict::Review | Verdict::Unidentified { .. } => false,
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
            let still = stills.as_mut().and_then(|s| s.verdicts(whale, surfacing.width()));
            json!({
                "whale": whale,
                "from": surfacing.places.first().map(|p| p.0),
                "frames": surfacing.places.len(),
                "width": surfacing.width(),
                "enrolled": enrolled.contains(whale),
                "sightings": of.len(),
                // The last sighting uses the crops of all parts of the encounter.
                "right": of.last().map(|s| right(whale, &s.verdict)),
                "named_another": of.last().map(|s| matches!(&s.verdict, Verdict::Known { whale: n } if n != whale)),
                "still_right": still.as_ref().map(|[whole, _]| right(whale, whole)),
                "small_still_right": still.as_ref().map(|[_, small]| right(whale, small)),
            })
        })
        .collect();
    // For each sighting that continues another: whether both show the same whale. Sightings without
    // a fluke are in `strays`.
    let whale_of = |at: usize| shown[at].map(|number| &truth.surfacings[number].whale);
    let returns: Vec<bool> = sightings
        .iter()
        .enumerate()
        .filter_map(|(at, s)| {
            let first = s.footage.as_ref()?.encounter;
            let first = sightings.iter().position(|o| o.id == first)?;
            let (whale, other) = whale_of(at).zip(whale_of(first))?;
            (first != at).then_some(whale == other)
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
    let report = json!({
        "frames": truth.frames,
        "seconds": truth.seconds,
        "took": took,
        "surfacings": surfacings,
        "strays": strays,
        "returns": {"right": returns.iter().filter(|r| **r).count(), "wrong": returns.iter().filter(|r| !**r).count()},
    });
    println!("{report}");
}

/// The boat's sightings of a video, in order.
fn watch(bundle: &Bundle, film: &Path, rate: f64) -> Vec<Sighting> {
    let folder = Scratch::beside(film);
    let source = VideoFile::open(
        film,
        BEGIN,
        rate,
        Box::new(Unpaced(CancellationToken::default())),
        &CancellationToken::default(),
    )
    .unwrap();
    let (watch, queue) = at_sea::watch(bundle, Box::new(source), rate, RETURN_WITHIN, &folder.0);
    watch.run().unwrap();
    at_sea::sightings(&queue)
}

/// A folder for the outbox, deleted when dropped.
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
