//! The encoded frames that a decoder has not answered yet.

use crate::time::MonotonicTimestamp;
use std::collections::VecDeque;

/// The most encoded frames in a decoder; far more than any keeps.
const MAX: usize = 256;

/// An encoded frame on its way through the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SentUnit {
    /// Its time in the stream that the decoder reads, in milliseconds.
    pub(super) millis: i64,
    /// When it was taken.
    pub(super) taken: MonotonicTimestamp,
    /// How many were lost before it.
    pub(super) lost: u32,
}

/// What was sent to a decoder, in the order of decoding.
#[derive(Debug, Default)]
pub(super) struct SentUnits(VecDeque<SentUnit>);

impl SentUnits {
    /// Notes an encoded frame that is sent.
    pub(super) fn push(&mut self, unit: SentUnit) {
        if self.0.len() >= MAX {
            self.0.pop_front();
        }
        self.0.push_back(unit);
    }

    /// When the image was taken that the decoder returns with the time `millis`, which may be rounded; and
    /// how many frames later than the last one it is: with those that were lost, or that the decoder left
    /// out, which will not come any more. `None` for an image that was not sent.
    pub(super) fn answered(&mut self, millis: i64) -> Option<(MonotonicTimestamp, u32)> {
        let off = |unit: &&SentUnit| unit.millis.abs_diff(millis);
        let found = *self.0.iter().min_by_key(off)?;
        let mut later = 0_u32;
        // Frames of streams with reordering return in the order of their times, not of decoding.
        self.0.retain(|unit| {
            let passed = unit.millis <= found.millis;
            if passed {
                later = later.saturating_add(unit.lost).saturating_add(1);
            }
            !passed
        });
        Some((found.taken, later))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(millis: i64) -> MonotonicTimestamp {
        MonotonicTimestamp::from_millis(50_000 + millis)
    }

    fn unit(millis: i64) -> SentUnit {
        SentUnit {
            millis,
            taken: taken(millis),
            lost: 0,
        }
    }

    #[test]
    fn an_image_is_dated_by_its_encoded_frame() {
        let mut sent = SentUnits::default();
        (0..8).for_each(|i| sent.push(unit(i * 33)));
        sent.push(SentUnit {
            lost: 3,
            ..unit(400)
        });
        assert_eq!(sent.answered(0), Some((taken(0), 1)));
        assert_eq!(sent.answered(34), Some((taken(33), 1)), "rounded");
        assert_eq!(sent.answered(132), Some((taken(132), 3)), "two left out");
        assert_eq!(sent.answered(231), Some((taken(231), 3)));
        assert_eq!(sent.answered(400), Some((taken(400), 4)), "three lost");
        assert_eq!(sent.answered(433), None);
    }

    #[test]
    fn reordered_frames_are_found() {
        let mut sent = SentUnits::default();
        let times = [0, 120, 40, 80, 240, 160, 200];
        times.into_iter().for_each(|millis| sent.push(unit(millis)));
        for millis in [0, 40, 80, 120, 160, 200, 240] {
            assert_eq!(sent.answered(millis), Some((taken(millis), 1)));
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut sent = SentUnits::default();
        (0..10_000).for_each(|i| sent.push(unit(i)));
        assert_eq!(sent.0.len(), MAX);
    }
}
