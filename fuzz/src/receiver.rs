//! A boat with a GNSS receiver.

use flukewatch_common::clock::{ManualClock, Timestamp};
use flukewatch_edge::position::{FixAssembler, Lines, NavUpdate, PositionHistory};
use flukewatch_edge::time::{
    ManualMonotonicClock, MonotonicClock, MonotonicTimestamp, Timing, UtcClock,
};
use std::sync::Arc;
use std::time::Duration;

/// Receives `bytes` line by line, one every 300 ms; `read` parses a line.
///
/// # Panics
/// When the boat would report an invalid position.
pub fn receive(bytes: &[u8], read: impl Fn(&[u8]) -> Vec<NavUpdate>) {
    let clock = Arc::new(ManualMonotonicClock::new(MonotonicTimestamp::from_millis(
        50_000,
    )));
    let computer = Arc::new(ManualClock::new(Timestamp(1_795_450_800_000)));
    let utc_clock = Arc::new(UtcClock::new(computer, clock.clone()));
    let positions = Arc::new(PositionHistory::new(Duration::from_secs(60), true));
    let mut fix_assembler = FixAssembler::new(positions.clone(), utc_clock.clone());
    let mut lines = Lines::default();
    // In two pieces, as a serial line delivers them.
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    for piece in [first, rest, b"\n"] {
        lines.push(piece, |line| {
            for update in read(line) {
                fix_assembler.push(&update, clock.now());
            }
            clock.advance(Duration::from_millis(300));
        });
    }
    if let Some(position) = positions.near(clock.now()) {
        assert!(position.is_valid(), "{position:?}");
    }
    let _ = positions.health(&*clock);
    let _ = utc_clock.to_utc(clock.now(), Timing::Driver);
    let _ = utc_clock.status();
}
