//! Moves sightings into the outbox, and holds them in memory while it rejects them.

use crate::health::Counters;
use crate::outbox::{Outbox, OutboxError};
use crate::report::Report;
use crate::time::{MonotonicClock, MonotonicTimestamp};
use flukewatch_common::clock::{Clock, Timestamp};
use flukewatch_common::decision::Verdict;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::Notify;

/// The most sightings that are held in memory.
pub const MAX_IN_MEMORY: usize = 64;
/// The interval of retries after the outbox rejected a sighting, in milliseconds.
const RETRY_INTERVAL: i64 = 5_000;

/// Sightings on their way to the outbox, oldest first.
pub(super) struct OutboxQueue {
    outbox: Outbox,
    pending: VecDeque<Report>,
    /// When the outbox rejected a sighting, until it accepts one again.
    rejected_at: Option<MonotonicTimestamp>,
    /// Whether a damaged outbox was replaced.
    replaced: bool,
    clock: Arc<dyn Clock>,
    monotonic: Arc<dyn MonotonicClock>,
    counters: Arc<Counters>,
    /// Notified of every accepted sighting.
    accepted: Arc<Notify>,
}

impl OutboxQueue {
    pub(super) fn new(
        outbox: Outbox,
        clock: Arc<dyn Clock>,
        monotonic: Arc<dyn MonotonicClock>,
        counters: Arc<Counters>,
        accepted: Arc<Notify>,
    ) -> Self {
        Self {
            outbox,
            pending: VecDeque::new(),
            rejected_at: None,
            replaced: false,
            clock,
            monotonic,
            counters,
            accepted,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Adds a sighting and tries to move all into the outbox.
    pub(super) fn push(&mut self, report: Report) {
        self.pending.push_back(report);
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

    /// Moves sightings into the outbox until it rejects one. Beyond [`MAX_IN_MEMORY`] the oldest are
    /// dropped.
    pub(super) fn flush(&mut self) {
        while let Some(report) = self.pending.front() {
            let now = self.clock.now();
            let Report {
                sighting,
                jpeg,
                taken,
                ..
            } = report;
            match self.outbox.accept_taken(sighting, jpeg, Some(*taken), now) {
                Ok(sequence) => {
                    log_accepted(report, sequence, self.monotonic.now());
                    self.pending.pop_front();
                    if self.rejected_at.take().is_some() {
                        tracing::info!("outbox accepts sightings again");
                    }
                    self.counters.accepted();
                    self.accepted.notify_one();
                }
                Err(OutboxError::Damaged { reason, .. }) if self.replace(&reason, now) => {}
                Err(error) => {
                    if self.rejected_at.replace(self.monotonic.now()).is_none() {
                        tracing::error!(
                            %error,
                            max_in_memory = MAX_IN_MEMORY,
                            "outbox rejected sighting; keeping it in memory"
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

    /// Drops all pending sightings; returns how many there were.
    pub(super) fn drop_all(&mut self) -> usize {
        let dropped = self.pending.len();
        while !self.pending.is_empty() {
            self.drop_oldest();
        }
        self.counters.set_in_memory(0);
        dropped
    }

    fn drop_oldest(&mut self) {
        if let Some(Report { sighting, .. }) = self.pending.pop_front() {
            self.counters.dropped(1);
            tracing::error!(
                id = %sighting.id,
                started = %sighting.started,
                verdict = ?sighting.verdict,
                "dropping sighting: outbox rejected it"
            );
        }
    }
}

/// Logs a sighting that the outbox accepted at `now`.
fn log_accepted(report: &Report, sequence: u64, now: MonotonicTimestamp) {
    let Report {
        sighting, ended, ..
    } = report;
    // Since the last frame with the fluke. An unpaced replay may be ahead of the clock.
    let delay_ms = now.millis_since(*ended).max(0);
    let score = sighting.candidates.first().map_or(0.0, |c| c.score);
    let (frames, started) = (sighting.frames, sighting.started);
    let continued = sighting
        .footage
        .as_ref()
        .map(|f| f.encounter)
        .filter(|encounter| *encounter != sighting.id);
    let continues = continued.map(tracing::field::display);
    let (verdict, whale) = match &sighting.verdict {
        Verdict::Known { whale } => ("known", whale.as_str()),
        Verdict::New => ("new", ""),
        Verdict::Review => ("review", ""),
    };
    tracing::info!(sequence, verdict, whale, score, frames, %started, delay_ms, continues, "sighting accepted");
}
