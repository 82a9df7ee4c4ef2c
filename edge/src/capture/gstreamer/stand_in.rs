//! A stand-in for `gst-launch-1.0`, for tests.

use super::PipelineOptions;
use crate::cancellation::CancellationToken;
use crate::time::{ManualMonotonicClock, MonotonicTimestamp};
use std::sync::Arc;
use std::time::Duration;

/// The stand-in; the script documents what it does.
pub(crate) const STAND_IN: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stand-in/gst-launch-1.0");

/// How long the stand-in may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// Options to run `program`, at 100 s of the monotonic clock.
pub(crate) fn options(program: &str) -> PipelineOptions {
    PipelineOptions {
        program: program.into(),
        start_timeout: TIMEOUT,
        clock: Arc::new(ManualMonotonicClock::new(MonotonicTimestamp::from_millis(
            100_000,
        ))),
        stop: CancellationToken::default(),
    }
}
