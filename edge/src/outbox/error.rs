//! Errors of the outbox.

use std::io::ErrorKind;
use std::path::PathBuf;

/// Why an operation on the outbox failed.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The disk is full, or `outbox.max_megabytes` is reached. Nothing was stored and nothing was
    /// lost.
    #[error("no space in {}: {reason}. Free disk space, or connect the boat to shore so that the outbox empties", .path.display())]
    Full {
        /// The outbox's folder, or the file that could not be written.
        path: PathBuf,
        /// The limit that is reached, in words.
        reason: String,
    },
    /// The folder or a picture cannot be read or written.
    #[error("cannot use {}: {source}", .path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// There is a file where a folder is needed.
    #[error("{} is a file, and the outbox needs a folder there; move it away, or set outbox.path to another folder", .0.display())]
    NotAFolder(PathBuf),
    /// A link to a folder that does not exist.
    #[error("{} is a link to {}, which does not exist; mount or create it, or set outbox.path to another folder", .path.display(), .target.display())]
    DeadLink {
        /// Path of the link.
        path: PathBuf,
        /// What it links to.
        target: PathBuf,
    },
    /// The database is damaged. `flukewatch-edge run` sets it aside.
    #[error("the database of the outbox {} is damaged: {reason}. `flukewatch-edge run` sets it aside and begins a new outbox; to save what is in it, copy the folder first", .path.display())]
    Damaged {
        /// Path of the outbox's folder.
        path: PathBuf,
        /// What SQLite found.
        reason: String,
    },
    /// The database is missing, empty or new, and there are pictures that another one accepted.
    #[error("the outbox {} has pictures, but {reason}. `flukewatch-edge run` sets them aside and begins a new outbox; if you have the database, put it back first", .path.display())]
    Lost {
        /// Path of the outbox's folder.
        path: PathBuf,
        /// What is wrong with the database.
        reason: &'static str,
    },
    /// The outbox's database cannot be read or written.
    #[error("database of the outbox {}: {source}", .path.display())]
    Database {
        /// Path of the outbox's folder.
        path: PathBuf,
        /// The error of SQLite.
        source: rusqlite::Error,
    },
    /// Another process has the outbox open.
    #[error("the outbox {} is in use by another flukewatch-edge; stop that one first", .0.display())]
    InUse(PathBuf),
    /// Written by another version of Flukewatch.
    #[error("the outbox {} has format version {got}; this program supports version {supported}. Send its messages with the program that wrote it, or choose another folder", .path.display())]
    Version {
        /// Path of the outbox's folder.
        path: PathBuf,
        /// The format version of the database.
        got: i64,
        /// The version that is supported.
        supported: i64,
    },
    /// The folder holds a database of another program.
    #[error("the database in {} is not a Flukewatch outbox; choose another folder", .0.display())]
    Foreign(PathBuf),
    /// The pending messages are another boat's.
    #[error("the outbox {} holds messages of the boat '{theirs}', and this boat is '{ours}'; send them under the old name first, or choose another folder", .path.display())]
    OtherBoat {
        /// Path of the outbox's folder.
        path: PathBuf,
        /// The boat that the messages belong to.
        theirs: String,
        /// The boat that opens the outbox.
        ours: String,
    },
    /// A message cannot be encoded.
    #[error("cannot encode a message: {0}")]
    Wire(#[from] flukewatch_common::wire::WireError),
    /// A dead letter cannot be encoded.
    #[error("cannot encode a dead letter: {0}")]
    Json(serde_json::Error),
}

impl OutboxError {
    /// Whether the disk is full or failed, so that another attempt may succeed.
    pub(super) fn is_of_disk(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::Database { source, .. } => {
                source.sqlite_error_code() == Some(rusqlite::ErrorCode::SystemIoFailure)
            }
            _ => false,
        }
    }

    pub(super) fn database(path: &std::path::Path) -> impl Fn(rusqlite::Error) -> Self + '_ {
        move |source| match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full {
                path: path.to_owned(),
                reason: "no space left for the database".into(),
            },
            Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
                Self::Damaged {
                    path: path.to_owned(),
                    reason: source.to_string(),
                }
            }
            _ => Self::Database {
                path: path.to_owned(),
                source,
            },
        }
    }

    pub(super) fn disk(path: &std::path::Path) -> impl Fn(std::io::Error) -> Self + '_ {
        move |source| match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Self::Full {
                    path: path.to_owned(),
                    reason: source.to_string(),
                }
            }
            _ => Self::Disk {
                path: path.to_owned(),
                source,
            },
        }
    }
}
