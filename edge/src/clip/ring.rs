//! The last seconds of a camera, encoded as it sent them.

use crate::time::MonotonicTimestamp;
use std::collections::VecDeque;
use std::time::Duration;

/// A frame as its camera encoded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedFrame {
    /// When it was taken.
    pub taken: MonotonicTimestamp,
    /// The JPEG image.
    pub jpeg: Vec<u8>,
}

/// Frames, oldest first, bounded by time and by bytes.
#[derive(Debug)]
pub(super) struct Ring {
    frames: VecDeque<EncodedFrame>,
    bytes: usize,
    keep: Duration,
    max_bytes: usize,
    /// The memory of a frame that fell out.
    spare: Option<Vec<u8>>,
}

impl Ring {
    /// Keeps the frames of the last `keep`, at most `max_bytes` of them.
    pub(super) fn new(keep: Duration, max_bytes: usize) -> Self {
        Self {
            frames: VecDeque::new(),
            bytes: 0,
            keep,
            max_bytes,
            spare: None,
        }
    }

    /// Adds a frame.
    pub(super) fn push(&mut self, taken: MonotonicTimestamp, jpeg: &[u8]) {
        // A replay may start over.
        if self.frames.back().is_some_and(|last| last.taken > taken) {
            self.clear();
        }
        while self
            .frames
            .front()
            .is_some_and(|first| taken.since(first.taken) > self.keep)
            || self.bytes + jpeg.len() > self.max_bytes && !self.frames.is_empty()
        {
            self.drop_oldest();
        }
        if jpeg.len() > self.max_bytes {
            return;
        }
        let mut memory = self.spare.take().unwrap_or_default();
        memory.clear();
        memory.extend_from_slice(jpeg);
        self.bytes += memory.len();
        self.frames.push_back(EncodedFrame {
            taken,
            jpeg: memory,
        });
    }

    /// Takes all frames.
    pub(super) fn drain(&mut self) -> Vec<EncodedFrame> {
        self.bytes = 0;
        self.frames.drain(..).collect()
    }

    fn clear(&mut self) {
        self.frames.clear();
        self.bytes = 0;
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.frames.pop_front() {
            self.bytes -= oldest.jpeg.len();
            self.spare = Some(oldest.jpeg);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(ring: &mut Ring) -> Vec<i64> {
        ring.drain().iter().map(|f| f.taken.0 / 1000).collect()
    }

    fn at(millis: i64) -> MonotonicTimestamp {
        MonotonicTimestamp::from_millis(millis)
    }

    #[test]
    fn the_last_seconds_are_kept() {
        let mut ring = Ring::new(Duration::from_millis(300), 1000);
        (0..10).for_each(|i| ring.push(at(i * 100), &[i as u8; 10]));
        assert_eq!(kept(&mut ring), [600, 700, 800, 900]);
        assert!(kept(&mut ring).is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut ring = Ring::new(Duration::from_secs(9), 25);
        (0..5).for_each(|i| ring.push(at(i), &[0; 10]));
        assert_eq!(kept(&mut ring), [3, 4]);
        ring.push(at(6), &[0; 26]);
        assert!(kept(&mut ring).is_empty(), "larger than all of it");
        ring.push(at(7), &[0; 25]);
        assert_eq!(kept(&mut ring), [7]);
    }

    #[test]
    fn a_clock_that_runs_backwards_begins_again() {
        let mut ring = Ring::new(Duration::from_secs(9), 100);
        ring.push(at(5000), &[1]);
        ring.push(at(100), &[2]);
        assert_eq!(kept(&mut ring), [100]);
    }
}
