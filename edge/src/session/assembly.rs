//! Builds the pipeline of a configuration: tracks, gates, reporter and detector.

use super::error::SessionError;
use super::random::random;
use crate::app_state::AppState;
use crate::cancellation::CancellationToken;
use crate::capture::CameraState;
use crate::config::{CameraSection, Config, SourceKind};
use crate::encounter::{Encounters, Grouping};
use crate::gate::{Gate, GateSettings};
use crate::models::Models;
use crate::outbox::Outbox;
use crate::pipeline::{Pipeline, PipelineCamera, PipelineParts};
use crate::recent_encounters::RecentEncounters;
use crate::report::{Reporter, TimeAndPosition};
use crate::source::FrameSource;
use crate::time::MonotonicClock;
use flukewatch_common::clock::Clock;
use flukewatch_common::sighting::BoatId;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Padding around a fluke in its picture, as a fraction of the box's sides.
pub const PICTURE_PADDING: f32 = 0.1;

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
    let padding = models.crop_padding.max(PICTURE_PADDING);
    let cameras = config
        .cameras
        .iter()
        .zip(inputs.states)
        .map(|(camera, state)| {
            let encounters = Encounters::new(
                grouping(config, camera),
                config.encounter.best_crops,
                padding,
            )
            .with_tracks(config.track.rules(models.detection_threshold))
            .for_model(models.input_size.0, models.input_size.1);
            let video = camera.source != SourceKind::Stills;
            PipelineCamera::new(encounters, camera.is_live())
                .with_gate(video.then(|| gate(config)))
                .with_state(state)
        })
        .collect();
    let reporter = Reporter::new(
        inputs.boat,
        names,
        models.identifier,
        inputs.time_and_position,
        random()?,
    )
    .with_recent_encounters(recent_encounters(config))
    .with_config(config.identity);
    let parts = PipelineParts {
        source: inputs.source,
        cameras,
        detector: models.detector,
        reporter,
        outbox: inputs.outbox,
        clock: inputs.outbox_clock,
        monotonic: inputs.monotonic,
        counters: state.counters.clone(),
        accepted: inputs.accepted,
        stop: inputs.stop,
    };
    Ok(Pipeline::new(parts).observed_by(state.heartbeat.clone(), state.preview.clone()))
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
