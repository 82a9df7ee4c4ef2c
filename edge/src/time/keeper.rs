//! From the steady clock to UTC, by the best clock on board.
//!
//! The computer's clock is believed as long as there is none better, and never said to be exact: on a small board without a
//! battery it may start anywhere. Time from satellites arrives in sentences that are sent some time after the second that they
//! name, so that the truest of them is the one that came with the least delay: the largest difference between the time it names and
//! the moment at which it came. That difference is kept, and only eased by what a quartz may drift. A receiver that suddenly says
//! another time is believed once it has said so [`AGREEING`] times.

use super::steady::{micros, rounded_millis};
use super::{Moment, SteadyClock, Timing};
use flukewatch_common::clock::{Clock, Timestamp};
use flukewatch_common::position::{TimeBasis, TimeSource};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How often in a row a receiver must name the same time before it is believed.
const AGREEING: u32 = 3;
/// Two times are the same where they differ by less, in microseconds: sentences are sent within a second.
const SAME: i64 = 1_500_000;
/// The computer's clock was set, or is off, where it differs by more, in microseconds.
const JUMP: i64 = 2_000_000;
/// How late a sentence may come that came with the least delay, in milliseconds.
const DELAY: u32 = 500;
/// What a cheap quartz drifts in a microsecond, in microseconds: 100 ppm.
const DRIFT_DIVISOR: i64 = 10_000;
/// 2025-01-01. Satellites count weeks and start over every 19.6 years; a receiver that names an earlier time has lost count.
const EARLIEST: Timestamp = Timestamp(1_735_689_600_000);

/// A moment, dated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dated {
    /// UTC.
    pub time: Timestamp,
    /// By whose clock, and how well.
    pub basis: TimeBasis,
}

/// What health says of the time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeStatus {
    /// `computer` or `satellites`.
    pub source: String,
    /// How far off the dates of live frames may be, in milliseconds; null where nothing on board can tell.
    pub uncertainty_milliseconds: Option<u32>,
    /// How far the computer's clock is ahead of the satellites' time; negative where it is behind, null without satellites.
    pub computer_ahead_milliseconds: Option<i64>,
    /// How often the computer's clock was set while the program ran.
    pub clock_jumps: u64,
    /// Times of the receiver that were not believed.
    pub refused_times: u64,
}

/// A difference between UTC and the steady clock.
#[derive(Clone, Copy, Debug)]
struct Offset {
    /// UTC minus the steady clock, in microseconds.
    micros: i64,
    /// When it was last found.
    at: Moment,
}

#[derive(Debug, Default)]
struct State {
    computer: Option<i64>,
    satellites: Option<Offset>,
    /// A time that the receiver names and that is not believed yet, and how often it was named.
    candidate: Option<(Offset, u32)>,
    told_off: bool,
    told_early: bool,
    jumps: u64,
    refused: u64,
}

/// Dates moments.
pub struct Timekeeper {
    clock: Arc<dyn Clock>,
    steady: Arc<dyn SteadyClock>,
    state: Mutex<State>,
}

impl Timekeeper {
    /// Dates moments of `steady` by `clock`, the computer's, until satellites are heard.
    pub fn new(clock: Arc<dyn Clock>, steady: Arc<dyn SteadyClock>) -> Self {
        Self {
            clock,
            steady,
            state: Mutex::default(),
        }
    }

    /// The present moment of the steady clock.
    pub fn moment(&self) -> Moment {
        self.steady.now()
    }

    /// The date of this moment.
    pub fn now(&self) -> Timestamp {
        self.date(self.moment(), Timing::Driver).time
    }

    /// Looks at the computer's clock, so that a jump is noticed soon after it happens.
    pub fn look(&self) {
        let mut state = self.held();
        self.computer(&mut state);
    }

