//! Where inference engines log to.

use flukewatch_inference::engine::{LogLevel, LogSink};
use std::sync::Arc;

/// Sends an engine's messages to the program's log.
pub fn engine_log() -> LogSink {
    Arc::new(|level, line| match level {
        LogLevel::Detail => tracing::debug!("{line}"),
        LogLevel::Info => tracing::info!("{line}"),
        LogLevel::Warning => tracing::warn!("{line}"),
    })
}
