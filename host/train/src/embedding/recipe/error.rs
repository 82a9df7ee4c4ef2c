//! Why a recipe cannot be used.

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
    /// A setting has an invalid value.
    #[error("recipe: {0}")]
    Value(String),
}
