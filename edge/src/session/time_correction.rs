//! Corrects the times of stored sightings when the UTC clock turns out to have been wrong.

use crate::outbox::{Correction, OutboxError, Queue, Taken};
use crate::time::{MonotonicTimestamp, Timing, UtcClock, UtcTime};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::position::TimeSource;
use std::time::{Duration, Instant};

/// Smaller errors are not corrected, in milliseconds.
const TOLERANCE: i64 = 2_000;
/// Two readings of the clock that differ by less are the same, in milliseconds.
const SAME_OFFSET: u64 = 100;
/// The interval of retries after the outbox failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// The UTC clock as it was read.
#[derive(Clone, Copy, Debug)]
struct Reading {
    /// The UTC time of the monotonic timestamp 0.
    zero: Timestamp,
    source: TimeSource,
}

impl Reading {
    fn of(clock: &UtcClock) -> Self {
        let UtcTime { time, basis } = clock.to_utc(MonotonicTimestamp::default(), Timing::Driver);
        Self {
            zero: time,
            source: basis.source,
        }
    }

    fn agrees(self, other: Self) -> bool {
        self.source == other.source
            && self.zero.millis_since(other.zero).unsigned_abs() <= SAME_OFFSET
    }

    /// The right times of a sighting that starts at `started` by its message; `None` where these are
    /// right, or this reading is not better.
    fn correct(self, clock: &UtcClock, taken: &Taken, started: Timestamp) -> Option<Correction> {
        if taken.clock == TimeSource::Gnss && self.source != TimeSource::Gnss {
            return None;
        }
        let after_zero = taken.started.millis_since(MonotonicTimestamp::default());
        let right = self.zero.plus_millis(after_zero);
        // Long after the sighting, the drift of the monotonic clock alone may differ by more.
        let drift = clock
            .to_utc(taken.started, Timing::Driver)
            .basis
            .uncertainty;
        let tolerance = TOLERANCE.max(drift.map_or(0, i64::from));
        let wrong = right.millis_since(started).saturating_abs() > tolerance;
        wrong.then(|| Correction {
            started: right,
            basis: clock.to_utc(taken.started, taken.timing).basis,
            clock: self.source,
        })
    }
}

/// Polled by the monitor.
#[derive(Default)]
pub(super) struct TimeCorrection {
    last: Option<Reading>,
    /// The clock and the number of accepted sightings when times were last corrected.
    done: Option<(Reading, u64)>,
    failed: Option<Instant>,
}

impl TimeCorrection {
    /// Corrects the times of the sightings of `boot` where the clock has changed, or one of the
    /// `accepted` sightings is new. Returns whether all times are right as far as is known.
    pub(super) fn poll(
        &mut self,
        queue: &mut Queue,
        boot: impl FnOnce() -> Option<String>,
        clock: &UtcClock,
        accepted: u64,
    ) -> bool {
        let reading = Reading::of(clock);
        // A thread that is interrupted between two clocks reads a wrong offset, but not twice.
        let settled = self
            .last
            .replace(reading)
            .is_some_and(|r| r.agrees(reading));
        if !settled {
            return false;
        }
        if let Some((before, sightings)) = self.done
            && before.agrees(reading)
            && sightings == accepted
        {
            return true;
        }
        if self.failed.is_some_and(|at| at.elapsed() < RETRY_INTERVAL) {
            return false;
        }
        let corrected = boot().map_or(Ok(()), |boot| correct(queue, &boot, clock, reading));
        match corrected {
            Ok(()) => {
                self.done = Some((reading, accepted));
                self.failed = None;
                true
            }
            Err(error) => {
                if self.failed.replace(Instant::now()).is_none() {
                    tracing::warn!(%error, "cannot correct sighting times; retrying");
                }
                false
            }
        }
    }
}

fn correct(
    queue: &mut Queue,
    boot: &str,
    clock: &UtcClock,
    reading: Reading,
) -> Result<(), OutboxError> {
    let corrected = queue.correct_times(boot, |taken, started| {
        reading.correct(clock, taken, started)
    })?;
    if corrected.revised > 0 {
        tracing::info!(
            sightings = corrected.revised,
            source = reading.source.as_str(),
            "corrected sighting times"
        );
    }
    if corrected.unavailable > 0 {
        tracing::warn!(
            sightings = corrected.unavailable,
            "cannot correct times: sightings delivered and not in the archive"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
