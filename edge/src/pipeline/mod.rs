//! The frame loop: from frames to sightings in the outbox.
//!
//! It runs on a separate thread and may block. A sighting is safe once the outbox has accepted it.
//! While the outbox rejects sightings (its disk is full), [`MAX_IN_MEMORY`] of them are held in memory and
//! retried; beyond that the oldest is dropped and logged.

mod analyser;
mod camera;
mod invalid_frame_log;
mod outbox_queue;

pub use camera::PipelineCamera;
pub use outbox_queue::MAX_IN_MEMORY;

use crate::cancellation::CancellationToken;
use crate::detect::Detect;
use crate::encounter::Encounter;
use crate::frame::Frame;
use crate::health::Counters;
use crate::heartbeat::Heartbeat;
use crate::outbox::Outbox;
use crate::preview::Preview;
use crate::report::Reporter;
use crate::source::{FrameSource, SourceError, SourceEvent};
use crate::time::{MonotonicClock, Timing};
use analyser::{Analyser, AnalyserInput};
use flukewatch_common::clock::Clock;
use invalid_frame_log::InvalidFrameLog;
use outbox_queue::OutboxQueue;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// When the source has ended, the outbox is retried so many times, a second apart, before the sightings
/// in memory are dropped.
const FINAL_ATTEMPTS: usize = 30;

/// Why the pipeline ended early, or lost something.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The frame source failed, after which the pipeline ended.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The outbox never accepted these.
    #[error("{0} sightings were dropped because the outbox rejected them; the log lists them")]
    Unsaved(usize),
}

/// What a pipeline is made of.
pub struct PipelineParts {
    /// The frames of all cameras.
    pub source: Box<dyn FrameSource>,
    /// The cameras, in the order of their indices in frames.
    pub cameras: Vec<PipelineCamera>,
    /// Searches frames without boxes; without a detector the whole frame counts as a fluke.
    pub detector: Option<Box<dyn Detect>>,
    /// Turns encounters into sightings.
    pub reporter: Reporter,
    /// Stores the sightings.
    pub outbox: Outbox,
    /// The outbox's clock.
    pub clock: Arc<dyn Clock>,
    /// The monotonic clock of the frames.
    pub monotonic: Arc<dyn MonotonicClock>,
    /// Counts frames, encounters and sightings.
    pub counters: Arc<Counters>,
    /// Notified of every sighting that the outbox accepts.
    pub accepted: Arc<Notify>,
    /// Cancels the pipeline.
    pub stop: CancellationToken,
}

/// From frames to the outbox.
pub struct Pipeline {
    source: Box<dyn FrameSource>,
    cameras: Vec<PipelineCamera>,
    analyser: Analyser,
    recorder: Recorder,
    invalid_frames: InvalidFrameLog,
    monotonic: Arc<dyn MonotonicClock>,
    counters: Arc<Counters>,
    stop: CancellationToken,
    heartbeat: Arc<Heartbeat>,
}

impl Pipeline {
    /// Assembles a pipeline from its parts.
    pub fn new(parts: PipelineParts) -> Self {
        let PipelineParts {
            source,
            cameras,
            detector,
            reporter,
            outbox,
            clock,
            monotonic,
            counters,
            accepted,
            stop,
        } = parts;
        let mut analyser = Analyser::new(reporter.is_grey());
        analyser.detector = detector;
        Self {
            source,
            cameras,
            analyser,
            recorder: Recorder {
                reporter,
                outbox: OutboxQueue::new(
                    outbox,
                    clock,
                    monotonic.clone(),
                    counters.clone(),
                    accepted,
                ),
                counters: counters.clone(),
            },
            invalid_frames: InvalidFrameLog::new(monotonic.clone()),
            monotonic,
            counters,
            stop,
            heartbeat: Arc::default(),
        }
    }

    /// Reports progress to `heartbeat`, and publishes frames to `preview`.
    #[must_use]
    pub fn observed_by(mut self, heartbeat: Arc<Heartbeat>, preview: Arc<Preview>) -> Self {
        self.heartbeat = heartbeat;
        self.analyser.preview = preview;
        self
    }

