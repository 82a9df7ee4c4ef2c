//! Which configuration is in use.

use serde::{Deserialize, Serialize};

/// The configuration in the health document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationHealth {
    /// Path of the configuration file.
    pub file: String,
    /// When the configuration in use was applied, RFC 3339 UTC.
    pub applied_at: String,
    /// Why it is not the one that is in the file now, but an earlier one that worked; null where it
    /// is.
    pub fallback: Option<String>,
}
