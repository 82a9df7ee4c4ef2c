//! A boat's watch in this process, on a clock of its own, set up as it is where its configuration says nothing: for films that last longer than
//! anybody would wait.

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
use flukewatch_edge::outbox::{Load, Outbox, Queue};
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

/// What the clock says at [`BEGIN`].
pub const START: Timestamp = Timestamp(1_795_450_800_000);
/// The moment at which a source should begin.
pub const BEGIN: MonotonicTimestamp = MonotonicTimestamp(60_000_000);

/// How much sea the boat keeps around a fluke, as a share of its box's sides.
pub fn margin(bundle: &Bundle) -> f32 {
    bundle.manifest.preparation.padding.max(PICTURE_PADDING)
}

/// A watch by `bundle`, which has a detector, over the one camera of `source`, of `rate` frames a second; and the queue of its outbox, which
/// lies in `folder`. A whale that comes back `within` this time is the same encounter.
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
    let outbox = Outbox::open(folder, &boat, 1 << 34).unwrap();
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
    let encounters = Encounters::new(grouping, encounter.best_crops, margin(bundle))
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

/// The sightings that wait in an outbox, in order.
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
