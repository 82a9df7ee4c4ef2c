//! Errors of the authority.

use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::BoatId;
use flukewatch_trust::KeyFileError;
use std::io;
use std::path::PathBuf;

/// Why the authority cannot do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
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
    /// A key file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The list of certificates is damaged.
    #[error("{} is damaged: {problem}; restore the folder 'authority' from a backup", .file.display())]
    Damaged {
        /// Path of the file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The list of certificates was written by a newer program.
    #[error("{} has version {version}, which is newer than this program: update flukewatch-shore", .file.display())]
    Newer {
        /// Path of the file.
        file: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The folder of the station does not exist.
    #[error("{} does not exist: create it, or check --data", .0.display())]
    NoData(PathBuf),
    /// No authority has been created in the data folder.
    #[error("{} has no certificates yet: run 'flukewatch-shore provision BOAT' first", .0.display())]
    NoAuthority(PathBuf),
    /// The name belongs to the station.
    #[error("a boat cannot be named '{0}': that is the station's own name; choose another one")]
    ReservedName(BoatId),
    /// The boat has a valid certificate.
    #[error(
        "{boat} has a certificate already, valid until {expires}; with --replace it is revoked, and the boat \
         cannot connect until the new folder is aboard"
    )]
    AlreadyProvisioned {
        /// The boat.
        boat: BoatId,
        /// When its certificate expires.
        expires: Timestamp,
    },
    /// The boat never had a certificate.
    #[error("{0} has no certificate; 'flukewatch-shore certificates' lists all")]
    UnknownBoat(BoatId),
    /// The folder for the boat exists.
    #[error("{} exists already: move it away, or choose another folder with --out", .0.display())]
    FolderExists(PathBuf),
    /// Certificates made now would have wrong dates.
    #[error("the computer's clock says {0}: set it, since certificates have dates")]
    Clock(Timestamp),
    /// A certificate would end after the authority's own.
    #[error(
        "a certificate of {days} days would outlast the authority, which expires {expires}: choose fewer with --days"
    )]
    OutlastsAuthority {
        /// The days that were asked for.
        days: u32,
        /// When the authority expires.
        expires: Timestamp,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
}

impl AuthorityError {
    /// Turns an error of the operating system into one of the authority.
    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
