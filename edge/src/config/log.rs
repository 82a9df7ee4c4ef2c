//! `[log]`

use serde::Deserialize;

/// The lowest level that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// What loses sightings.
    Error,
    /// Also what needs attention.
    Warn,
    /// Also each sighting.
    Info,
    /// Also each message.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// `journal` under systemd, `text` otherwise
    Auto,
    /// Time, level, event and fields
    Text,
    /// No time, and the level as the journal's prefix
    Journal,
    /// One JSON object a line
    Json,
}

/// Level and format of the log, section `[log]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// The lowest level that is logged.
    pub level: LogLevel,
    /// The format of log lines.
    pub format: LogFormat,
}

impl Default for LogSection {
    fn default() -> Self {
        Self {
            level: LogLevel::Info,
            format: LogFormat::Auto,
        }
    }
}
