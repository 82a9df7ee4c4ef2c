//! `[recording]`

use super::checks::Checks;
use crate::outbox::RecordingLimits;
use flukewatch_common::boat_settings::SettingKey;
use serde::Deserialize;
use std::time::Duration;

/// How long the recordings of encounters are kept on board, section `[recording]`. What shore has not
/// acknowledged is never deleted.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecordingSection {
    /// For how many days of operation they are kept.
    pub days: f64,
    /// Their maximum size, in megabytes of 1,000,000 bytes.
    pub max_megabytes: u64,
}

impl Default for RecordingSection {
    fn default() -> Self {
        Self {
            days: 365.0,
            max_megabytes: 4_000,
        }
    }
}

impl RecordingSection {
    /// The limits.
    pub fn limits(&self) -> RecordingLimits {
        RecordingLimits {
            max_age: Duration::from_secs_f64(self.days * 86_400.0),
            max_bytes: self.max_megabytes.saturating_mul(1_000_000),
        }
    }

    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.setting(SettingKey::RecordingDays, self.days);
        checks.setting(SettingKey::RecordingMegabytes, self.max_megabytes as f64);
    }
}
