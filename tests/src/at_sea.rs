//! A boat's pipeline with the default configuration, run in this process on a simulated clock, so
//! that long videos play faster than real time.

use flukewatch_common::bundle::Bundle;
use flukewatch_common::clock::{Clock, ManualClock, Timestamp};
use flukewatch_common::sighting::{BoatId, MessageKind, Sighting};
use flukewatch_common::wire;
use flukewatch_edge::cancellation::CancellationToken;
use flukewatch_edge::config::{DetectorSection, EncounterSection, TrackSection};
use flukewatch_edge::detect::Detect;
use flukewatch_edge::encounter::{Encounters, Grouping};
use flukewatch_edge::gate::{Gate, GateSettings};
use flukewatch_edge::health::Counters;
use flukewatch_edge::identification::{Identifier, Identify, RecentEncounters, WhaleIdentifier};
use flukewatch_edge::models::open_detector;
use flukewatch_edge::outbox::{Load, NewEpoch, Outbox, Queue};
use flukewatch_edge::perception::PerceptionCamera;
use flukewatch_edge::pipeline::{Pipeline, PipelineParts};
use flukewatch_edge::position::PositionHistory;
use flukewatch_edge::recorder::{NewSightings, TimeAndPosition};
use flukewatch_edge::session::PICTURE_PADDING;
use flukewatch_edge::source::FrameSource;
use flukewatch_edge::stage::Stages;
use flukewatch_edge::time::{ManualMonotonicClock, MonotonicClock, MonotonicTimestamp, UtcClock};
use flukewatch_inference::embedder::Embedder;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// UTC time at [`BEGIN`].
pub const START: Timestamp = Timestamp(1_795_450_800_000);
/// Timestamp of a source's first frame.
pub const BEGIN: MonotonicTimestamp = MonotonicTimestamp(60_000_000);

/// Padding that the boat keeps around a fluke, as a fraction of the box's sides.
pub fn padding(bundle: &Bundle) -> f32 {
    bundle.manifest.preparation.padding.max(PICTURE_PADDING)
}

/// A boat with the default configuration.
pub struct AtSea<'a> {
    /// Its model and catalogue.
    pub bundle: &'a Bundle,
    /// The frames of its cameras.
    pub source: Box<dyn FrameSource>,
    /// The name of each camera, and whether it is live.
    pub cameras: &'a [(&'a str, bool)],
    /// Frames per second.
    pub rate: f64,
    /// Finds flukes in frames without boxes, if anything does.
    pub detector: Option<Box<dyn Detect>>,
    /// The lowest score of a detection.
    pub threshold: f32,
    /// A whale that resurfaces within this time continues its encounter.
    pub within: Duration,
    /// The folder of its outbox.
    pub folder: &'a Path,
    /// UTC.
    pub clock: Arc<dyn Clock>,
    /// The clock of the frames.
    pub monotonic: Arc<dyn MonotonicClock>,
}

impl AtSea<'_> {
    /// The parts of its pipeline, and the queue of its outbox.
    ///
    /// # Panics
    /// When outbox or model cannot be opened.
    pub fn parts(self) -> (PipelineParts, Queue) {
        let Self {
            bundle,
            source,
            cameras,
            rate,
            detector,
            threshold,
            within,
            folder,
            clock,
            monotonic,
        } = self;
        let (encounter, track) = (EncounterSection::default(), TrackSection::default());
        let boat: BoatId = "simulated".parse().unwrap();
        let fresh = NewEpoch {
            id: flukewatch_common::samples::epoch(),
            now: START,
        };
        let outbox = Outbox::open(folder, &boat, 1 << 34, fresh).unwrap();
        let queue = outbox.queue().unwrap();
        let time_and_position = TimeAndPosition {
            utc_clock: Arc::new(UtcClock::new(clock.clone(), monotonic.clone())),
            positions: Arc::new(PositionHistory::new(Duration::from_secs(60), false)),
        };
        let names = cameras.iter().map(|(name, _)| (*name).to_owned()).collect();
        let random = Box::new(StdRng::seed_from_u64(1));
        let new_sightings = NewSightings::new(boat, names, time_and_position, random);
        let identifier = identifier(bundle);
        let grey = identifier.is_grey();
        let reopened = bundle.clone();
        let grouping = Grouping::Video {
            gap: encounter.gap_millis(rate),
            longest: encounter.max_millis(),
        };
        let preparation = &bundle.manifest.preparation;
        let cameras = cameras.iter().map(|(_, live)| {
            let encounters = Encounters::new(grouping, encounter.best_crops, padding(bundle))
                .with_tracks(track.rules(threshold))
                .for_model(preparation.height, preparation.width);
            let gate = Gate::new(GateSettings {
                every_n_frames: DetectorSection::default().detect_every_n_frames,
                ..GateSettings::default()
            });
            PerceptionCamera::new(encounters, *live).with_gate(Some(gate))
        });
        let parts = PipelineParts {
            source,
            cameras: cameras.collect(),
            detector,
            grey,
            new_sightings,
            unsaved: vec![],
            clips: None,
            identify: whale_identifier(identifier, within),
            open_identify: Box::new(move || {
                Ok(whale_identifier(self::identifier(&reopened), within))
            }),
            outbox,
            clock,
            monotonic,
            counters: Arc::new(Counters::default()),
            stages: Stages::default(),
            accepted: Arc::new(Notify::new()),
            stop: CancellationToken::default(),
        };
        (parts, queue)
    }
}

/// A pipeline with the models of `bundle`, which must have a detector, and one camera that reads
/// `source` at `rate` frames per second; and the queue of its outbox in `folder`. A whale that
/// resurfaces `within` this time continues its encounter.
pub fn watch(
    bundle: &Bundle,
    source: Box<dyn FrameSource>,
    rate: f64,
    within: Duration,
    folder: &Path,
) -> (Pipeline, Queue) {
    let detector = open_detector(bundle, 0.0)
        .unwrap()
        .expect("a detector in the bundle");
    let (parts, queue) = AtSea {
        bundle,
        source,
        cameras: &[("main", false)],
        rate,
        threshold: detector.threshold(),
        detector: Some(Box::new(detector)),
        within,
        folder,
        clock: Arc::new(ManualClock::new(START)),
        monotonic: Arc::new(ManualMonotonicClock::new(BEGIN)),
    }
    .parts();
    (Pipeline::new(parts), queue)
}

fn identifier(bundle: &Bundle) -> Identifier {
    Identifier::new(bundle.clone(), Embedder::open(bundle).unwrap())
}

fn whale_identifier(identifier: Identifier, within: Duration) -> Box<dyn Identify> {
    Box::new(WhaleIdentifier::new(
        identifier,
        RecentEncounters::new(within),
    ))
}

/// The pending sightings of an outbox, in sending order.
pub fn sightings(queue: &Queue) -> Vec<Sighting> {
    let queued = queue.next(&HashSet::new(), 1_000_000).unwrap();
    let parts = queued
        .into_iter()
        .filter(|q| q.key.part == MessageKind::Sighting);
    parts
        .map(|q| match queue.load(q.key).unwrap() {
            Load::Message(message) => wire::decode(&message).unwrap(),
            other => panic!("{other:?}"),
        })
        .collect()
}
