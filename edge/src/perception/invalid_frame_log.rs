//! Logs invalid frames of live cameras at a limited rate: a bad cable causes thirty per second.

use crate::time::{MonotonicClock, MonotonicTimestamp};
use std::fmt;
use std::sync::Arc;

/// The least interval between log lines, in milliseconds.
const INTERVAL: i64 = 10_000;

pub(super) struct InvalidFrameLog {
    clock: Arc<dyn MonotonicClock>,
    /// When a frame of a live camera was last logged, and how many were suppressed since.
    last: Option<(MonotonicTimestamp, u64)>,
}

impl InvalidFrameLog {
    pub(super) fn new(clock: Arc<dyn MonotonicClock>) -> Self {
        Self { clock, last: None }
    }

    /// Logs an invalid frame; those of `live` cameras at the limited rate.
    pub(super) fn log(&mut self, live: bool, frame: &dyn fmt::Display, reason: &str) {
        let now = self.clock.now();
        let suppressed = match &mut self.last {
            Some((at, suppressed)) if live && now.millis_since(*at) < INTERVAL => {
                *suppressed += 1;
                return;
            }
            Some((_, suppressed)) => *suppressed,
            None => 0,
        };
        if live {
            self.last = Some((now, 0));
        }
        tracing::warn!(%frame, reason, suppressed, "skipping invalid frame");
    }
}
