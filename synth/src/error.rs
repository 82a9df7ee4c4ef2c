//! Errors of synthesis.

use std::path::{Path, PathBuf};

/// Why a population, a video or a set of characters cannot be drawn or written.
#[derive(Debug, thiserror::Error)]
pub enum SynthError {
    /// A setting is out of range.
    #[error("{what}: {got} is out of range; it must be {allowed}")]
    OutOfRange {
        /// The name of the setting.
        what: &'static str,
        /// The given value.
        got: String,
        /// The valid range.
        allowed: &'static str,
    },
    /// Encounters with new whales were requested, but there are no new whales.
    #[error(
        "an enrolled fraction of {fraction} leaves encounters for new whales, but there are no new whales; set --new-whales, or an enrolled fraction of 1"
    )]
    NoNewWhales {
        /// The requested fraction.
        fraction: f32,
    },
    /// The output folder is not empty.
    #[error("{0} is not empty; choose another folder or empty it first (nothing was written)")]
    NotEmpty(PathBuf),
    /// A file operation failed.
    #[error("{path}: {source}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// A picture cannot be written.
    #[error("{path}: the picture cannot be written: {source}")]
    Picture {
        /// The output file.
        path: PathBuf,
        /// The encoder's error.
        source: image::ImageError,
    },
    /// A CSV or JSON file cannot be written.
    #[error("{path}: {reason}")]
    Table {
        /// The output file.
        path: PathBuf,
        /// The encoder's or the operating system's error.
        reason: String,
    },
    /// The extension of a video file is unknown.
    #[error("{0}: unknown video format; expected a name that ends in .mjpeg or .y4m")]
    UnknownFormat(PathBuf),
    /// A photo of the cast cannot be read.
    #[error(transparent)]
    Photo(#[from] flukewatch_dataset::DatasetError),
    /// No try showed enough of a fluke; another seed helps.
    #[error("no picture of {whale} shows enough of its fluke; use another seed")]
    NoVisibleFluke {
        /// The name of the whale.
        whale: String,
    },
}

impl SynthError {
    /// Wraps an I/O error about `path`.
    pub fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::File {
            path: path.to_owned(),
            source,
        }
    }
}
