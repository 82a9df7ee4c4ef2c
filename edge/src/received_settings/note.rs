//! The note of the settings in use.

use flukewatch_common::boat_settings::{
    BoatSettings, MAX_SETTINGS_REASON_BYTES, Setting, SettingsProgress,
};
use flukewatch_common::bounded_text::one_line;
use serde::{Deserialize, Serialize};

/// Which settings from shore are used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Note {
    /// The highest revision that was dealt with; older ones are ignored.
    pub(super) revision: u64,
    /// Those in use; `None`: the values of the file.
    pub(super) used: Option<UsedSettings>,
    /// Those before; `None`: the values of the file.
    pub(super) previous: Option<UsedSettings>,
    /// While those in use are on trial, the starts of the program that have not ended in order.
    pub(super) trial: Option<u32>,
    /// Why `revision` is not used, where it is not.
    pub(super) ended: Option<Ended>,
}

/// Settings that were accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UsedSettings {
    pub(super) revision: u64,
    /// When a person on shore sent them.
    issued: String,
    /// `KEY=VALUE` each.
    pub(super) values: Vec<String>,
}

/// Settings that were rejected or rolled back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ended {
    was_used: bool,
    reason: String,
}

impl UsedSettings {
    pub(super) fn new(message: &BoatSettings, values: &[Setting]) -> Self {
        Self {
            revision: message.revision,
            issued: message.issued.to_string(),
            values: values.iter().map(ToString::to_string).collect(),
        }
    }

    /// The settings; without those that another version of the program has noted and this one does not know.
    pub(super) fn settings(&self) -> Vec<Setting> {
        let parsed = self.values.iter().filter_map(|text| {
            let parsed = text.parse();
            parsed
                .inspect_err(|error| tracing::warn!(%error, "ignoring a setting from shore"))
                .ok()
        });
        parsed.collect()
    }
}

impl Ended {
    pub(super) fn rejected(reason: &str) -> Self {
        Self {
            was_used: false,
            reason: one_line(reason, MAX_SETTINGS_REASON_BYTES),
        }
    }

    pub(super) fn rolled_back(reason: &str) -> Self {
        Self {
            was_used: true,
            ..Self::rejected(reason)
        }
    }

    /// What the boat reports of them.
    pub(super) fn progress(&self) -> (SettingsProgress, String) {
        let progress = if self.was_used {
            SettingsProgress::RolledBack
        } else {
            SettingsProgress::Rejected
        };
        (progress, self.reason.clone())
    }
}
