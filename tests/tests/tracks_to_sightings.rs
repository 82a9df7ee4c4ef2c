//! From boxes to sightings: drawn whales in front of a swaying camera, through the boat's pipeline and
//! outbox, with a detector that makes scripted errors.
#![allow(clippy::unwrap_used)]

use flukewatch_common::clock::{ManualClock, Timestamp};
use flukewatch_common::decision::{DecisionRule, Verdict};
use flukewatch_common::detection::Detection;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::sighting::Sighting;
use flukewatch_common::wire;
use flukewatch_edge::cancellation::CancellationToken;
use flukewatch_edge::detect::{Detect, DetectError};
use flukewatch_edge::encounter::{Encounters, Grouping};
use flukewatch_edge::frame::{Frame, FrameImage, FrameName};
use flukewatch_edge::health::Counters;
use flukewatch_edge::identification::{Identifier, Identify, RecentEncounters, WhaleIdentifier};
use flukewatch_edge::outbox::{NewEpoch, Outbox};
use flukewatch_edge::perception::PerceptionCamera;
use flukewatch_edge::pipeline::{Pipeline, PipelineParts};
use flukewatch_edge::position::PositionHistory;
use flukewatch_edge::recorder::{NewSightings, TimeAndPosition};
use flukewatch_edge::source::{FrameSource, SourceError, SourceEvent};
use flukewatch_edge::stage::Stages;
use flukewatch_edge::time::{
    ManualMonotonicClock, MonotonicClock, MonotonicTimestamp, Timing, UtcClock,
};
use flukewatch_inference::embedder::Embedder;
use flukewatch_synth::fluke::difficulty::FIELD;
use flukewatch_synth::fluke::individual::Individual;
use flukewatch_synth::fluke::photograph::portrait;
use flukewatch_synth::fluke::skin::Skin;
use flukewatch_synth::seed::{Purpose, generator};
use flukewatch_tests::{at_sea, bundle};
use image::{Rgb, RgbImage, imageops};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Frames per second.
const RATE: f64 = 10.0;
const SIZE: (u32, u32) = (960, 540);
const SEA: Rgb<u8> = Rgb([70, 90, 105]);

/// The fluke of a drawn whale, cropped to its box.
fn fluke(whale: u32) -> RgbImage {
    let skin = Skin::paint(&Individual::draw(7, whale));
    let chance = &mut generator(7, Purpose::CataloguePhoto, whale, 0);
    let shot = portrait(&skin, &FIELD, chance).photograph;
    let b = shot.fluke.unwrap();
    imageops::crop_imm(&shot.picture, b.x0, b.y0, b.width(), b.height()).to_image()
}

/// A whale at the surface: start and end in seconds, the fluke's centre, and its largest width in
/// pixels.
#[derive(Clone, Copy)]
struct Surfacing {
    whale: u32,
    from: f64,
    to: f64,
    at: (f64, f64),
    width: f64,
    /// Start and end, in seconds, of the time in which spray hides it from the detector.
    spray: (f64, f64),
}

impl Surfacing {
    /// When the fluke is sharpest and largest, in seconds.
    fn best(&self) -> f64 {
        self.from + 0.6 * (self.to - self.from)
    }

    /// Its size as a fraction of the full size, and its blur in pixels.
    fn state(&self, time: f64) -> (f64, f32) {
        let off = (time - self.best()).abs() / (self.to - self.from);
        (1.0 - 0.5 * off, (off * 12.0) as f32)
    }

    /// Its box in the frame at `time`.
    fn region(&self, fluke: &RgbImage, time: f64) -> Option<PixelBox> {
        if !(self.from..self.to).contains(&time) {
            return None;
        }
        let (share, _) = self.state(time);
        let width = self.width * share;
        let height = width * f64::from(fluke.height()) / f64::from(fluke.width());
        let sway = (time * 1.3).sin() * 40.0;
        let x0 = (self.at.0 + sway - width / 2.0) as u32;
        let y0 = (self.at.1 + sway * 0.4 - height / 2.0) as u32;
        Some(PixelBox {
            x0,
            y0,
            x1: x0 + width as u32,
            y1: y0 + height as u32,
        })
    }
}

/// Renders the surfacings and advances the clocks.
struct Camera {
    script: Vec<Surfacing>,
    flukes: Vec<RgbImage>,
    frame: u64,
    frames: u64,
    steady: Arc<ManualMonotonicClock>,
    clock: Arc<ManualClock>,
}