    /// Runs until the source has ended or the pipeline is cancelled; then reports the open encounters.
    ///
    /// # Errors
    /// When the source fails or a sighting could not be saved.
    pub fn run(mut self) -> Result<(), PipelineError> {
        let ended = self.process_frames();
        (0..self.cameras.len()).for_each(|camera| self.finish(camera));
        self.heartbeat.finished();
        for _ in 0..FINAL_ATTEMPTS {
            self.recorder.outbox.flush();
            if self.recorder.outbox.is_empty() || self.stop.is_cancelled() {
                break;
            }
            std::thread::sleep(Duration::from_secs(1));
        }
        let unsaved = self.recorder.outbox.drop_all();
        ended?;
        if unsaved > 0 {
            Err(PipelineError::Unsaved(unsaved))
        } else {
            Ok(())
        }
    }

    fn process_frames(&mut self) -> Result<(), PipelineError> {
        while !self.stop.is_cancelled() {
            self.heartbeat.waiting();
            let event = self.source.next();
            self.heartbeat.processing();
            match event {
                Ok(SourceEvent::Frame(frame)) => self.process(frame),
                Ok(SourceEvent::Idle) => self.expire(),
                Ok(SourceEvent::CameraEnded(camera)) => self.finish(camera),
                Ok(SourceEvent::Ended) => return Ok(()),
                Err(SourceError::InvalidFrame {
                    camera,
                    frame,
                    reason,
                }) => {
                    self.counters.frame();
                    self.skip_invalid(camera, &frame, &reason);
                }
                Err(e) => return Err(e.into()),
            }
            self.recorder.outbox.retry_if_due();
        }
        Ok(())
    }

    fn process(&mut self, frame: Frame) {
        self.counters.frame();
        let Frame {
            camera: index,
            name,
            taken,
            timing,
            image,
            boxes,
        } = frame;
        let Some(camera) = self.cameras.get_mut(index) else {
            return self.skip_invalid(index, &name, "unknown camera index");
        };
        camera.timing = timing;
        // Before decoding, so that a camera that sends damaged frames ends its encounters too.
        let expired = camera.encounters.expire(taken);
        self.recorder.record(index, timing, expired);
        let input = AnalyserInput {
            camera: index,
            image,
            boxes,
            taken,
        };
        let analysis = self.analyser.analyse(camera, input);
        match analysis.invalid {
            Some(reason) => self.skip_invalid(index, &name, &reason),
            None => camera.state.count_processed(None),
        }
        self.recorder.record(index, timing, analysis.ended);
    }

    /// Ends all encounters of a camera.
    fn finish(&mut self, index: usize) {
        if let Some(camera) = self.cameras.get_mut(index) {
            camera.state.finish();
            let ended = camera.encounters.finish();
            self.recorder.record(index, camera.timing, ended);
        }
    }

    /// Without frames, ends the encounters of live cameras after their gap: a camera that was
    /// unplugged during an encounter may never send again.
    fn expire(&mut self) {
        let now = self.monotonic.now();
        let live = self.cameras.iter_mut().enumerate();
        for (index, camera) in live.filter(|(_, camera)| camera.live) {
            let expired = camera.encounters.expire(now);
            self.recorder.record(index, camera.timing, expired);
        }
    }

    fn skip_invalid(&mut self, camera: usize, frame: &dyn fmt::Display, reason: &str) {
        self.counters.broken_frame();
        let camera = self.cameras.get(camera);
        if let Some(camera) = camera {
            camera.state.count_processed(Some(reason));
        }
        let live = camera.is_some_and(|camera| camera.live);
        self.invalid_frames.log(live, frame, reason);
    }
}

/// Turns encounters into sightings in the outbox.
struct Recorder {
    reporter: Reporter,
    outbox: OutboxQueue,
    counters: Arc<Counters>,
}

impl Recorder {
    /// Reports encounters of a camera; `timing` is that of its last frame.
    fn record(&mut self, camera: usize, timing: Timing, encounters: Vec<Encounter>) {
        for encounter in encounters {
            self.counters.encounter();
            match self.reporter.report(camera, &encounter, timing) {
                Ok(report) => self.outbox.push(report),
                Err(error) => {
                    self.counters.failed_encounter();
                    let frames = encounter.frames;
                    tracing::error!(%error, frames, "cannot report encounter");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
