//! The pipeline: from frames to sightings in the outbox, in stages on threads of their own.
//!
//! | stage | takes | gives | file |
//! |---|---|---|---|
//! | perception | [`Frame`](crate::frame::Frame) | [`ClosedEncounter`] | `perception/mod.rs` |
//! | recorder | [`ClosedEncounter`] | [`Recording`](crate::recording::Recording) in the outbox | `recorder/mod.rs` |
//! | clips | [`ClipEvent`] | a video in the folder of clips | `clip/writer.rs` |
//! | identification | [`Recording`](crate::recording::Recording) | [`Identity`](crate::identification::Identity), a revision in the outbox | `identification/worker.rs` |
//!
//! Between the first two is a channel of [`MAX_CLOSED`] encounters; between the others is the disk, so
//! that what was recorded survives everything that happens to its identification.

use crate::cancellation::CancellationToken;
use crate::clip::{ClipEvent, ClipWriter};
use crate::detect::Detect;
use crate::health::Counters;
use crate::heartbeat::Heartbeat;
use crate::identification::{Identify, OpenIdentify, Supervisor, SupervisorParts, Wake};
use crate::outbox::{Outbox, OutboxError, Recordings};
use crate::perception::{ClosedEncounter, Perception, PerceptionCamera, PerceptionParts};
use crate::preview::Preview;
use crate::recorder::{
    NewRecording, NewSightings, OutboxQueue, OutboxQueueParts, Recorder, log_dropped,
};
use crate::source::{FrameSource, SourceError};
use crate::stage::Stages;
use crate::time::MonotonicClock;
use flukewatch_common::clock::Clock;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::Notify;

/// The most encounters that wait for the recorder.
pub const MAX_CLOSED: usize = 16;
/// How often a pipeline that is waited for is supervised.
const POLL: Duration = Duration::from_millis(20);

/// Why the pipeline ended early, or lost something.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The frame source failed, after which the pipeline ended.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The outbox never accepted these.
    #[error("the outbox rejected {0} recordings; the log lists them")]
    Unsaved(usize),
    /// The outbox cannot be read.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The operating system cannot start a thread.
    #[error("the operating system cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// A stage ended with a panic.
    #[error(
        "internal error: a stage panicked; the outbox is intact. Please report it with the log"
    )]
    Panicked,
}

/// What a pipeline is made of.
pub struct PipelineParts {
    /// The frames of all cameras.
    pub source: Box<dyn FrameSource>,
    /// The cameras, in the order of their indices in frames.
    pub cameras: Vec<PerceptionCamera>,
    /// Searches frames without boxes; without a detector the whole frame counts as a fluke.
    pub detector: Option<Box<dyn Detect>>,
    /// Whether the model uses luma only.
    pub grey: bool,
    /// Makes recordings of encounters.
    pub new_sightings: NewSightings,
    /// Recordings that an earlier outbox did not accept.
    pub unsaved: Vec<NewRecording>,
    /// Writes the clips that the cameras' taps send, where there are any.
    pub clips: Option<(ClipWriter, Receiver<ClipEvent>)>,
    /// Identifies the first encounters.
    pub identify: Box<dyn Identify>,
    /// Opens another identifier after a panic or a hang.
    pub open_identify: OpenIdentify,
    /// Stores the recordings.
    pub outbox: Outbox,
    /// The outbox's clock.
    pub clock: Arc<dyn Clock>,
    /// The monotonic clock of the frames.
    pub monotonic: Arc<dyn MonotonicClock>,
    /// Counts frames, encounters and sightings.
    pub counters: Arc<Counters>,
    /// The stages to report to.
    pub stages: Stages,
    /// Notified of every sighting that the outbox accepts, and of every verdict.
    pub accepted: Arc<Notify>,
    /// Cancels the pipeline.
    pub stop: CancellationToken,
}

/// A pipeline that is not started yet.
pub struct Pipeline {
    parts: PipelineParts,
    heartbeat: Arc<Heartbeat>,
    preview: Arc<Preview>,
}

impl Pipeline {
    /// Assembles a pipeline from its parts.
    pub fn new(parts: PipelineParts) -> Self {
        Self {
            parts,
            heartbeat: Arc::default(),
            preview: Arc::default(),
        }
    }

    /// Reports progress to `heartbeat`, and publishes frames to `preview`.
    #[must_use]
    pub fn observed_by(self, heartbeat: Arc<Heartbeat>, preview: Arc<Preview>) -> Self {
        Self {
            heartbeat,
            preview,
            ..self
        }
    }

