//! How serious a condition is.

use serde::{Deserialize, Serialize};

/// How serious a condition is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    #[default]
    Ok,
    /// Needs attention.
    Warning,
    /// Loses sightings, or soon will.
    Critical,
}
