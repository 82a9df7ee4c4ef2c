//! What can be wrong with a configuration.

use std::fmt;
use std::path::{Path, PathBuf};

/// A fault of a configuration, with its place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, counted from 1; `None` where the key is not in the file.
    pub line: Option<usize>,
    /// The key with its section, e.g. `camera.frames_per_second`; the section alone, or empty for
    /// the file as a whole.
    pub key: String,
    /// What is wrong, and what is expected.
    pub problem: String,
}

impl Fault {
    /// A fault of `key`; its line is set later.
    pub(super) fn of(key: &str, problem: impl Into<String>) -> Self {
        Self {
            line: None,
            key: key.to_owned(),
            problem: problem.into(),
        }
    }

    /// Formats it as `FILE:LINE: [SECTION] KEY: PROBLEM`; unknown parts are omitted.
    fn describe(&self, file: &Path) -> String {
        let place = match self.line {
            Some(line) => format!("{}:{line}", file.display()),
            None => file.display().to_string(),
        };
        let problem = &self.problem;
        match self.key.split_once('.') {
            Some((section, key)) => format!("{place}: [{section}] {key}: {problem}"),
            None if self.key.is_empty() => format!("{place}: {problem}"),
            None => format!("{place}: [{}]: {problem}", self.key),
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", .file.display())]
    Unreadable {
        /// Path of the configuration file.
        file: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The file is invalid.
    #[error("{}", Lines(.file, .faults))]
    Faults {
        /// Path of the configuration file.
        file: PathBuf,
        /// Its faults, at least one.
        faults: Vec<Fault>,
    },
}

/// A line for each fault.
struct Lines<'a>(&'a Path, &'a [Fault]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.1.iter().map(|fault| fault.describe(self.0)).collect();
        f.write_str(&lines.join("\n"))
    }
}
