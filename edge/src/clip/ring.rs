//! The last seconds of a camera, encoded as it sent them.

use crate::encoded_frame::{EncodedFrame, FrameEncoding};
use crate::time::MonotonicTimestamp;
use std::collections::VecDeque;
use std::time::Duration;

/// Frames, oldest first, bounded by time and by bytes. They can be decoded: the first one needs no other,
/// or follows the last one that was taken out.
#[derive(Debug)]
pub(super) struct Ring {
    frames: VecDeque<EncodedFrame>,
    bytes: usize,
    keep: Duration,
    max_bytes: usize,
    /// Frames are useless until the next one that needs no other.
    awaits_key: bool,
    /// The number of the next frame of a stream.
    next: Option<u64>,
    /// The memory of a JPEG image that fell out.
    spare: Option<Vec<u8>>,
}

impl Ring {
    /// Keeps the frames of the last `keep` and, of a stream, what they need; at most `max_bytes` of them.
    pub(super) fn new(keep: Duration, max_bytes: usize) -> Self {
        Self {
            frames: VecDeque::new(),
            bytes: 0,
            keep,
            max_bytes,
            awaits_key: true,
            next: None,
            spare: None,
        }
    }

    /// Adds a copy of a JPEG image.
    pub(super) fn push_jpeg(&mut self, taken: MonotonicTimestamp, jpeg: &[u8]) {
        self.make_room(taken, jpeg.len());
        if jpeg.len() > self.max_bytes {
            return;
        }
        let mut bytes = self.spare.take().unwrap_or_default();
        bytes.clear();
        bytes.extend_from_slice(jpeg);
        self.append(EncodedFrame {
            taken,
            encoding: FrameEncoding::Jpeg,
            bytes,
        });
    }

    /// Adds a frame.
    pub(super) fn push(&mut self, frame: EncodedFrame) {
        let number = frame.number();
        let follows = self.next.is_none() || number == self.next;
        self.next = number.map(|number| number + 1);
        if frame.is_key() {
            self.awaits_key = false;
        } else if !follows {
            self.awaits_key = true;
        }
        self.make_room(frame.taken, frame.bytes.len());
        if self.awaits_key || frame.bytes.len() > self.max_bytes {
            self.awaits_key = true;
            return;
        }
        self.append(frame);
    }

    fn append(&mut self, frame: EncodedFrame) {
        self.awaits_key = false;
        self.bytes += frame.bytes.len();
        self.frames.push_back(frame);
    }

    /// Takes all frames.
    pub(super) fn drain(&mut self) -> Vec<EncodedFrame> {
        self.bytes = 0;
        self.frames.drain(..).collect()
    }

    /// Frames that follow are useless until one that needs no other: those before them are lost.
    pub(super) fn await_key(&mut self) {
        self.awaits_key = true;
    }

    /// Drops what is too old at `taken`, and what does not fit beside `more` bytes.
    fn make_room(&mut self, taken: MonotonicTimestamp, more: usize) {
        // A replay may start over.
        let starts_over = |last: &EncodedFrame| last.number().is_none() && last.taken > taken;
        if self.frames.back().is_some_and(starts_over) {
            self.frames.clear();
            self.bytes = 0;
        }
        while !self.frames.is_empty() {
            let group = self.first_group();
            // What follows the first group covers the time as well.
            let next = self.frames.get(group).map_or(taken, |frame| frame.taken);
            let old = taken.since(next) >= self.keep
                && self
                    .frames
                    .front()
                    .is_some_and(|first| taken.since(first.taken) > self.keep);
            if !old && self.bytes + more <= self.max_bytes {
                return;
            }
            let whole = group < self.frames.len();
            for dropped in self.frames.drain(..group) {
                self.bytes -= dropped.bytes.len();
                if dropped.encoding == FrameEncoding::Jpeg {
                    self.spare = Some(dropped.bytes);
                }
            }
            // Later frames of a group that is dropped before its end are useless.
            self.awaits_key |= !whole;
        }
    }

    /// The number of frames up to the second one that needs no other.
    fn first_group(&self) -> usize {
        let later = self.frames.iter().skip(1);
        1 + later.take_while(|frame| !frame.is_key()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoded_frame::{Codec, StreamFormat};
    use std::sync::Arc;

    fn kept(ring: &mut Ring) -> Vec<i64> {
        ring.drain().iter().map(|f| f.taken.0 / 1000).collect()
    }

    fn at(millis: i64) -> MonotonicTimestamp {
        MonotonicTimestamp::from_millis(millis)
    }

    /// The frame of ten bytes with this number, one each 100 ms, of which every fifth is a key frame.
    fn streamed(number: u64) -> EncodedFrame {
        let format = StreamFormat {
            codec: Codec::H264,
            configuration: vec![],
            width: 2,
            height: 2,
        };
        EncodedFrame {
            taken: at(number as i64 * 100),
            encoding: FrameEncoding::Stream {
                format: Arc::new(format),
                number,
                is_key: number.is_multiple_of(5),
            },
            bytes: vec![0; 10],
        }
    }

    #[test]
    fn the_last_seconds_are_kept() {
        let mut ring = Ring::new(Duration::from_millis(300), 1000);
        (0..10).for_each(|i| ring.push_jpeg(at(i * 100), &[i as u8; 10]));
        assert_eq!(kept(&mut ring), [600, 700, 800, 900]);
        assert!(kept(&mut ring).is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut ring = Ring::new(Duration::from_secs(9), 25);
        (0..5).for_each(|i| ring.push_jpeg(at(i), &[0; 10]));
        assert_eq!(kept(&mut ring), [3, 4]);
        ring.push_jpeg(at(6), &[0; 26]);
        assert!(kept(&mut ring).is_empty(), "larger than all of it");
        ring.push_jpeg(at(7), &[0; 25]);
        assert_eq!(kept(&mut ring), [7]);
    }

    #[test]
    fn a_clock_that_runs_backwards_begins_again() {
        let mut ring = Ring::new(Duration::from_secs(9), 100);
        ring.push_jpeg(at(5000), &[1]);
        ring.push_jpeg(at(100), &[2]);
        assert_eq!(kept(&mut ring), [100]);
    }

    #[test]
    fn a_stream_begins_with_a_key_frame() {
        let mut ring = Ring::new(Duration::from_millis(700), 10_000);
        (3..19).for_each(|number| ring.push(streamed(number)));
        // The last 700 ms begin within the frames from 1,000 ms on.
        assert_eq!(
            kept(&mut ring),
            (10..19).map(|n| n * 100).collect::<Vec<_>>()
        );
        // What was taken out is what follows need.
        ring.push(streamed(19));
        assert_eq!(kept(&mut ring), [1900]);
    }

    #[test]
    fn after_a_gap_a_stream_is_kept_from_a_key_frame_on() {
        let mut ring = Ring::new(Duration::from_secs(9), 10_000);
        (0..3).for_each(|number| ring.push(streamed(number)));
        ring.push(streamed(4));
        assert_eq!(kept(&mut ring), [0, 100, 200]);
        (5..7).for_each(|number| ring.push(streamed(number)));
        assert_eq!(kept(&mut ring), [500, 600]);
        ring.await_key();
        (7..11).for_each(|number| ring.push(streamed(number)));
        assert_eq!(kept(&mut ring), [1000]);
    }

    #[test]
    fn a_group_that_does_not_fit_is_dropped_as_a_whole() {
        let mut ring = Ring::new(Duration::from_secs(9), 45);
        (0..7).for_each(|number| ring.push(streamed(number)));
        assert_eq!(kept(&mut ring), [500, 600]);
    }
}
