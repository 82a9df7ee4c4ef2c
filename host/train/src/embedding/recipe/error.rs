//! Why a recipe cannot be used.

use crate::about::InvalidSetting;
use std::path::PathBuf;

/// Why a recipe cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// Path of the recipe.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// Invalid TOML, an unknown key, or a value of the wrong type; with line and column.
    #[error("{path}: {reason}")]
    Format {
        /// The file or preset.
        path: PathBuf,
        /// Position in the file and reason.
        reason: String,
    },
    /// A preset that does not exist, or an invalid setting on the command line.
    #[error("recipe: {0}")]
    Value(String),
    /// A setting has an invalid value.
    #[error("{place}: {setting}")]
    Setting {
        /// File and line, preset or option that sets it.
        place: String,
        /// Key, value and what is expected.
        setting: InvalidSetting,
    },
}
