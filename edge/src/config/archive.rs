//! `[archive]`

use super::checks::Checks;
use crate::outbox::ArchiveLimits;
use flukewatch_common::boat_settings::SettingKey;
use serde::Deserialize;
use std::time::Duration;

/// Limits of the archive of acknowledged sightings, section `[archive]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ArchiveSection {
    /// For how many days of operation acknowledged sightings are kept on board; 0 for none.
    pub days: f64,
    /// Their maximum size, in megabytes of 1,000,000 bytes.
    pub max_megabytes: u64,
}

impl Default for ArchiveSection {
    fn default() -> Self {
        Self {
            days: 30.0,
            max_megabytes: 500,
        }
    }
}

impl ArchiveSection {
    /// The limits; `None` for no archive.
    pub fn limits(&self) -> Option<ArchiveLimits> {
        (self.days > 0.0 && self.max_megabytes > 0).then(|| ArchiveLimits {
            max_age: Duration::from_secs_f64(self.days * 86_400.0),
            max_bytes: self.max_megabytes.saturating_mul(1_000_000),
        })
    }

    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.setting(SettingKey::ArchiveDays, self.days);
        checks.setting(SettingKey::ArchiveMegabytes, self.max_megabytes as f64);
    }
}