impl FrameSource for Camera {
    fn next(&mut self) -> Result<SourceEvent, SourceError> {
        if self.frame == self.frames {
            return Ok(SourceEvent::Ended);
        }
        let time = self.frame as f64 / RATE;
        self.frame += 1;
        self.clock.advance((1000.0 / RATE) as i64);
        self.steady.advance(Duration::from_secs_f64(1.0 / RATE));
        let mut picture = RgbImage::from_pixel(SIZE.0, SIZE.1, SEA);
        for s in &self.script {
            let fluke = &self.flukes[s.whale as usize];
            if let Some(b) = s.region(fluke, time) {
                let filter = imageops::FilterType::Triangle;
                let mut shown = imageops::resize(fluke, b.width(), b.height(), filter);
                let (_, blur) = s.state(time);
                if blur > 0.3 {
                    shown = imageops::blur(&shown, blur);
                }
                imageops::replace(&mut picture, &shown, i64::from(b.x0), i64::from(b.y0));
            }
        }
        Ok(SourceEvent::Frame(Frame {
            camera: 0,
            name: FrameName::Number(self.frame),
            taken: self.steady.now(),
            timing: Timing::Driver,
            image: FrameImage::Pixels(picture),
            boxes: None,
            encoded: vec![],
        }))
    }
}

/// Knows the script, and makes errors: boxes are a few pixels off, some flukes are missed, and there
/// are occasional false alarms.
struct Scripted {
    script: Vec<Surfacing>,
    flukes: Vec<RgbImage>,
    frame: u32,
}

impl Detect for Scripted {
    fn detect(&mut self, _: &RgbImage, found: &mut Vec<Detection>) -> Result<(), DetectError> {
        found.clear();
        let (n, time) = (self.frame, f64::from(self.frame) / RATE);
        self.frame += 1;
        for s in &self.script {
            let hidden = (s.spray.0..s.spray.1).contains(&time) || n % 7 == 3;
            if let Some(b) = s.region(&self.flukes[s.whale as usize], time)
                && !hidden
            {
                let off = n * 5 % 9;
                let region = PixelBox {
                    x0: b.x0.saturating_sub(off),
                    x1: b.x1 + 8 - off,
                    ..b
                };
                found.push(Detection { region, score: 0.8 });
            }
        }
        if n % 11 == 0 {
            let (x0, y0) = (n * 37 % 800, n * 53 % 400);
            let (x1, y1) = (x0 + 70, y0 + 30);
            let region = PixelBox { x0, y0, x1, y1 };
            found.push(Detection { region, score: 0.6 });
        }
        Ok(())
    }
}

const KNOWN: u32 = 0;
const NEW: u32 = 1;
const OTHER_NEW: u32 = 2;

/// Two whales side by side, then another one, then one of the first two again four minutes later.
fn script() -> Vec<Surfacing> {
    let surfacing = |whale, from: f64, seconds, at, spray: (f64, f64)| Surfacing {
        whale,
        from,
        to: from + seconds,
        at,
        width: 260.0,
        spray: (from + spray.0, from + spray.1),
    };
    vec![
        surfacing(KNOWN, 5.0, 5.0, (270.0, 260.0), (1.0, 2.4)),
        surfacing(NEW, 6.5, 5.0, (600.0, 290.0), (0.0, 0.0)),
        surfacing(OTHER_NEW, 60.0, 4.0, (480.0, 250.0), (0.0, 0.0)),
        surfacing(NEW, 240.0, 4.0, (400.0, 260.0), (0.0, 0.0)),
    ]
}

