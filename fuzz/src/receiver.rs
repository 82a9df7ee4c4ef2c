//! A boat with a GNSS receiver.

use flukewatch_common::clock::{ManualClock, Timestamp};
use flukewatch_edge::position::{FixAssembler, PositionHistory, Protocol, Reader};
use flukewatch_edge::time::{
    DateWindow, ManualMonotonicClock, MonotonicClock, MonotonicTimestamp, Timing, UtcClock,
};
use std::sync::Arc;
use std::time::Duration;

/// Receives `bytes` in two pieces and then in lines, one every 300 ms.
///
/// # Panics
/// When the boat would report an invalid position or an implausible date, or what it finds depends
/// on the pieces.
pub fn receive(protocol: Protocol, bytes: &[u8]) {
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let whole = receive_pieces(protocol, &[first, rest]);
    assert_eq!(whole, receive_pieces(protocol, &lines));
}

/// The numbers of sentences, damaged ones and malformed ones.
fn receive_pieces(protocol: Protocol, pieces: &[&[u8]]) -> [u64; 3] {
    let clock = Arc::new(ManualMonotonicClock::new(MonotonicTimestamp::from_millis(
        50_000,
    )));
    let computer = Arc::new(ManualClock::new(Timestamp(1_795_450_800_000)));
    let utc_clock = Arc::new(UtcClock::new(computer, clock.clone()));
    let positions = Arc::new(PositionHistory::new(Duration::from_secs(60), true));
    let mut fix_assembler = FixAssembler::new(positions.clone(), utc_clock.clone());
    let mut reader = Reader::new(protocol, &mut fix_assembler, positions.clone());
    for piece in pieces.iter().copied().chain([b"\n".as_slice()]) {
        reader.push(piece, clock.now());
        clock.advance(Duration::from_millis(300));
        if let Some(position) = positions.near(clock.now()) {
            assert!(position.is_valid(), "{position:?}");
        }
        let utc = utc_clock.to_utc(clock.now(), Timing::Driver).time;
        // The sentences may state the last moment of the window.
        let earlier = utc.plus_millis(-86_400_000);
        let dates = DateWindow::default();
        assert!(dates.contains(utc) || dates.contains(earlier), "{utc}");
    }
    let _ = utc_clock.status();
    let health = positions.health(&*clock);
    [health.sentences, health.damaged, health.malformed]
}
