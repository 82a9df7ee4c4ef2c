//! What can go wrong when a population is drawn.

use std::path::{Path, PathBuf};

/// Why a population cannot be drawn or written.
#[derive(Debug, thiserror::Error)]
pub enum SynthError {
    /// A number that makes no population.
    #[error("{what}: {got} is out of range; it must be {allowed}")]
    OutOfRange {
        /// Which setting.
        what: &'static str,
        /// What was asked for.
        got: String,
        /// What is possible.
        allowed: &'static str,
    },
    /// Encounters with new whales were asked for where there is none.
    #[error(
        "an enrolled fraction of {fraction} leaves encounters for new whales, but there is none: ask for some with --new-whales, or for an enrolled fraction of 1"
    )]
    NoNewWhales {
        /// The fraction that was asked for.
        fraction: f32,
    },
    /// Files are in the way.
    #[error("{0} is not empty; choose another folder or empty it first (nothing was written)")]
    NotEmpty(PathBuf),
    /// The file system.
    #[error("{path}: {source}")]
    File {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A picture that cannot be stored.
    #[error("{path}: the picture cannot be written: {source}")]
    Picture {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: image::ImageError,
    },
    /// A table or a JSON file that cannot be written.
    #[error("{path}: {reason}")]
    Table {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A video whose format is unknown.
    #[error("{0}: unknown video format; expected a name that ends in .mjpeg or .y4m")]
    UnknownFormat(PathBuf),
    /// A photo whose fluke was to be shown.
    #[error(transparent)]
    Photo(#[from] flukewatch_dataset::DatasetError),
    /// No fluke came out of the water in a fair number of tries; another seed helps.
    #[error("no picture of {whale} shows enough of its fluke; use another seed")]
    NoVisibleFluke {
        /// Whose.
        whale: String,
    },
}

impl SynthError {
    /// A complaint of the file system about `path`.
    pub fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::File {
            path: path.to_owned(),
            source,
        }
    }
}