/// The sightings in the outbox once the script has been played.
fn play(script: &[Surfacing]) -> Vec<Sighting> {
    let flukes: Vec<RgbImage> = (0..3).map(fluke).collect();
    // Drawn flukes are similar to each other, so the thresholds must be high.
    let rule = DecisionRule::thresholds(0.95, 0.9, "nothing");
    let known = [("HW-1".to_owned(), flukes[KNOWN as usize].clone())];
    let bundle = bundle::of_photos(known, rule);
    let folder = tempfile::tempdir().unwrap();
    let boat: flukewatch_common::sighting::BoatId = "balaena".parse().unwrap();
    let fresh = NewEpoch {
        id: flukewatch_common::samples::epoch(),
        now: Timestamp(1_795_450_800_000),
    };
    let outbox = Outbox::open(folder.path(), &boat, 1 << 30, fresh).unwrap();
    let queue = outbox.queue().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp(1_795_450_800_000)));
    let steady = Arc::new(ManualMonotonicClock::new(MonotonicTimestamp::from_millis(
        60_000,
    )));
    let time_and_position = TimeAndPosition {
        utc_clock: Arc::new(UtcClock::new(clock.clone(), steady.clone())),
        positions: Arc::new(PositionHistory::new(Duration::from_secs(60), false)),
    };
    let random = Box::new(StdRng::seed_from_u64(1));
    let new_sightings = NewSightings::new(boat, vec!["bow".into()], time_and_position, random);
    let identify = move || -> Box<dyn Identify> {
        let embedder = Embedder::open(&bundle).unwrap();
        let identifier = Identifier::new(bundle.clone(), embedder);
        let recent = RecentEncounters::new(Duration::from_secs(600));
        Box::new(WhaleIdentifier::new(identifier, recent))
    };
    let last = script.iter().map(|s| s.to).fold(0.0, f64::max);
    let camera = Camera {
        script: script.to_vec(),
        flukes: flukes.clone(),
        frame: 0,
        frames: ((last + 5.0) * RATE) as u64,
        steady: steady.clone(),
        clock: clock.clone(),
    };
    let grouping = Grouping::Video {
        gap: 2000,
        longest: 300_000,
    };
    let encounters = Encounters::new(grouping, 5, 0.1).for_model(160, 320);
    Pipeline::new(PipelineParts {
        source: Box::new(camera),
        cameras: vec![PerceptionCamera::new(encounters, true)],
        detector: Some(Box::new(Scripted {
            script: script.to_vec(),
            flukes,
            frame: 0,
        })),
        grey: false,
        new_sightings,
        unsaved: vec![],
        clips: None,
        identify: identify(),
        open_identify: Box::new(move || Ok(identify())),
        outbox,
        clock,
        monotonic: steady,
        counters: Arc::new(Counters::default()),
        stages: Stages::default(),
        accepted: Arc::new(Notify::new()),
        stop: CancellationToken::default(),
    })
    .run()
    .unwrap();
    at_sea::sightings(&queue)
}

/// Time of a sighting's first frame, in seconds of the script.
fn began(s: &Sighting) -> f64 {
    s.started.millis_since(Timestamp(1_795_450_800_000)) as f64 / 1000.0 - 1.0 / RATE
}

#[test]
fn each_surfacing_is_one_sighting_with_its_boxes_and_best_crops() {
    let script = script();
    let seen = play(&script);
    assert_eq!(seen.len(), script.len(), "{seen:?}");
    let flukes: Vec<RgbImage> = (0..3).map(fluke).collect();
    for (s, surfacing) in seen.iter().zip(&script) {
        let footage = s.footage.as_ref().unwrap();
        assert_eq!(footage.validate(), Ok(()));
        assert!(
            (began(s) - surfacing.from).abs() < 0.45,
            "{} {}",
            began(s),
            surfacing.from
        );
        let lasted = s.ended.millis_since(s.started) as f64 / 1000.0;
        assert!(
            (lasted - (surfacing.to - surfacing.from)).abs() < 0.6,
            "{lasted}"
        );
        for place in &footage.boxes {
            let time = began(s) + f64::from(place.after) / 1000.0;
            let truth = surfacing.region(&flukes[surfacing.whale as usize], time + 0.001);
            let truth = truth.unwrap();
            let off = place
                .region
                .x0
                .abs_diff(truth.x0)
                .max(place.region.y1.abs_diff(truth.y1));
            assert!(off <= 12, "{:?} where {truth:?} is right", place.region);
        }
        let best = began(s) + f64::from(footage.crops[0].after) / 1000.0;
        assert!(
            (best - surfacing.best()).abs() <= 0.5,
            "{best} {}",
            surfacing.best()
        );
        assert_eq!((footage.crops.len(), footage.detector), (5, Some(0.8)));
        let mut after: Vec<u32> = footage.crops.iter().map(|c| c.after).collect();
        after.sort_unstable();
        assert!(
            after[4] - after[0] >= 800,
            "crops must be spread over time: {after:?}"
        );
        let bytes = wire::encode(s).unwrap().len();
        assert!(
            bytes < 1500,
            "{bytes} bytes, of which 128 are the embedding"
        );
    }
}

#[test]
fn known_whales_are_named_and_returning_whales_continue_their_encounter() {
    let seen = play(&script());
    let verdicts: Vec<&Verdict> = seen.iter().map(|s| &s.verdict).collect();
    let known = Verdict::Known {
        whale: "HW-1".into(),
    };
    assert_eq!(
        verdicts,
        [&known, &Verdict::New, &Verdict::New, &Verdict::New]
    );
    let encounters: Vec<usize> = seen
        .iter()
        .map(|s| {
            let encounter = s.footage.as_ref().unwrap().encounter;
            seen.iter().position(|o| o.id == encounter).unwrap()
        })
        .collect();
    assert_eq!(
        encounters,
        [0, 1, 2, 1],
        "the last one continues the second"
    );
    let earlier: Vec<u8> = seen
        .iter()
        .map(|s| s.footage.as_ref().unwrap().earlier_crops)
        .collect();
    assert_eq!(earlier, [0, 0, 0, 5]);
}
