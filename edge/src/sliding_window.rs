//! Sums over the last minute.

use crate::time::MonotonicTimestamp;
use std::ops::AddAssign;

/// The number of steps of a window.
const STEPS: usize = 12;
/// The length of a step, in microseconds.
const STEP_MICROS: i64 = 5_000_000;

/// The sum of what was added in the last minute. It forgets in steps of five seconds, and never allocates.
#[derive(Clone, Copy, Debug)]
pub struct SlidingWindow<T> {
    /// The number of each step since the clock's start, and its sum.
    steps: [(i64, T); STEPS],
}

impl<T: Copy + Default> Default for SlidingWindow<T> {
    fn default() -> Self {
        Self {
            steps: [(i64::MIN, T::default()); STEPS],
        }
    }
}

impl<T: Copy + Default + AddAssign> SlidingWindow<T> {
    /// Adds `value`, which belongs to the time `at`. One from before the window is ignored.
    pub fn add(&mut self, at: MonotonicTimestamp, value: T) {
        let number = at.0.div_euclid(STEP_MICROS);
        let index = number.rem_euclid(STEPS as i64) as usize;
        if let Some(step) = self.steps.get_mut(index) {
            if step.0 < number {
                *step = (number, T::default());
            }
            if step.0 == number {
                step.1 += value;
            }
        }
    }

    /// The sum of the minute before `now`.
    pub fn sum(&self, now: MonotonicTimestamp) -> T {
        let oldest = now.0.div_euclid(STEP_MICROS) - STEPS as i64;
        let mut sum = T::default();
        for (number, step) in &self.steps {
            if *number > oldest {
                sum += *step;
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> MonotonicTimestamp {
        MonotonicTimestamp(seconds * 1_000_000)
    }

    #[test]
    fn what_is_older_than_a_minute_is_forgotten() {
        let mut window = SlidingWindow::<u64>::default();
        assert_eq!(window.sum(at(0)), 0);
        window.add(at(2), 1);
        window.add(at(30), 10);
        assert_eq!(window.sum(at(31)), 11);
        assert_eq!(window.sum(at(59)), 11);
        assert_eq!(window.sum(at(60)), 10);
        assert_eq!(window.sum(at(200)), 0);
        window.add(at(200), 5);
        window.add(at(30), 100);
        assert_eq!(window.sum(at(200)), 5, "the late one is ignored");
    }
}
