//! The speed of a replay.

use crate::cancellation::CancellationToken;
use std::time::{Duration, Instant};

/// Holds frames back until they are due.
pub trait Pacer: Send {
    /// Returns when `offset` has passed since the first call; `false` when cancelled before.
    fn wait_until(&mut self, offset: Duration) -> bool;
}

/// Real time, by the monotonic clock.
pub struct RealTime {
    stop: CancellationToken,
    started: Option<Instant>,
}

impl RealTime {
    /// Starts with the first call of [`Pacer::wait_until`].
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            stop,
            started: None,
        }
    }
}

/// How often a wait checks for cancellation.
const CHECK: Duration = Duration::from_millis(50);

impl Pacer for RealTime {
    fn wait_until(&mut self, offset: Duration) -> bool {
        let started = *self.started.get_or_insert_with(Instant::now);
        while !self.stop.is_cancelled() {
            let left = offset.saturating_sub(started.elapsed());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(CHECK));
        }
        false
    }
}

/// As fast as frames are processed.
pub struct Unpaced(pub CancellationToken);

impl Pacer for Unpaced {
    fn wait_until(&mut self, _offset: Duration) -> bool {
        !self.0.is_cancelled()
    }
}
