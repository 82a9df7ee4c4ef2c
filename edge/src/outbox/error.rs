//! What can go wrong with the outbox.

use std::io::ErrorKind;
use std::path::PathBuf;

/// Why the outbox cannot do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// No room: the disk's, or what `outbox.max_megabytes` allows. Nothing was taken in and nothing was lost.
    #[error("there is no room in {}: {reason}. Free disk space or let the boat reach shore; nothing in the outbox is deleted before shore has it", .path.display())]
    Full {
        /// The outbox's folder, or the file that could not be written.
        path: PathBuf,
        /// Which limit.
        reason: String,
    },
    /// The folder or a picture cannot be read or written.
    #[error("cannot use {}: {source}", .path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database fails.
    #[error("the outbox's database in {}: {source}", .path.display())]
    Database {
        /// The outbox's folder.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// Another program has the outbox open.
    #[error("the outbox {} is in use by another flukewatch-edge: stop that one first", .0.display())]
    InUse(PathBuf),
    /// Written by a newer Flukewatch.
    #[error("the outbox {} has version {got}; this program knows versions up to {known}: update it", .path.display())]
    Newer {
        /// The outbox's folder.
        path: PathBuf,
        /// The database's version.
        got: i64,
        /// The newest that is known.
        known: i64,
    },
    /// A database of something else.
    #[error("{} holds a database that is no Flukewatch outbox: choose another folder", .0.display())]
    Foreign(PathBuf),
    /// What waits is another boat's.
    #[error("messages of the boat '{theirs}' wait in the outbox {}, but this boat is '{ours}': send them under the old name first, or choose another folder", .path.display())]
    OtherBoat {
        /// The outbox's folder.
        path: PathBuf,
        /// Whose messages wait.
        theirs: String,
        /// Who asks.
        ours: String,
    },
    /// A message has no wire form.
    #[error("a message cannot be written: {0}")]
    Wire(#[from] flukewatch_common::wire::WireError),
}

impl OutboxError {
    pub(super) fn database(path: &std::path::Path) -> impl Fn(rusqlite::Error) -> Self + '_ {
        move |source| match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full {
                path: path.to_owned(),
                reason: "no space left for its database".into(),
            },
            Some(rusqlite::ErrorCode::NotADatabase) => Self::Foreign(path.to_owned()),
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
