//! `[clip]`

use super::checks::Checks;
use crate::clip::{ClipLimits, ClipSettings};
use flukewatch_common::boat_settings::SettingKey;
use serde::Deserialize;
use std::time::Duration;

/// Videos of encounters, section `[clip]`. Of cameras and videos that send JPEG images.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClipSection {
    /// Whether clips are written.
    pub enabled: bool,
    /// How many seconds before an encounter a clip begins.
    pub before_seconds: f64,
    /// How many seconds after it the clip ends.
    pub after_seconds: f64,
    /// A longer clip is continued in another, in seconds.
    pub max_seconds: f64,
    /// Maximum memory for the seconds before, of each camera, in megabytes of 1,000,000 bytes.
    pub memory_megabytes: u64,
    /// For how many days of operation clips are kept.
    pub days: f64,
    /// Their maximum size, in megabytes of 1,000,000 bytes.
    pub max_megabytes: u64,
}

impl Default for ClipSection {
    fn default() -> Self {
        Self {
            enabled: true,
            before_seconds: 3.0,
            after_seconds: 3.0,
            max_seconds: 120.0,
            memory_megabytes: 48,
            days: 60.0,
            max_megabytes: 8_000,
        }
    }
}

impl ClipSection {
    /// How clips are cut.
    pub fn settings(&self) -> ClipSettings {
        ClipSettings {
            before: Duration::from_secs_f64(self.before_seconds),
            after: Duration::from_secs_f64(self.after_seconds),
            longest: Duration::from_secs_f64(self.max_seconds),
            max_bytes: usize::try_from(self.memory_megabytes.saturating_mul(1_000_000))
                .unwrap_or(usize::MAX),
        }
    }

    /// How much is kept.
    pub fn limits(&self) -> ClipLimits {
        ClipLimits {
            max_age: Duration::from_secs_f64(self.days * 86_400.0),
            max_bytes: self.max_megabytes.saturating_mul(1_000_000),
        }
    }

    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.range("before_seconds", self.before_seconds, 0.0, 60.0);
        checks.range("after_seconds", self.after_seconds, 0.0, 60.0);
        checks.range("max_seconds", self.max_seconds, 1.0, 600.0);
        checks.range(
            "memory_megabytes",
            self.memory_megabytes as f64,
            1.0,
            4000.0,
        );
        checks.setting(SettingKey::ClipDays, self.days);
        checks.setting(SettingKey::ClipMegabytes, self.max_megabytes as f64);
    }
}
