//! The child's log.

use flukewatch_common::bounded_text::one_line;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};

/// The most bytes of a line that are passed on.
const MAX_LINE_BYTES: usize = 500;
/// The most bytes of a line that are read at once.
const MAX_READ_BYTES: u64 = 4096;
/// The last lines that are kept to explain an exit.
const KEPT_LINES: usize = 4;

/// The last lines of a log.
#[derive(Clone, Debug, Default)]
pub(super) struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl LastLines {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// In one line.
    pub(super) fn joined(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.is_empty() {
            return "it logged nothing".into();
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        lines.join("; ")
    }
}

/// Passes the lines of `log` on until it ends.
pub(super) fn pass_on(log: impl Read, last: &LastLines) {
    let mut reader = BufReader::new(log);
    let mut line = vec![];
    while (&mut reader)
        .take(MAX_READ_BYTES)
        .read_until(b'\n', &mut line)
        .is_ok_and(|bytes| bytes > 0)
    {
        let text = one_line(&String::from_utf8_lossy(&line), MAX_LINE_BYTES);
        line.clear();
        if text.is_empty() {
            continue;
        }
        match level(&text) {
            tracing::Level::ERROR => tracing::error!(target: "mosquitto", "{text}"),
            tracing::Level::WARN => tracing::warn!(target: "mosquitto", "{text}"),
            _ => tracing::info!(target: "mosquitto", "{text}"),
        }
        last.push(text);
    }
}

/// mosquitto writes no levels, but errors and warnings begin with the word. A failed handshake is not an
/// error of the broker: anything that can reach the port causes it.
fn level(line: &str) -> tracing::Level {
    if line.starts_with("Error") {
        tracing::Level::ERROR
    } else if line.starts_with("Warning") {
        tracing::Level::WARN
    } else {
        tracing::Level::INFO
    }
}
