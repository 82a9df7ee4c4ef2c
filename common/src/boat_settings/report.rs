//! What a boat reports of its settings from shore.

use serde::{Deserialize, Serialize};

/// The limit of [`SettingsReport::reason`] in bytes: it is in every status report, also over dear links.
pub const MAX_SETTINGS_REASON_BYTES: usize = 120;

/// The highest revision: no more than a database keeps. The lowest is 1.
pub const MAX_REVISION: u64 = i64::MAX as u64;

/// What has become of the latest settings from shore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsReport {
    /// The highest revision that the boat has dealt with.
    pub revision: u64,
    /// The revision in use; 0 for the values of the file.
    pub in_use: u64,
    /// What has become of `revision`.
    pub progress: SettingsProgress,
    /// Why it is not used, in one line of at most [`MAX_SETTINGS_REASON_BYTES`]; empty where it is.
    pub reason: String,
}

/// How far settings from shore are on a boat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingsProgress {
    /// They are in use, and are observed for the first minutes.
    OnTrial,
    /// They are in use.
    Active,
    /// They are not used: a value is invalid, or the boat's file forbids settings from shore.
    Rejected,
    /// They were in use, and the boat has returned to those before.
    RolledBack,
}

/// A report with values out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("revision of settings out of range, or their reason too long or not in one line")]
pub struct InvalidSettingsReport;

impl SettingsProgress {
    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnTrial => "on_trial",
            Self::Active => "active",
            Self::Rejected => "rejected",
            Self::RolledBack => "rolled_back",
        }
    }
}

impl SettingsReport {
    /// Validates a report from outside.
    ///
    /// # Errors
    /// When a value is out of range.
    pub fn validate(&self) -> Result<(), InvalidSettingsReport> {
        let is_known = (1..=MAX_REVISION).contains(&self.revision) && self.in_use <= self.revision;
        let is_line = self.reason.len() <= MAX_SETTINGS_REASON_BYTES
            && !self.reason.contains(char::is_control);
        if is_known && is_line {
            Ok(())
        } else {
            Err(InvalidSettingsReport)
        }
    }
}