    /// Satellites gave the time `utc` in a sentence that came at `heard`.
    pub fn heard(&self, utc: Timestamp, heard: Moment) {
        let mut state = self.held();
        let found = Offset {
            micros: utc.0.saturating_mul(1000).saturating_sub(heard.0),
            at: heard,
        };
        if utc < EARLIEST {
            state.refused += 1;
            if !state.told_early {
                state.told_early = true;
                tracing::warn!(
                    "the receiver says that it is {utc}, which is long past: its time is not used. It may need an update"
                );
            }
            return;
        }
        if let Some(kept) = state.satellites.filter(|kept| same(*kept, found)) {
            let eased = kept.micros.saturating_sub(drift(kept, heard));
            state.satellites = Some(Offset {
                micros: eased.max(found.micros),
                at: heard,
            });
            state.candidate = None;
        } else {
            let (best, times) = match state.candidate {
                Some((before, times)) if same(before, found) => {
                    (before.micros.max(found.micros), times + 1)
                }
                _ => (found.micros, 1),
            };
            let candidate = Offset {
                micros: best,
                at: heard,
            };
            if times < AGREEING {
                state.candidate = Some((candidate, times));
                state.refused += u64::from(state.satellites.is_some());
                return;
            }
            match state.satellites {
                None => {
                    tracing::info!("satellites say that it is {utc}; sightings are dated by them")
                }
                Some(_) => tracing::warn!(
                    "the receiver now says that it is {utc}, and holds to it: it is believed"
                ),
            }
            state.satellites = Some(candidate);
            state.candidate = None;
        }
        let computer = self.computer(&mut state);
        let ahead = state
            .satellites
            .map_or(0, |s| computer.saturating_sub(s.micros));
        let off = ahead.saturating_abs() > JUMP;
        if off && !state.told_off {
            tracing::warn!(
                "the computer's clock is {}; sightings are dated by satellites",
                off_by(ahead)
            );
        }
        state.told_off = off;
    }

    /// The date of `at`, by the best clock that is known now.
    pub fn date(&self, at: Moment, timing: Timing) -> Dated {
        let mut state = self.held();
        let computer = self.computer(&mut state);
        let (offset, source, uncertainty) = match state.satellites {
            Some(offset) => {
                let drifted = rounded_millis(drift(offset, at));
                let drifted = u32::try_from(drifted).unwrap_or(u32::MAX);
                let within = DELAY
                    .saturating_add(drifted)
                    .saturating_add(timing.uncertainty());
                (offset.micros, TimeSource::Satellites, Some(within))
            }
            None => (computer, TimeSource::Computer, None),
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
        Dated { time, basis }
    }

    /// What health says.
    pub fn status(&self) -> TimeStatus {
        let Dated { basis, .. } = self.date(self.moment(), Timing::Driver);
        let state = self.held();
        let ahead = state.satellites.zip(state.computer);
        TimeStatus {
            source: basis.source.as_str().to_owned(),
            uncertainty_milliseconds: basis.uncertainty,
            computer_ahead_milliseconds: ahead
                .map(|(s, computer)| rounded_millis(computer.saturating_sub(s.micros))),
            clock_jumps: state.jumps,
            refused_times: state.refused,
        }
    }

    /// The computer's UTC minus the steady clock, in microseconds; notices where it was set.
    fn computer(&self, state: &mut State) -> i64 {
        let utc = self.clock.now();
        let found = utc
            .0
            .saturating_mul(1000)
            .saturating_sub(self.steady.now().0);
        let moved = state
            .computer
            .map_or(0, |before| found.saturating_sub(before));
        if moved.saturating_abs() > JUMP {
            state.jumps += 1;
            tracing::warn!(
                "the computer's clock was set, {}; it is {utc} now",
                by(moved)
            );
        }
        state.computer = Some(found);
        found
    }

    fn held(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn same(a: Offset, b: Offset) -> bool {
    a.micros.saturating_sub(b.micros).saturating_abs() < SAME.saturating_add(drift(a, b.at))
}

/// What the steady clock may have drifted between `offset` and `at`, in microseconds.
fn drift(offset: Offset, at: Moment) -> i64 {
    micros(at.apart(offset.at)) / DRIFT_DIVISOR
}

fn span(micros: i64) -> String {
    let seconds = micros.unsigned_abs() / 1_000_000;
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn by(moved: i64) -> String {
    format!(
        "{} {}",
        span(moved),
        if moved < 0 { "back" } else { "forward" }
    )
}

fn off_by(ahead: i64) -> String {
    format!(
        "{} {}",
        span(ahead),
        if ahead < 0 { "slow" } else { "fast" }
    )
}

#[cfg(test)]
mod tests;
