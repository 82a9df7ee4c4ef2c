//! A boat that hears a receiver: its lines, and what becomes of them.

use flukewatch_common::clock::{ManualClock, Timestamp};
use flukewatch_edge::position::{Heard, Lines, Navigator, Positions};
use flukewatch_edge::time::{ManualSteadyClock, Moment, SteadyClock, Timekeeper, Timing};
use std::sync::Arc;
use std::time::Duration;

/// Hears `bytes`, line by line; `read` makes of a line what was heard in it. A line comes every 300 ms.
///
/// # Panics
/// When the boat would report a place that is nowhere on Earth.
pub fn hear(bytes: &[u8], read: impl Fn(&[u8]) -> Vec<Heard>) {
    let clock = Arc::new(ManualSteadyClock::new(Moment::from_millis(50_000)));
    let computer = Arc::new(ManualClock::new(Timestamp(1_795_450_800_000)));
    let keeper = Arc::new(Timekeeper::new(computer, clock.clone()));
    let positions = Arc::new(Positions::new(Duration::from_secs(60), true));
    let mut navigator = Navigator::new(positions.clone(), keeper.clone());
    let mut lines = Lines::default();
    // In two pieces, as a line gives them.
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    for piece in [first, rest, b"\n"] {
        lines.push(piece, |line| {
            for heard in read(line) {
                navigator.take(&heard, clock.now());
            }
            clock.advance(Duration::from_millis(300));
        });
    }
    if let Some(position) = positions.near(clock.now()) {
        assert!(position.makes_sense(), "{position:?}");
    }
    let _ = positions.health(&*clock);
    let _ = keeper.date(clock.now(), Timing::Driver);
    let _ = keeper.status();
}
