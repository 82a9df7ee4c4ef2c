//! Moves recordings into the outbox, and holds them in memory while it rejects them.

use super::new_sighting::NewRecording;
use crate::cancellation::CancellationToken;
use crate::health::Counters;
use crate::identification::Wake;
use crate::outbox::{Outbox, OutboxError};
use crate::time::{MonotonicClock, MonotonicTimestamp};
use flukewatch_common::clock::{Clock, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// The most recordings that are held in memory.
pub const MAX_IN_MEMORY: usize = 64;
/// The interval of retries after the outbox rejected a recording, in milliseconds.
const RETRY_INTERVAL: i64 = 5_000;
/// When no more encounters can come, the outbox is retried so many times, a second apart, unless the
/// pipeline is cancelled.
const FINAL_ATTEMPTS: usize = 30;

/// What an [`OutboxQueue`] works with.
pub struct OutboxQueueParts {
    /// Stores the recordings.
    pub outbox: Outbox,
    /// What an earlier queue could not store, oldest first.
    pub unsaved: Vec<NewRecording>,
    /// The outbox's clock.
    pub clock: Arc<dyn Clock>,
    /// Paces retries.
    pub monotonic: Arc<dyn MonotonicClock>,
    /// Counts what is accepted and dropped.
    pub counters: Arc<Counters>,
    /// Notified of every accepted sighting.
    pub accepted: Arc<Notify>,
    /// Notified of every recording that is to be identified.
    pub recorded: Arc<Wake>,
    /// Cancels the retries at the end.
    pub stop: CancellationToken,
}

/// Recordings on their way to the outbox, oldest first.
pub struct OutboxQueue {
    outbox: Outbox,
    pending: VecDeque<NewRecording>,
    /// When the outbox rejected a recording, until it accepts one again.
    rejected_at: Option<MonotonicTimestamp>,
    /// Whether a damaged outbox was replaced.
    replaced: bool,
    clock: Arc<dyn Clock>,
    monotonic: Arc<dyn MonotonicClock>,
    counters: Arc<Counters>,
    accepted: Arc<Notify>,
    recorded: Arc<Wake>,
    stop: CancellationToken,
}

impl OutboxQueue {
    /// A queue that begins with what an earlier one could not store.
    pub fn new(parts: OutboxQueueParts) -> Self {
        let OutboxQueueParts {
            outbox,
            unsaved,
            clock,
            monotonic,
            counters,
            accepted,
            recorded,
            stop,
        } = parts;
        let mut queue = Self {
            outbox,
            pending: unsaved.into(),
            rejected_at: None,
            replaced: false,
            clock,
            monotonic,
            counters,
            accepted,
            recorded,
            stop,
        };
        queue.flush();
        queue
    }

    /// Adds a recording and tries to move all into the outbox.
    pub(super) fn push(&mut self, new: NewRecording) {
        self.pending.push_back(new);
        self.flush();
    }

    /// Retries if the last rejection is long enough ago.
    pub(super) fn retry_if_due(&mut self) {
        let now = self.monotonic.now();
        if self
            .rejected_at
            .is_some_and(|at| now.millis_since(at) >= RETRY_INTERVAL)
        {
            self.flush();
        }
    }

    /// Moves recordings into the outbox until it rejects one. Beyond [`MAX_IN_MEMORY`] the oldest are
    /// dropped.
    fn flush(&mut self) {
        while let Some(new) = self.pending.front() {
            let now = self.clock.now();
            let NewRecording {
                recording,
                jpeg,
                taken,
                ..
            } = new;
            match self.outbox.record(recording, jpeg, *taken, now) {
                Ok(sequence) => {
                    log_recorded(new, sequence, self.monotonic.now());
                    self.pending.pop_front();
                    if self.rejected_at.take().is_some() {
                        tracing::info!("outbox accepts recordings again");
                    }
                    self.counters.accepted();
                    self.accepted.notify_one();
                    self.recorded.notify();
                }
                Err(OutboxError::Damaged { reason, .. }) if self.replace(&reason, now) => {}
                Err(error) => {
                    if self.rejected_at.replace(self.monotonic.now()).is_none() {
                        tracing::error!(
                            %error,
                            max_in_memory = MAX_IN_MEMORY,
                            "outbox rejected recording; keeping it in memory"
                        );
                    }
                    break;
                }
            }
        }
        while self.pending.len() > MAX_IN_MEMORY {
            self.drop_oldest();
        }
        self.counters.set_in_memory(self.pending.len());
    }

    /// Replaces a damaged outbox. Returns whether that succeeded.
    fn replace(&mut self, reason: &str, now: Timestamp) -> bool {
        // Once: a new outbox that is damaged as well means a failing disk.
        if std::mem::replace(&mut self.replaced, true) {
            return false;
        }
        let reason = format!("its database is damaged: {reason}");
        match self.outbox.replace_damaged(&reason, now) {
            Ok(()) => {
                self.counters.outbox_replaced();
                true
            }
            Err(error) => {
                if self.rejected_at.is_none() {
                    tracing::error!(%error, "cannot replace the damaged outbox");
                }
                false
            }
        }
    }

    /// Retries for the last time. Returns what the outbox does not accept, oldest first.
    pub(super) fn finish(mut self) -> Vec<NewRecording> {
        for _ in 0..FINAL_ATTEMPTS {
            self.flush();
            if self.pending.is_empty() || self.stop.is_cancelled() {
                break;
            }
            std::thread::sleep(Duration::from_secs(1));
        }
        self.pending.into()
    }

    fn drop_oldest(&mut self) {
        if let Some(new) = self.pending.pop_front() {
            self.counters.dropped(1);
            self.counters.unrecorded(new.taken.started);
            log_dropped(&new);
        }
    }
}

/// Logs a recording that is lost because the outbox rejected it.
pub(crate) fn log_dropped(new: &NewRecording) {
    let sighting = &new.recording.sighting;
    tracing::error!(
        id = %sighting.id,
        started = %sighting.started,
        frames = sighting.frames,
        "dropping recording: outbox rejected it"
    );
}

/// Logs a recording that the outbox accepted at `now`.
fn log_recorded(new: &NewRecording, sequence: u64, now: MonotonicTimestamp) {
    let sighting = &new.recording.sighting;
    // Since the last frame with the fluke. An unpaced replay may be ahead of the clock.
    let delay_ms = now.millis_since(new.ended).max(0);
    let (frames, started) = (sighting.frames, sighting.started);
    let crops = new.recording.crops.len();
    tracing::info!(sequence, id = %sighting.id, camera = sighting.camera, frames, crops, %started, delay_ms, "encounter recorded");
}
