//! A boat's pipeline with the default configuration, run in this process on a simulated clock, so
//! that long videos play faster than real time.

use flukewatch_common::bundle::Bundle;
use flukewatch_common::clock::{ManualClock, Timestamp};
use flukewatch_common::sighting::{BoatId, MessageKind, Sighting};
use flukewatch_common::wire;
use flukewatch_edge::cancellation::CancellationToken;
use flukewatch_edge::config::{DetectorSection, EncounterSection, TrackSection};
use flukewatch_edge::encounter::{Encounters, Grouping};
use flukewatch_edge::gate::{Gate, GateSettings};
use flukewatch_edge::health::Counters;
use flukewatch_edge::identify::Identifier;
use flukewatch_edge::models::open_detector;
use flukewatch_edge::outbox::{Load, NewEpoch, Outbox, Queue};
use flukewatch_edge::pipeline::{Pipeline, PipelineCamera, PipelineParts};
use flukewatch_edge::position::PositionHistory;
use flukewatch_edge::recent_encounters::RecentEncounters;
use flukewatch_edge::report::{Reporter, TimeAndPosition};
use flukewatch_edge::session::PICTURE_PADDING;
use flukewatch_edge::source::FrameSource;
use flukewatch_edge::time::{ManualMonotonicClock, MonotonicTimestamp, UtcClock};
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
    let (encounter, track) = (EncounterSection::default(), TrackSection::default());
    let detector = open_detector(bundle, 0.0)
        .unwrap()
        .expect("a detector in the bundle");
    let boat: BoatId = "simulated".parse().unwrap();
    let fresh = NewEpoch {
        id: flukewatch_common::samples::epoch(),
        now: START,
    };
    let outbox = Outbox::open(folder, &boat, 1 << 34, fresh).unwrap();
    let queue = outbox.queue().unwrap();
    let clock = Arc::new(ManualClock::new(START));
    let steady = Arc::new(ManualMonotonicClock::new(BEGIN));
    let time_and_position = TimeAndPosition {
        utc_clock: Arc::new(UtcClock::new(clock.clone(), steady.clone())),
        positions: Arc::new(PositionHistory::new(Duration::from_secs(60), false)),
    };
    let embedder = Embedder::open(bundle).unwrap();
    let identifier = Identifier::new(bundle.clone(), embedder);
    let random = Box::new(StdRng::seed_from_u64(1));
    let reporter = Reporter::new(
        boat,
        vec!["main".into()],
        identifier,
        time_and_position,
        random,
    )
    .with_recent_encounters(RecentEncounters::new(within));
    let grouping = Grouping::Video {
        gap: encounter.gap_millis(rate),
        longest: encounter.max_millis(),
    };
    let preparation = &bundle.manifest.preparation;
    let encounters = Encounters::new(grouping, encounter.best_crops, padding(bundle))
        .with_tracks(track.rules(detector.threshold()))
        .for_model(preparation.height, preparation.width);
    let gate = Gate::new(GateSettings {
        every_n_frames: DetectorSection::default().detect_every_n_frames,
        ..GateSettings::default()
    });
    let pipeline = Pipeline::new(PipelineParts {
        source,
        cameras: vec![PipelineCamera::new(encounters, false).with_gate(Some(gate))],
        detector: Some(Box::new(detector)),
        reporter,
        outbox,
        clock,
        monotonic: steady,
        counters: Arc::new(Counters::default()),
        accepted: Arc::new(Notify::new()),
        stop: CancellationToken::default(),
    });
    (pipeline, queue)
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
