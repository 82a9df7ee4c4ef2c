//! How long to wait before the next attempt: to connect, to open a camera.

use rand::{Rng, RngExt};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);

/// Waits that double up to a longest, each shortened at random by up to a half, so that a fleet does not come back all at once.
pub struct Backoff {
    longest: Duration,
    next: Duration,
    random: Box<dyn Rng + Send>,
}

impl Backoff {
    /// Starts with half a second, or `longest` where that is shorter.
    pub fn new(longest: Duration, random: Box<dyn Rng + Send>) -> Self {
        Self {
            longest,
            next: FIRST.min(longest),
            random,
        }
    }

    /// The next wait.
    pub fn wait(&mut self) -> Duration {
        let wait = self.next.mul_f64(self.random.random_range(0.5..=1.0));
        self.next = (self.next * 2).min(self.longest);
        wait
    }

    /// It worked: the next wait is a short one again.
    pub fn reset(&mut self) {
        self.next = FIRST.min(self.longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn waits_double_up_to_the_longest_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_secs(3), Box::new(StdRng::seed_from_u64(1)));
        for full in [0.5, 1.0, 2.0, 3.0, 3.0] {
            let wait = backoff.wait().as_secs_f64();
            assert!((full / 2.0..=full).contains(&wait), "{wait} of {full}");
        }
        backoff.reset();
        assert!(backoff.wait() <= FIRST);
    }
}
