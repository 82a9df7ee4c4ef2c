//! Errors of offering bundles.

use crate::boat_files::BoatFilesError;
use flukewatch_common::bundle::BundleError;
use flukewatch_common::bundle::delivery::DeliveryError;
use flukewatch_common::bundle_transfer::InvalidTransfer;
use flukewatch_common::sighting::BoatId;
use std::io;
use std::path::{Path, PathBuf};

/// Why a bundle cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum BundlesError {
    /// The data folder does not exist.
    #[error("{} does not exist: create it, or check --data", .0.display())]
    NoData(PathBuf),
    /// A file or folder cannot be read or written.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried, e.g. `read`.
        action: &'static str,
        /// Path of the file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The bundle cannot be used.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The bundle cannot be copied.
    #[error(transparent)]
    Copy(#[from] DeliveryError),
    /// The bundle is not signed.
    #[error(
        "{} is not signed, and boats with trusted_keys reject it: sign it with `flukewatch sign`, or, for a lab, \
         offer it with --allow-unsigned",
        .0.display()
    )]
    Unsigned(PathBuf),
    /// The bundle cannot be offered in a message.
    #[error("{} cannot be offered: {source}", .path.display())]
    Offer {
        /// Path of the bundle.
        path: PathBuf,
        /// What is out of range.
        source: InvalidTransfer,
    },
    /// An offer's file is damaged.
    #[error("{} is damaged: {problem}; offer the bundle again, or delete the file", .file.display())]
    Damaged {
        /// Path of the file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// An offer's file was written by a newer program.
    #[error("{} has format {format}, which is newer than this program: update flukewatch-shore", .file.display())]
    Newer {
        /// Path of the file.
        file: PathBuf,
        /// Its format.
        format: u32,
    },
    /// Nothing is offered to the boat.
    #[error("nothing is offered to boat {0}")]
    NotOffered(BoatId),
}

impl From<BoatFilesError> for BundlesError {
    fn from(error: BoatFilesError) -> Self {
        match error {
            BoatFilesError::NoData(data) => Self::NoData(data),
            BoatFilesError::Io {
                action,
                path,
                source,
            } => Self::Io {
                action,
                path,
                source,
            },
        }
    }
}

impl BundlesError {
    /// A failure to `action` the file or folder at `path`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