    /// Starts the stages.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(self) -> Result<RunningPipeline, PipelineError> {
        let PipelineParts {
            source,
            cameras,
            detector,
            grey,
            new_sightings,
            unsaved,
            clips,
            identify,
            open_identify,
            outbox,
            clock,
            monotonic,
            counters,
            stages,
            accepted,
            stop,
        } = self.parts;
        let (closed, take_closed) = sync_channel::<ClosedEncounter>(MAX_CLOSED);
        let recorded = Arc::new(Wake::default());
        let recordings = outbox.recordings()?;
        let identification = Supervisor::new(SupervisorParts {
            first: identify,
            open: open_identify,
            outbox: outbox.folder().to_owned(),
            stage: stages.identification.clone(),
            counters: counters.clone(),
            accepted: accepted.clone(),
            recorded: recorded.clone(),
        });
        let queue = OutboxQueue::new(OutboxQueueParts {
            outbox,
            unsaved,
            clock,
            monotonic: monotonic.clone(),
            counters: counters.clone(),
            accepted,
            recorded,
            stop: stop.clone(),
        });
        let recorder = Recorder::new(
            new_sightings,
            queue,
            stages.recorder.clone(),
            counters.clone(),
        );
        let perception = Perception::new(
            PerceptionParts {
                source,
                cameras,
                detector,
                grey,
                closed,
                monotonic,
                counters: counters.clone(),
                stage: stages.perception.clone(),
                stop,
            },
            self.heartbeat,
            self.preview,
        );
        Ok(RunningPipeline {
            recorder: spawn("recorder", move || recorder.run(&take_closed))?,
            clips: clips
                .map(|(writer, events)| spawn("clips", move || writer.run(&events)))
                .transpose()?,
            perception: spawn("perception", move || perception.run())?,
            identification,
            recordings,
            counters,
        })
    }

    /// Runs until the source has ended or the pipeline is cancelled, and until what was recorded is
    /// identified; a pipeline that is cancelled leaves that to the next one.
    ///
    /// # Errors
    /// When the source fails, or a recording could not be saved.
    pub fn run(self) -> Result<(), PipelineError> {
        let stop = self.parts.stop.clone();
        let mut running = self.start()?;
        while !running.is_recorded() || !stop.is_cancelled() && !running.is_identified()? {
            running.supervise();
            std::thread::sleep(POLL);
        }
        let counters = running.counters.clone();
        let Ended { source, unsaved } = running.stop()?;
        for new in &unsaved {
            counters.dropped(1);
            log_dropped(new);
        }
        source?;
        match unsaved.len() {
            0 => Ok(()),
            lost => Err(PipelineError::Unsaved(lost)),
        }
    }
}

fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, PipelineError> {
    let thread = std::thread::Builder::new().name(name.into()).spawn(work);
    thread.map_err(PipelineError::Thread)
}

/// A pipeline at work.
pub struct RunningPipeline {
    perception: JoinHandle<Result<(), SourceError>>,
    recorder: JoinHandle<Vec<NewRecording>>,
    clips: Option<JoinHandle<()>>,
    identification: Supervisor,
    recordings: Recordings,
    counters: Arc<Counters>,
}

/// How a pipeline ended.
#[derive(Debug)]
pub struct Ended {
    /// Whether the source failed.
    pub source: Result<(), SourceError>,
    /// The recordings that the outbox did not accept, oldest first.
    pub unsaved: Vec<NewRecording>,
}

impl RunningPipeline {
    /// Whether the source has ended and what it showed is recorded.
    pub fn is_recorded(&self) -> bool {
        let clips = self.clips.as_ref().is_none_or(JoinHandle::is_finished);
        self.perception.is_finished() && self.recorder.is_finished() && clips
    }

    /// Whether what was recorded is identified, as far as it can be.
    ///
    /// # Errors
    /// When the outbox cannot be read.
    pub fn is_identified(&self) -> Result<bool, OutboxError> {
        Ok(self.recordings.next()?.is_none())
    }

    /// Restarts the identification where it panicked or hangs. To be called several times a second.
    pub fn supervise(&mut self) {
        self.identification.poll();
    }

    /// Waits for the source's end, and ends the identification.
    ///
    /// # Errors
    /// When a stage panicked outside of the items that it works on.
    pub fn stop(self) -> Result<Ended, PipelineError> {
        let source = self.perception.join();
        let unsaved = self.recorder.join();
        // A panic was counted where it was caught.
        let _ = self.clips.map(JoinHandle::join);
        self.identification.stop();
        match (source, unsaved) {
            (Ok(source), Ok(unsaved)) => {
                self.counters.set_in_memory(0);
                Ok(Ended { source, unsaved })
            }
            _ => Err(PipelineError::Panicked),
        }
    }
}

#[cfg(test)]
mod stage_tests;
#[cfg(test)]
mod tests;
