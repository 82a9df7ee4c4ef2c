//! The steady clock: it starts anywhere, and never jumps.

use flukewatch_common::position::TimeSource;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// A moment of the steady clock: microseconds since some start, which is the machine's for [`MachineSteadyClock`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub i64);

impl Moment {
    /// So many milliseconds after the start.
    pub fn from_millis(milliseconds: i64) -> Self {
        Self(milliseconds.saturating_mul(1000))
    }

    /// This moment, later by `duration`.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }

    /// Microseconds from `earlier` to `self`; negative where `earlier` is the later one.
    pub fn micros_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Milliseconds from `earlier` to `self`, rounded; negative where `earlier` is the later one.
    pub fn millis_since(self, earlier: Self) -> i64 {
        rounded_millis(self.micros_since(earlier))
    }

    /// The time from `earlier` to `self`; nothing where `earlier` is the later one.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.micros_since(earlier)).unwrap_or_default())
    }

    /// How far apart the two are.
    pub fn apart(self, other: Self) -> Duration {
        Duration::from_micros(self.micros_since(other).unsigned_abs())
    }
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

pub(super) fn rounded_millis(micros: i64) -> i64 {
    micros.saturating_add(500).div_euclid(1000)
}

/// How a frame came by its moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timing {
    /// The camera's driver stamped it.
    Driver,
    /// It is the moment of its arrival, since the driver gives none on the steady clock.
    Arrival,
    /// It is the moment of its first byte out of a pipeline, which may have held it back for so many milliseconds.
    Pipeline(u32),
    /// It is as far from the program's start as the replay says.
    #[default]
    Replay,
}

impl Timing {
    /// What it adds to the uncertainty of a time, in milliseconds: exposure and transfer of a frame.
    pub fn uncertainty(self) -> u32 {
        match self {
            Self::Driver | Self::Replay => 20,
            Self::Arrival => 200,
            Self::Pipeline(held) => held,
        }
    }

    /// What replaces the source of the date, if it does: a replay's dates are no clock's.
    pub fn source(self) -> Option<TimeSource> {
        (self == Self::Replay).then_some(TimeSource::Replay)
    }
}

/// Where moments come from.
pub trait SteadyClock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Moment;
}

/// The machine's monotonic clock, by which V4L2 drivers stamp frames, too.
#[derive(Clone, Copy, Debug, Default)]
pub struct MachineSteadyClock;

impl SteadyClock for MachineSteadyClock {
    fn now(&self) -> Moment {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Moment(now.tv_sec * 1_000_000 + now.tv_nsec / 1000)
    }
}

/// A clock that stands still until it is moved: for tests.
#[derive(Debug, Default)]
pub struct ManualSteadyClock(AtomicI64);

impl ManualSteadyClock {
    /// A clock that stands at `start`.
    pub fn new(start: Moment) -> Self {
        Self(AtomicI64::new(start.0))
    }

    /// Moves the clock on.
    pub fn advance(&self, duration: Duration) {
        self.0.fetch_add(micros(duration), Ordering::SeqCst);
    }
}

impl SteadyClock for ManualSteadyClock {
    fn now(&self) -> Moment {
        Moment(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_s_steady_clock_runs_forwards() {
        let clock = MachineSteadyClock;
        let before = clock.now();
        std::thread::sleep(Duration::from_millis(2));
        let passed = clock.now().since(before);
        assert!(passed >= Duration::from_millis(2) && passed < Duration::from_secs(60));
    }

    #[test]
    fn distances_are_rounded_and_never_overflow() {
        assert_eq!(Moment(1_499).millis_since(Moment(0)), 1);
        assert_eq!(Moment(1_500).millis_since(Moment(0)), 2);
        assert_eq!(Moment(0).millis_since(Moment(250_000)), -250);
        assert_eq!(Moment(0).since(Moment(9)), Duration::ZERO);
        assert_eq!(Moment(0).apart(Moment(9)), Duration::from_micros(9));
        assert_eq!(Moment(i64::MAX).micros_since(Moment(i64::MIN)), i64::MAX);
    }
}
