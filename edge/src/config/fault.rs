//! What can be wrong with a configuration.

use std::fmt;
use std::path::PathBuf;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, counted from 1; `None` where the key is not written at all.
    pub line: Option<usize>,
    /// The key with its section, as `camera.frames_per_second`; empty where the file as a whole is at fault.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Fault {
    /// A fault of `key`, whose line is still to be found.
    pub(super) fn of(key: &str, problem: impl Into<String>) -> Self {
        Self {
            line: None,
            key: key.to_owned(),
            problem: problem.into(),
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there, is no UTF-8, or may not be read.
    #[error("cannot read the configuration {}: {source}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file says what cannot be.
    #[error("{}", faults_in(.file, .faults))]
    Faults {
        /// The file.
        file: PathBuf,
        /// What is wrong in it, at least one.
        faults: Vec<Fault>,
    },
}

fn faults_in(file: &std::path::Path, faults: &[Fault]) -> String {
    faults
        .iter()
        .map(|fault| format!("{}, {fault}", file.display()))
        .collect::<Vec<_>>()
        .join("\n")
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}, ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)
    }
}
