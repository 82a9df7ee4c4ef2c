//! Builds the pipeline of a configuration: tracks, gates, detector, recorder and identification.

use super::error::SessionError;
use super::random::random;
use crate::app_state::AppState;
use crate::cancellation::CancellationToken;
use crate::capture::CameraState;
use crate::clip::{ClipFolder, ClipTap, ClipWriter};
use crate::config::{CameraSection, Config, SourceKind};
use crate::detect::Detect;
use crate::detector_meter::MeasuredDetector;
use crate::encounter::{Encounters, Grouping};
use crate::gate::{Gate, GateSettings};
use crate::identification::{Identify, RecentEncounters, WhaleIdentifier};
use crate::models::{self, Models, PerceptionNeeds};
use crate::outbox::Outbox;
use crate::perception::PerceptionCamera;
use crate::picture::PictureMonitor;
use crate::pipeline::{Pipeline, PipelineParts};
use crate::recorder::{NewSightings, TimeAndPosition};
use crate::source::FrameSource;
use crate::time::MonotonicClock;
use flukewatch_common::clock::Clock;
use flukewatch_common::sighting::BoatId;
use flukewatch_inference::engine::plan_queue::PlanQueue;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use tokio::sync::Notify;

/// Padding around a fluke in its picture, as a fraction of the box's sides.
pub const PICTURE_PADDING: f32 = 0.1;

/// The most frames that wait to be written into clips: two seconds of two cameras.
const MAX_CLIP_EVENTS: usize = 120;

/// What a pipeline works with besides its models.
pub(super) struct PipelineInputs {
    pub(super) boat: BoatId,
    pub(super) source: Box<dyn FrameSource>,
    /// The state of each camera.
    pub(super) states: Vec<Arc<CameraState>>,
    pub(super) outbox: Outbox,
    pub(super) time_and_position: TimeAndPosition,
    pub(super) outbox_clock: Arc<dyn Clock>,
    pub(super) monotonic: Arc<dyn MonotonicClock>,
    /// Notified of each sighting that the outbox has accepted.
    pub(super) accepted: Arc<Notify>,
    pub(super) stop: CancellationToken,
}

/// Builds the pipeline of `config`.
pub(super) fn pipeline(
    config: &Config,
    models: Models,
    inputs: PipelineInputs,
    state: &AppState,
) -> Result<Pipeline, SessionError> {
    let names = config.cameras.iter().map(|c| c.name.clone()).collect();
    let new_sightings = NewSightings::new(
        inputs.boat,
        names,
        inputs.time_and_position.clone(),
        random()?,
    )
    .with_config(config.identity)
    .with_mounts(config.cameras.iter().map(|c| c.mount.mount()).collect());
    let (events, take_events) = sync_channel(MAX_CLIP_EVENTS);
    let tap = |index| {
        let missing = state.counters.missing_clip_frames();
        let tap = || ClipTap::new(index, config.clip.settings(), events.clone(), missing);
        config.clip.enabled.then(tap)
    };
    let clips = config.clip.enabled.then(|| {
        let writer = ClipWriter::new(
            ClipFolder::of(&config.outbox.path),
            config.cameras.iter().map(|c| c.name.clone()).collect(),
            new_sightings.session(),
            inputs.time_and_position.utc_clock.clone(),
            inputs.outbox_clock.clone(),
            state.stages.clips.clone(),
        );
        (writer, take_events)
    });
    let cameras = config
        .cameras
        .iter()
        .enumerate()
        .zip(inputs.states)
        .map(|((index, camera), camera_state)| {
            let video = camera.source != SourceKind::Stills;
            perception_camera(config, camera, models.needs, camera.is_live())
                .with_gate(video.then(|| gate(config)))
                .with_picture(camera.is_live().then(|| PictureMonitor::new(config.levels)))
                .with_clip(tap(index).filter(|_| video))
                .with_state(camera_state)
        })
        .collect();
    let (reopened, plans) = (config.clone(), state.plans.clone());
    let detector = models.detector.map(|opened| -> Box<dyn Detect> {
        Box::new(MeasuredDetector {
            detector: opened.detector,
            meter: state.detector.clone(),
        })
    });
    let parts = PipelineParts {
        source: inputs.source,
        cameras,
        detector,
        grey: models.identifier.is_grey(),
        new_sightings,
        unsaved: state.unsaved.take(),
        clips,
        identify: Box::new(WhaleIdentifier::new(
            models.identifier,
            recent_encounters(config),
        )),
        open_identify: Box::new(move || open_identify(&reopened, &plans)),
        outbox: inputs.outbox,
        clock: inputs.outbox_clock,
        monotonic: inputs.monotonic,
        counters: state.counters.clone(),
        stages: state.stages.clone(),
        accepted: inputs.accepted,
        stop: inputs.stop,
    };
    Ok(Pipeline::new(parts).observed_by(state.heartbeat.clone(), state.preview.clone()))
}

/// What perception keeps for `camera`, with the rules of `config` for its flukes. The encounters of a `live` one end after a gap
/// even while it sends nothing.
pub(crate) fn perception_camera(
    config: &Config,
    camera: &CameraSection,
    needs: PerceptionNeeds,
    live: bool,
) -> PerceptionCamera {
    let encounters = Encounters::new(
        grouping(config, camera),
        config.encounter.best_crops,
        needs.crop_padding.max(PICTURE_PADDING),
    )
    .with_tracks(config.track.rules(needs.detection_threshold))
    .for_model(needs.input_size.0, needs.input_size.1);
    PerceptionCamera::new(encounters, live).with_filter(camera.detection_filter())
}

/// Opens the bundle again, after the identification panicked or hung.
fn open_identify(config: &Config, plans: &PlanQueue) -> Result<Box<dyn Identify>, String> {
    let identifier = models::open_identifier(config, plans).map_err(|e| e.to_string())?;
    let recent = recent_encounters(config);
    Ok(Box::new(WhaleIdentifier::new(identifier, recent)))
}

fn grouping(config: &Config, camera: &CameraSection) -> Grouping {
    if camera.source == SourceKind::Stills {
        Grouping::Stills
    } else {
        Grouping::Video {
            gap: config.encounter.gap_millis(camera.frames_per_second),
            longest: config.encounter.max_millis(),
        }
    }
}

/// Stills are unrelated, so that no whale returns between two of them.
fn recent_encounters(config: &Config) -> RecentEncounters {
    let mut cameras = config.cameras.iter();
    RecentEncounters::new(if cameras.all(|c| c.source == SourceKind::Stills) {
        Duration::ZERO
    } else {
        config.encounter.return_within()
    })
}

fn gate(config: &Config) -> Gate {
    Gate::new(GateSettings {
        every_n_frames: config.detector.detect_every_n_frames,
        ..GateSettings::default()
    })
}
