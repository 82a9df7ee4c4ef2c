//! The monotonic clock, which starts anywhere and never jumps.

use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Microseconds of a monotonic clock since its start, which is the machine's for
/// [`SystemMonotonicClock`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct MonotonicTimestamp(pub i64);

impl MonotonicTimestamp {
    /// The given milliseconds after the start.
    pub fn from_millis(milliseconds: i64) -> Self {
        Self(milliseconds.saturating_mul(1000))
    }

    /// This timestamp plus `duration`.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }

    /// Microseconds from `earlier` to `self`; negative where `earlier` is later.
    pub fn micros_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Milliseconds from `earlier` to `self`, rounded; negative where `earlier` is later.
    pub fn millis_since(self, earlier: Self) -> i64 {
        rounded_millis(self.micros_since(earlier))
    }

    /// The time from `earlier` to `self`; zero where `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.micros_since(earlier)).unwrap_or_default())
    }

    /// The time between two timestamps, whichever is earlier.
    pub fn abs_diff(self, other: Self) -> Duration {
        Duration::from_micros(self.micros_since(other).unsigned_abs())
    }
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

pub(super) fn rounded_millis(micros: i64) -> i64 {
    micros.saturating_add(500).div_euclid(1000)
}

/// A clock that never jumps.
pub trait MonotonicClock: Send + Sync {
    /// The current timestamp.
    fn now(&self) -> MonotonicTimestamp;
}

/// The machine's monotonic clock, which V4L2 drivers use too.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemMonotonicClock;

impl MonotonicClock for SystemMonotonicClock {
    fn now(&self) -> MonotonicTimestamp {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        MonotonicTimestamp(now.tv_sec * 1_000_000 + now.tv_nsec / 1000)
    }
}

/// A clock that only advances through [`ManualMonotonicClock::advance`], for tests.
#[derive(Debug, Default)]
pub struct ManualMonotonicClock(AtomicI64);

impl ManualMonotonicClock {
    /// A clock at `start`.
    pub fn new(start: MonotonicTimestamp) -> Self {
        Self(AtomicI64::new(start.0))
    }

    /// Advances the clock by `duration`.
    pub fn advance(&self, duration: Duration) {
        self.0.fetch_add(micros(duration), Ordering::SeqCst);
    }
}

impl MonotonicClock for ManualMonotonicClock {
    fn now(&self) -> MonotonicTimestamp {
        MonotonicTimestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_runs_forwards() {
        let clock = SystemMonotonicClock;
        let before = clock.now();
        std::thread::sleep(Duration::from_millis(2));
        let passed = clock.now().since(before);
        assert!(passed >= Duration::from_millis(2) && passed < Duration::from_secs(60));
    }

    #[test]
    fn distances_are_rounded_and_never_overflow() {
        assert_eq!(
            MonotonicTimestamp(1_499).millis_since(MonotonicTimestamp(0)),
            1
        );
        assert_eq!(
            MonotonicTimestamp(1_500).millis_since(MonotonicTimestamp(0)),
            2
        );
        assert_eq!(
            MonotonicTimestamp(0).millis_since(MonotonicTimestamp(250_000)),
            -250
        );
        assert_eq!(
            MonotonicTimestamp(0).since(MonotonicTimestamp(9)),
            Duration::ZERO
        );
        assert_eq!(
            MonotonicTimestamp(0).abs_diff(MonotonicTimestamp(9)),
            Duration::from_micros(9)
        );
        assert_eq!(
            MonotonicTimestamp(i64::MAX).micros_since(MonotonicTimestamp(i64::MIN)),
            i64::MAX
        );
    }
}
