//! The settings from shore, in the health document.

use flukewatch_common::boat_settings::SettingsReport;
use serde::{Deserialize, Serialize};

/// What has become of the settings from shore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsHealth {
    /// Of the latest ones.
    pub report: SettingsReport,
    /// Those in use in place of the file's values, `KEY=VALUE` each.
    pub values: Vec<String>,
}
