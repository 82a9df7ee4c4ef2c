//! From monotonic timestamps to UTC, by the best time source on board.
//!
//! The system clock is used as long as there is nothing better, without any claim of accuracy: a small
//! board without a battery may start anywhere. GNSS time arrives in sentences that are sent some time
//! after the second that they state, so that the most accurate one has the least delay: the largest
//! difference between the stated time and the arrival. That difference is kept, and reduced by the drift
//! of a quartz only. A receiver that suddenly states another time is accepted once it has repeated it
//! [`CONFIRMATIONS`] times. Dates outside a [`DateWindow`] are never accepted.

use super::date_window::DateWindow;
use super::monotonic::{MonotonicClock, MonotonicTimestamp, micros, rounded_millis};
use super::timing::Timing;
use flukewatch_common::clock::{Clock, Timestamp};
use flukewatch_common::position::{TimeBasis, TimeSource};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How often in a row a receiver must state the same time before it is accepted.
const CONFIRMATIONS: u32 = 3;
/// Times that differ by less agree, in microseconds: sentences are sent within a second.
const MAX_SPREAD: i64 = 1_500_000;
/// A system clock that differs by more was set, or is wrong, in microseconds.
const JUMP: i64 = 2_000_000;
/// The assumed delay of the sentence with the least delay, in milliseconds.
const SENTENCE_DELAY: u32 = 500;
/// The drift of a cheap quartz: one in so many, i.e. 100 ppm.
const DRIFT_DIVISOR: i64 = 10_000;

/// A UTC time and its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UtcTime {
    /// Milliseconds since 1970 UTC.
    pub time: Timestamp,
    /// Its source and uncertainty.
    pub basis: TimeBasis,
}

/// The time in the health document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeStatus {
    /// `system` or `gnss`.
    pub source: String,
    /// The uncertainty of the times of live frames, in milliseconds; null where it is unknown.
    pub uncertainty_milliseconds: Option<u32>,
    /// The system clock minus GNSS time; null without GNSS time.
    pub system_clock_ahead_milliseconds: Option<i64>,
    /// How often the system clock was set since the program started.
    pub clock_jumps: u64,
    /// Times of the receiver that were rejected.
    pub rejected_times: u64,
    /// The last time of the receiver that was rejected because its date is implausible: before this
    /// version of the program, or long after it. Null where there was none.
    pub implausible_time: Option<String>,
}

#[derive(Clone, Copy, Debug)]
struct Offset {
    /// UTC minus the monotonic clock, in microseconds.
    micros: i64,
    /// When it was last measured.
    at: MonotonicTimestamp,
}

#[derive(Debug, Default)]
struct Sources {
    system: Option<i64>,
    gnss: Option<Offset>,
    /// A time of the receiver that is not accepted yet, and how often it was stated.
    candidate: Option<(Offset, u32)>,
    offset_logged: bool,
    implausible: Option<Timestamp>,
    jumps: u64,
    rejected: u64,
}

/// Converts monotonic timestamps to UTC.
pub struct UtcClock {
    system: Arc<dyn Clock>,
    monotonic: Arc<dyn MonotonicClock>,
    dates: DateWindow,
    sources: Mutex<Sources>,
}

impl UtcClock {
    /// Converts timestamps of `monotonic` by the system clock `system` until there is GNSS time.
    pub fn new(system: Arc<dyn Clock>, monotonic: Arc<dyn MonotonicClock>) -> Self {
        Self {
            system,
            monotonic,
            dates: DateWindow::default(),
            sources: Mutex::default(),
        }
    }

    /// Accepts the GNSS dates in `dates` instead of those plausible for this version.
    #[must_use]
    pub fn with_dates(self, dates: DateWindow) -> Self {
        Self { dates, ..self }
    }

    /// The GNSS dates that are accepted.
    pub fn dates(&self) -> DateWindow {
        self.dates
    }

    /// The current monotonic timestamp.
    pub fn monotonic_now(&self) -> MonotonicTimestamp {
        self.monotonic.now()
    }

    /// The current UTC time, by the best source.
    pub fn now(&self) -> Timestamp {
        self.to_utc(self.monotonic_now(), Timing::Driver).time
    }

    /// Checks the system clock, so that a jump is noticed soon.
    pub fn check_system_clock(&self) {
        let mut sources = self.lock();
        self.system_offset(&mut sources);
    }

