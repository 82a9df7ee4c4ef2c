//! Settings that a person on shore sends to a boat, and how the boat reports what became of them.
//!
//! Only the safe part of a boat's configuration can be set from shore: thresholds, quotas and the use of the
//! link ([`SettingKey`]). Nothing of it can lock a boat out: broker, identity, page, cameras and paths stay
//! with the file on board. The station sends all values of a boat in one message ([`BoatSettings`]), which the
//! broker retains; they replace those of the file until the next message.

mod key;
mod report;
mod setting;

pub use key::SettingKey;
pub use report::{
    InvalidSettingsReport, MAX_REVISION, MAX_SETTINGS_REASON_BYTES, SettingsProgress,
    SettingsReport,
};
pub use setting::{InvalidSetting, Setting, SettingValue};

use crate::clock::Timestamp;
use crate::sighting::BoatId;
use serde::{Deserialize, Serialize};

/// The settings of a boat: each message replaces the one before. Without values, the boat returns to its file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoatSettings {
    /// The boat's name.
    pub boat: BoatId,
    /// Rises with each message to this boat, from 1 to at most [`MAX_REVISION`]: an older one is ignored.
    pub revision: u64,
    /// When a person sent them.
    pub issued: Timestamp,
    /// Number of the key, and value: not validated, and what a newer station sends may be unknown.
    pub values: Vec<(u8, SettingValue)>,
}

impl BoatSettings {
    /// A message with these settings.
    pub fn new(boat: BoatId, revision: u64, issued: Timestamp, settings: &[Setting]) -> Self {
        let values = settings.iter().map(|s| (s.key().number(), s.value()));
        Self {
            boat,
            revision,
            issued,
            values: values.collect(),
        }
    }

    /// The settings, by key.
    ///
    /// # Errors
    /// For the first one that is unknown, repeated or out of range.
    pub fn validate(&self) -> Result<Vec<Setting>, InvalidSetting> {
        let mut settings: Vec<Setting> = vec![];
        for (number, value) in &self.values {
            let key = SettingKey::from_number(*number).ok_or(InvalidSetting::Newer(*number))?;
            if settings.iter().any(|setting| setting.key() == key) {
                return Err(InvalidSetting::Repeated(key));
            }
            settings.push(Setting::new(key, *value)?);
        }
        settings.sort_by_key(Setting::key);
        Ok(settings)
    }
}

#[cfg(test)]
mod tests;
