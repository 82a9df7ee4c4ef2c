//! Errors of sending settings.

use crate::boat_files::BoatFilesError;
use flukewatch_common::boat_settings::InvalidSetting;
use std::io;
use std::path::PathBuf;

/// Why settings cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The files cannot be used.
    #[error(transparent)]
    Files(#[from] BoatFilesError),
    /// A boat's file is damaged.
    #[error("{} is damaged: {problem}; send settings again, or delete the file", .file.display())]
    Damaged {
        /// Path of the file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A boat's file was written by a newer program.
    #[error("{} has format {format}, which is newer than this program: update flukewatch-shore", .file.display())]
    Newer {
        /// Path of the file.
        file: PathBuf,
        /// Its format.
        format: u32,
    },
    /// The file of a person cannot be read.
    #[error("cannot read {}: {source}", .file.display())]
    Unreadable {
        /// Path of the file.
        file: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file of a person is not TOML.
    #[error("{}: {source}", .file.display())]
    Toml {
        /// Path of the file.
        file: PathBuf,
        /// Where and what is wrong.
        source: Box<toml::de::Error>,
    },
    /// The file of a person holds an invalid setting.
    #[error("{}: {source}", .file.display())]
    Setting {
        /// Path of the file.
        file: PathBuf,
        /// The setting, and what is expected.
        source: InvalidSetting,
    },
}
