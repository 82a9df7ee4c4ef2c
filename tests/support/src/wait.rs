//! Waits for other processes.

use std::time::{Duration, Instant};

/// Timeout after which a test fails; generous, for busy machines.
pub const TIMEOUT: Duration = Duration::from_secs(45);

/// Polls `holds` until it is true.
///
/// # Panics
/// After [`TIMEOUT`]; the message contains `what`, a description of the condition.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < TIMEOUT, "timed out waiting for: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
