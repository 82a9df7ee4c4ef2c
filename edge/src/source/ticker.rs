//! How fast a source that could go faster does go.

use crate::stop::Stop;
use std::time::{Duration, Instant};

/// Holds frames back until they are due.
pub trait Ticker: Send {
    /// Returns once `after` has passed since the first call; `false` when asked to stop meanwhile.
    fn wait(&mut self, after: Duration) -> bool;
}

/// Real time, by the machine's steady clock, which does not jump when its date is set.
pub struct RealTime {
    stop: Stop,
    started: Option<Instant>,
}

impl RealTime {
    /// Starts with the first call of [`Ticker::wait`].
    pub fn new(stop: Stop) -> Self {
        Self {
            stop,
            started: None,
        }
    }
}

/// How long a wait goes on before somebody asks whether to stop.
const STEP: Duration = Duration::from_millis(50);

impl Ticker for RealTime {
    fn wait(&mut self, after: Duration) -> bool {
        let started = *self.started.get_or_insert_with(Instant::now);
        while !self.stop.asked() {
            let left = after.saturating_sub(started.elapsed());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(STEP));
        }
        false
    }
}

/// No waiting.
pub struct Unpaced(pub Stop);

impl Ticker for Unpaced {
    fn wait(&mut self, _after: Duration) -> bool {
        !self.0.asked()
    }
}
