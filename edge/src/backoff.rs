//! Delays between attempts to connect.

use rand::{Rng, RngExt};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);

/// Exponential backoff up to a maximum, each delay shortened at random by up to a half, so that a
/// fleet does not reconnect all at once.
pub struct Backoff {
    max: Duration,
    next: Duration,
    random: Box<dyn Rng + Send>,
}

impl Backoff {
    /// Starts with half a second, or `max` where that is shorter.
    pub fn new(max: Duration, random: Box<dyn Rng + Send>) -> Self {
        Self {
            max,
            next: FIRST.min(max),
            random,
        }
    }

    /// The delay before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.next.mul_f64(self.random.random_range(0.5..=1.0));
        self.next = (self.next * 2).min(self.max);
        delay
    }

    /// Starts over after a success.
    pub fn reset(&mut self) {
        self.next = FIRST.min(self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn delays_double_up_to_the_maximum_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_secs(3), Box::new(StdRng::seed_from_u64(1)));
        for full in [0.5, 1.0, 2.0, 3.0, 3.0] {
            let delay = backoff.next_delay().as_secs_f64();
            assert!((full / 2.0..=full).contains(&delay), "{delay} of {full}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= FIRST);
    }
}
