//! The child's log.

use flukewatch_common::bounded_text::one_line;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most bytes of a line that are passed on.
const MAX_LINE_BYTES: usize = 500;
/// The most bytes of a line that are read at once.
const MAX_READ_BYTES: u64 = 4096;
/// The last lines that are kept to explain an exit.
const KEPT_LINES: usize = 4;

/// What the log says about the child.
#[derive(Clone, Debug, Default)]
pub(super) struct ChildLog(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    last_lines: VecDeque<String>,
    is_running: bool,
}

impl ChildLog {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: String) {
        let mut content = self.content();
        // Since version 2.0, after certificates and rules are loaded: "mosquitto version 2.0.11 running".
        if line.starts_with("mosquitto version") && line.ends_with("running") {
            content.is_running = true;
        }
        if content.last_lines.len() == KEPT_LINES {
            content.last_lines.pop_front();
        }
        content.last_lines.push_back(line);
    }

    /// Whether the child has said that it serves clients. The system accepts connections for it earlier,
    /// before it has loaded its certificates.
    pub(super) fn is_running(&self) -> bool {
        self.content().is_running
    }

    /// The last lines, in one.
    pub(super) fn last_lines(&self) -> String {
        let content = self.content();
        if content.last_lines.is_empty() {
            return "it logged nothing".into();
        }
        let lines: Vec<&str> = content.last_lines.iter().map(String::as_str).collect();
        lines.join("; ")
    }
}

/// Passes the lines of `log` on until it ends.
pub(super) fn pass_on(log: impl Read, to: &ChildLog) {
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
        to.push(text);
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
