//! The recorder: from encounters to recordings in the outbox, before any model identifies them.
//!
//! It runs on a thread of its own, so that a slow disk never keeps the boat from seeing. While the outbox
//! rejects recordings (its disk is full), [`MAX_IN_MEMORY`] of them are held in memory and retried;
//! beyond that the oldest is dropped, counted and logged.

mod new_sighting;
mod outbox_queue;

pub use new_sighting::{NOT_YET, NewRecording, NewSightings, RecordError, TimeAndPosition};
pub(crate) use outbox_queue::log_dropped;
pub use outbox_queue::{MAX_IN_MEMORY, OutboxQueue, OutboxQueueParts};

use crate::health::Counters;
use crate::perception::ClosedEncounter;
use crate::stage::Stage;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// How long to wait for an encounter before the outbox is looked after.
const IDLE_AFTER: Duration = Duration::from_millis(100);

/// Records encounters.
pub struct Recorder {
    new_sightings: NewSightings,
    queue: OutboxQueue,
    stage: Arc<Stage>,
    counters: Arc<Counters>,
}

impl Recorder {
    /// Makes recordings with `new_sightings` and moves them into the outbox through `queue`.
    pub fn new(
        new_sightings: NewSightings,
        queue: OutboxQueue,
        stage: Arc<Stage>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            new_sightings,
            queue,
            stage,
            counters,
        }
    }

    /// Runs until no more encounters can come. Returns the recordings that the outbox does not accept.
    pub fn run(mut self, closed: &Receiver<ClosedEncounter>) -> Vec<NewRecording> {
        loop {
            match closed.recv_timeout(IDLE_AFTER) {
                Ok(closed) => self.record(&closed),
                Err(RecvTimeoutError::Timeout) => self.queue.retry_if_due(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.queue.finish()
    }

    /// Records one encounter.
    fn record(&mut self, closed: &ClosedEncounter) {
        let Self {
            new_sightings,
            queue,
            stage,
            ..
        } = self;
        let recorded = stage.work(|| {
            let new = new_sightings.record(closed)?;
            queue.push(new);
            Ok::<(), RecordError>(())
        });
        let failure: &dyn std::fmt::Display = match &recorded {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(panicked) => panicked,
        };
        tracing::error!(error = %failure, frames = closed.encounter.frames, "cannot record encounter");
        self.stage.failed(failure);
        self.counters.unrecorded(closed.encounter.started);
    }
}