    /// Takes the GNSS time `utc` of a sentence that arrived at `received`.
    pub fn update_gnss(&self, utc: Timestamp, received: MonotonicTimestamp) {
        let mut sources = self.lock();
        let measured = Offset {
            micros: utc.0.saturating_mul(1000).saturating_sub(received.0),
            at: received,
        };
        if !self.dates.contains(utc) {
            sources.rejected += 1;
            if sources.implausible.replace(utc).is_none() {
                tracing::warn!(
                    time = %utc,
                    "ignoring GNSS time with an implausible date; the receiver may not know it yet, or need an update"
                );
            }
            return;
        }
        if let Some(kept) = sources.gnss.filter(|kept| agree(*kept, measured)) {
            let eased = kept.micros.saturating_sub(drift(kept, received));
            sources.gnss = Some(Offset {
                micros: eased.max(measured.micros),
                at: received,
            });
            sources.candidate = None;
        } else {
            let (best, times) = match sources.candidate {
                Some((before, times)) if agree(before, measured) => {
                    (before.micros.max(measured.micros), times + 1)
                }
                _ => (measured.micros, 1),
            };
            let candidate = Offset {
                micros: best,
                at: received,
            };
            if times < CONFIRMATIONS {
                sources.candidate = Some((candidate, times));
                sources.rejected += u64::from(sources.gnss.is_some());
                return;
            }
            match sources.gnss {
                None => tracing::info!(time = %utc, "GNSS time acquired"),
                Some(_) => tracing::warn!(time = %utc, "GNSS time jumped; using the new time"),
            }
            sources.gnss = Some(candidate);
            sources.candidate = None;
        }
        let system = self.system_offset(&mut sources);
        let ahead = sources
            .gnss
            .map_or(0, |gnss| system.saturating_sub(gnss.micros));
        let off = ahead.saturating_abs() > JUMP;
        if off && !sources.offset_logged {
            tracing::warn!(
                ahead = duration_text(ahead),
                "system clock is wrong; using GNSS time"
            );
        }
        sources.offset_logged = off;
    }

    /// Counts a GNSS time that cannot be read.
    pub(crate) fn count_unreadable_time(&self) {
        self.lock().rejected += 1;
    }

    /// The UTC time of `at`, by the best source known now.
    pub fn to_utc(&self, at: MonotonicTimestamp, timing: Timing) -> UtcTime {
        let mut sources = self.lock();
        let system = self.system_offset(&mut sources);
        let (offset, source, uncertainty) = match sources.gnss {
            Some(offset) => {
                let drifted = rounded_millis(drift(offset, at));
                let drifted = u32::try_from(drifted).unwrap_or(u32::MAX);
                let uncertainty = SENTENCE_DELAY
                    .saturating_add(drifted)
                    .saturating_add(timing.uncertainty());
                (offset.micros, TimeSource::Gnss, Some(uncertainty))
            }
            None => (system, TimeSource::System, None),
        };
        let time = Timestamp(rounded_millis(at.0.saturating_add(offset)));
        let basis = match timing.source() {
            Some(source) => TimeBasis {
                source,
                uncertainty: None,
            },
            None => TimeBasis {
                source,
                uncertainty,
            },
        };
        UtcTime { time, basis }
    }

    /// The time in the health document.
    pub fn status(&self) -> TimeStatus {
        let UtcTime { basis, .. } = self.to_utc(self.monotonic_now(), Timing::Driver);
        let sources = self.lock();
        let offsets = sources.gnss.zip(sources.system);
        TimeStatus {
            source: basis.source.as_str().to_owned(),
            uncertainty_milliseconds: basis.uncertainty,
            system_clock_ahead_milliseconds: offsets
                .map(|(gnss, system)| rounded_millis(system.saturating_sub(gnss.micros))),
            clock_jumps: sources.jumps,
            rejected_times: sources.rejected,
            implausible_time: sources.implausible.map(|utc| utc.to_string()),
        }
    }

    /// The system clock minus the monotonic clock, in microseconds. Counts jumps.
    fn system_offset(&self, sources: &mut Sources) -> i64 {
        let utc = self.system.now();
        let offset = utc
            .0
            .saturating_mul(1000)
            .saturating_sub(self.monotonic.now().0);
        let jump = sources
            .system
            .map_or(0, |before| offset.saturating_sub(before));
        if jump.saturating_abs() > JUMP {
            sources.jumps += 1;
            tracing::warn!(jump = duration_text(jump), time = %utc, "system clock was set");
        }
        sources.system = Some(offset);
        offset
    }

    fn lock(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn agree(a: Offset, b: Offset) -> bool {
    a.micros.saturating_sub(b.micros).saturating_abs() < MAX_SPREAD.saturating_add(drift(a, b.at))
}

/// The possible drift of the monotonic clock between `offset` and `at`, in microseconds.
fn drift(offset: Offset, at: MonotonicTimestamp) -> i64 {
    micros(at.abs_diff(offset.at)) / DRIFT_DIVISOR
}

/// A signed duration in a readable unit, e.g. `-3h`.
fn duration_text(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let seconds = micros.unsigned_abs() / 1_000_000;
    match seconds {
        ..120 => format!("{sign}{seconds}s"),
        120..7200 => format!("{sign}{}min", seconds / 60),
        7200..172_800 => format!("{sign}{}h", seconds / 3600),
        _ => format!("{sign}{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests;
