//! The settings that a boat was sent, and their file.

use super::error::SettingsError;
use flukewatch_common::boat_settings::{BoatSettings, Setting};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::BoatId;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The format of the file.
const FORMAT: u32 = 1;

/// The settings that a boat was sent last.
#[derive(Clone, Debug, PartialEq)]
pub struct SentSettings {
    /// The boat.
    pub boat: BoatId,
    /// Rises with each message.
    pub revision: u64,
    /// When they were sent.
    pub sent_at: Timestamp,
    /// By key; without any, the boat returns to its file.
    pub settings: Vec<Setting>,
}

/// The content of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u32,
    boat: BoatId,
    revision: u64,
    sent_at: String,
    /// `KEY=VALUE` each.
    values: Vec<String>,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl SentSettings {
    /// The message that carries them.
    pub fn message(&self) -> BoatSettings {
        BoatSettings::new(
            self.boat.clone(),
            self.revision,
            self.sent_at,
            &self.settings,
        )
    }

    /// `KEY=VALUE` of each.
    pub fn values(&self) -> Vec<String> {
        self.settings.iter().map(ToString::to_string).collect()
    }

    /// The bytes of the file.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let document = Document {
            format: FORMAT,
            boat: self.boat.clone(),
            revision: self.revision,
            sent_at: self.sent_at.to_string(),
            values: self.values(),
        };
        let mut bytes =
            serde_json::to_vec_pretty(&document).expect("numbers and texts can be written");
        bytes.push(b'\n');
        bytes
    }

    /// Reads the bytes of `file`, the settings of `boat`.
    pub(super) fn from_bytes(
        file: &Path,
        boat: &BoatId,
        bytes: &[u8],
    ) -> Result<Self, SettingsError> {
        let damaged = |problem: String| SettingsError::Damaged {
            file: file.to_owned(),
            problem,
        };
        let json = |error: serde_json::Error| damaged(error.to_string());
        let Format { format } = serde_json::from_slice(bytes).map_err(json)?;
        if format > FORMAT {
            return Err(SettingsError::Newer {
                file: file.to_owned(),
                format,
            });
        }
        let document: Document = serde_json::from_slice(bytes).map_err(json)?;
        if document.boat != *boat {
            return Err(damaged(format!("it is for boat {}", document.boat)));
        }
        let sent_at: Result<jiff::Timestamp, _> = document.sent_at.parse();
        let sent_at = sent_at.map_err(|error| damaged(error.to_string()))?;
        let settings = document.values.iter().map(|value| value.parse());
        let settings: Result<Vec<Setting>, _> = settings.collect();
        let sent = Self {
            boat: document.boat,
            revision: document.revision,
            sent_at: Timestamp(sent_at.as_millisecond()),
            settings: settings.map_err(|invalid| damaged(invalid.to_string()))?,
        };
        // E.g. a key twice.
        let valid = sent.message().validate();
        let settings = valid.map_err(|invalid| damaged(invalid.to_string()))?;
        Ok(Self { settings, ..sent })
    }
}
