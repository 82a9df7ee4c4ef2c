//! What can go wrong with a delivery.

use crate::bundle::BundleError;
use std::io;
use std::path::{Path, PathBuf};

/// Why a bundle cannot be received or put together.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The manifest or the bundle cannot be used.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A file or folder cannot be read or written.
    #[error("{} cannot be read or written: {source}", .path.display())]
    Disk {
        /// The path of the file or folder.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// The manifest has no such content.
    #[error("content {sha256} is not in the manifest of the bundle that is delivered")]
    Unknown {
        /// The SHA-256 of the content.
        sha256: String,
    },
    /// A piece does not begin where the last one ended.
    #[error("a piece of content {sha256} begins at byte {offset}; expected byte {expected}")]
    Offset {
        /// The SHA-256 of the content.
        sha256: String,
        /// Where the piece begins.
        offset: u64,
        /// Where the next piece must begin.
        expected: u64,
    },
    /// There is more of a content than the manifest says.
    #[error("content {sha256} has more than {bytes} bytes")]
    TooLong {
        /// The SHA-256 of the content.
        sha256: String,
        /// Its size in the manifest, in bytes.
        bytes: u64,
    },
    /// What has arrived is not the content; it was deleted.
    #[error("content {sha256} was altered or damaged on its way; it is requested again")]
    Altered {
        /// The SHA-256 of the content.
        sha256: String,
    },
    /// Something has not arrived yet.
    #[error("content {sha256} has not arrived yet")]
    Incomplete {
        /// The SHA-256 of the content.
        sha256: String,
    },
    /// The destination is there already.
    #[error("{} exists; choose another name for the bundle", .0.display())]
    Exists(PathBuf),
}

impl DeliveryError {
    pub(super) fn disk(path: &Path) -> impl Fn(io::Error) -> Self {
        |source| Self::Disk {
            path: path.into(),
            source,
        }
    }
}
