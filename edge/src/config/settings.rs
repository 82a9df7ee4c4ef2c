//! `[settings]`

use serde::Deserialize;

/// Settings from shore, section `[settings]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SettingsSection {
    /// Whether thresholds, quotas and the use of the link can be set from shore; by default where the
    /// station signs its messages.
    pub over_the_air: Option<bool>,
}
