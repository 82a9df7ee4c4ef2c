//! Waiting for what other processes do.

use std::time::{Duration, Instant};

/// How long anything may take before a test fails: a busy machine is slow, but not this slow.
pub const PATIENCE: Duration = Duration::from_secs(45);

/// Waits until `holds`.
///
/// # Panics
/// When it does not within [`PATIENCE`]; `what` says what was waited for.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
