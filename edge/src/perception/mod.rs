//! Perception: from frames to encounters.
//!
//! It runs on a thread of its own, and does nothing but see: it decodes frames, detects flukes, follows
//! them and keeps their best crops. An encounter that ends is handed to the recorder through a bounded
//! channel. Where that is full, since the disk is slow, an encounter of a live camera is counted as not
//! recorded, and perception goes on; a replay waits instead.

mod analyser;
mod camera;
mod invalid_frame_log;

pub use camera::PerceptionCamera;

use crate::cancellation::CancellationToken;
use crate::clip::ClipTap;
use crate::detect::Detect;
use crate::encounter::Encounter;
use crate::frame::Frame;
use crate::health::Counters;
use crate::heartbeat::Heartbeat;
use crate::preview::Preview;
use crate::source::{FrameSource, SourceError, SourceEvent};
use crate::stage::Stage;
use crate::time::{MonotonicClock, Timing};
use analyser::{Analyser, AnalyserInput};
use invalid_frame_log::InvalidFrameLog;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};

/// An encounter that has ended.
#[derive(Clone, Debug)]
pub struct ClosedEncounter {
    /// The camera's index.
    pub camera: usize,
    /// The encounter.
    pub encounter: Encounter,
    /// The timing of the camera's frames.
    pub timing: Timing,
}

/// What perception works with.
pub struct PerceptionParts {
    /// The frames of all cameras.
    pub source: Box<dyn FrameSource>,
    /// The cameras, in the order of their indices in frames.
    pub cameras: Vec<PerceptionCamera>,
    /// Searches frames without boxes; without a detector the whole frame counts as a fluke.
    pub detector: Option<Box<dyn Detect>>,
    /// Whether the model uses luma only.
    pub grey: bool,
    /// Takes the encounters that end.
    pub closed: SyncSender<ClosedEncounter>,
    /// The clock of the frames.
    pub monotonic: Arc<dyn MonotonicClock>,
    /// Counts frames and encounters.
    pub counters: Arc<Counters>,
    /// The stage to report to.
    pub stage: Arc<Stage>,
    /// Ends it.
    pub stop: CancellationToken,
}

/// From frames to encounters.
pub struct Perception {
    source: Box<dyn FrameSource>,
    cameras: Vec<PerceptionCamera>,
    analyser: Analyser,
    closed: SyncSender<ClosedEncounter>,
    invalid_frames: InvalidFrameLog,
    monotonic: Arc<dyn MonotonicClock>,
    counters: Arc<Counters>,
    stage: Arc<Stage>,
    stop: CancellationToken,
    heartbeat: Arc<Heartbeat>,
}

impl Perception {
    /// Perception that reports progress to `heartbeat`, and publishes frames to `preview`.
    pub fn new(parts: PerceptionParts, heartbeat: Arc<Heartbeat>, preview: Arc<Preview>) -> Self {
        let PerceptionParts {
            source,
            cameras,
            detector,
            grey,
            closed,
            monotonic,
            counters,
            stage,
            stop,
        } = parts;
        Self {
            source,
            cameras,
            analyser: Analyser::new(grey, detector, preview),
            closed,
            invalid_frames: InvalidFrameLog::new(monotonic.clone()),
            monotonic,
            counters,
            stage,
            stop,
            heartbeat,
        }
    }

    /// Runs until the source has ended or it is cancelled; then the open encounters end.
    ///
    /// # Errors
    /// When the source fails.
    pub fn run(mut self) -> Result<(), SourceError> {
        let ended = self.process_frames();
        (0..self.cameras.len()).for_each(|camera| self.finish(camera));
        self.heartbeat.finished();
        ended
    }

    fn process_frames(&mut self) -> Result<(), SourceError> {
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
                Err(e) => return Err(e),
            }
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
            encoded,
        } = frame;
        let Some(camera) = self.cameras.get_mut(index) else {
            return self.skip_invalid(index, &name, "unknown camera index");
        };
        camera.timing = timing;
        // Before decoding, so that a camera that sends damaged frames ends its encounters too.
        let expired = camera.encounters.expire(taken);
        if let Some(clip) = &mut camera.clip {
            clip.frame(taken, &image, encoded);
        }
        let input = AnalyserInput {
            camera: index,
            image,
            boxes,
            taken,
        };
        let analyser = &mut self.analyser;
        let analysis = self.stage.work(|| analyser.analyse(camera, input));
        let (ended, invalid) = match analysis {
            Ok(analysis) => (analysis.ended, analysis.invalid),
            Err(panicked) => {
                // What they had half-changed cannot be used any more.
                self.analyser.reset();
                (camera.encounters.finish(), Some(panicked.to_string()))
            }
        };
        if let Some(clip) = &mut camera.clip {
            clip.analysed(taken, camera.encounters.is_active());
        }
        match invalid {
            Some(reason) => self.skip_invalid(index, &name, &reason),
            None => {
                camera.state.count_processed(None);
                camera.state.searched(taken);
            }
        }
        self.hand_over(index, expired);
        self.hand_over(index, ended);
    }

    /// Ends all encounters of a camera.
    fn finish(&mut self, index: usize) {
        if let Some(camera) = self.cameras.get_mut(index) {
            camera.state.finish();
            camera.clip.iter_mut().for_each(ClipTap::end);
            let ended = camera.encounters.finish();
            self.hand_over(index, ended);
        }
    }

    /// Without frames, ends the encounters of live cameras after their gap: a camera that was
    /// unplugged during an encounter may never send again.
    fn expire(&mut self) {
        let now = self.monotonic.now();
        let expired: Vec<(usize, Vec<Encounter>)> = self
            .cameras
            .iter_mut()
            .enumerate()
            .filter(|(_, camera)| camera.live)
            .map(|(index, camera)| (index, camera.encounters.expire(now)))
            .collect();
        for (index, expired) in expired {
            self.hand_over(index, expired);
        }
    }

    /// Hands encounters of a camera to the recorder.
    fn hand_over(&mut self, index: usize, encounters: Vec<Encounter>) {
        let Some(camera) = self.cameras.get(index) else {
            return;
        };
        for encounter in encounters {
            self.counters.encounter();
            let started = encounter.started;
            let closed = ClosedEncounter {
                camera: index,
                encounter,
                timing: camera.timing,
            };
            let lost = if camera.live {
                match self.closed.try_send(closed) {
                    Ok(()) => None,
                    Err(TrySendError::Full(_)) => Some("the recorder cannot keep up"),
                    Err(TrySendError::Disconnected(_)) => Some("the recorder has ended"),
                }
            } else {
                let sent = self.closed.send(closed);
                sent.err().map(|_| "the recorder has ended")
            };
            if let Some(reason) = lost {
                tracing::error!(camera = index, reason, "encounter not recorded");
                self.counters.unrecorded(started);
            }
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
