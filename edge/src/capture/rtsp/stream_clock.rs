//! Dates the frames of a stream.

use crate::time::MonotonicTimestamp;

/// How much slower than ours a camera's clock may run, in microseconds a second: far worse than any does.
const DRIFT: i64 = 1_000;
/// A stream that seems to jump by this much has a new time base, in microseconds.
const JUMP: i64 = 5_000_000;

/// Maps a stream's own time to the monotonic clock. Frames arrive with a delay that varies; the offset
/// follows the least of them, which is that of the camera and an idle network.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StreamClock {
    /// Our time less that of the stream in microseconds, and when it was last measured.
    offset: Option<(i64, MonotonicTimestamp)>,
}

impl StreamClock {
    /// When the frame of `stream` microseconds was sent that arrives at `arrived`. It is never later than
    /// that.
    pub(super) fn date(&mut self, stream: i64, arrived: MonotonicTimestamp) -> MonotonicTimestamp {
        let measured = arrived.0.saturating_sub(stream);
        let offset = match self.offset {
            Some((offset, at)) if measured.abs_diff(offset) < JUMP.unsigned_abs() => {
                let elapsed = arrived.micros_since(at).clamp(0, JUMP);
                measured.min(offset.saturating_add(elapsed * DRIFT / 1_000_000))
            }
            _ => measured,
        };
        self.offset = Some((offset, arrived));
        MonotonicTimestamp(stream.saturating_add(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn delays_of_the_network_do_not_count() {
        let mut clock = StreamClock::default();
        let mut dated = vec![];
        for i in 0..100 {
            let sent = 500 * SECOND + i * SECOND / 10;
            let delay = [30_000, 5_000, 250_000][i as usize % 3];
            let at = clock.date(i * SECOND / 10, MonotonicTimestamp(sent + delay));
            dated.push(at.0 - sent);
        }
        assert_eq!(dated[0], 30_000, "the first is all that is known");
        let later = &dated[1..];
        assert!(
            later.iter().all(|d| (5_000..5_500).contains(d)),
            "{later:?}"
        );
    }

    #[test]
    fn a_slow_clock_is_followed() {
        let mut clock = StreamClock::default();
        for i in 0..10_000_i64 {
            let arrived = i * SECOND / 10;
            // It loses 100 µs a second.
            let stream = arrived - arrived / 10_000;
            let dated = clock.date(stream, MonotonicTimestamp(arrived)).0;
            assert!((arrived - dated).abs() < 200, "{i}: {}", arrived - dated);
        }
    }

    #[test]
    fn a_jump_begins_again() {
        let mut clock = StreamClock::default();
        let at = |micros| MonotonicTimestamp(micros);
        assert_eq!(clock.date(0, at(SECOND)), at(SECOND));
        for stream in [100 * SECOND, -7 * SECOND, 1 << 60, -(1 << 60)] {
            let dated = clock.date(stream, at(2 * SECOND));
            assert_eq!(dated, at(2 * SECOND), "{stream}");
        }
    }
}
