//! Errors of the store.

use rusqlite::ErrorCode;
use std::path::PathBuf;

/// Why the store cannot do what it was asked for. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder cannot be created or opened.
    #[error("cannot use data folder {folder}: {source}")]
    Folder {
        /// Path of the data folder.
        folder: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// There is no database.
    #[error(
        "{0} contains no shore database; expected the folder given to 'flukewatch-shore serve --data'"
    )]
    NoData(PathBuf),
    /// Two stations must not share a folder.
    #[error(
        "data folder {0} is in use by another flukewatch-shore; stop it, or choose another folder"
    )]
    InUse(PathBuf),
    /// Written by a newer Flukewatch.
    #[error(
        "database version {found} is newer than version {supported} of this program; update flukewatch-shore"
    )]
    Newer {
        /// The version of the database.
        found: i64,
        /// The version that this program supports.
        supported: i64,
    },
    /// Written by an older Flukewatch, and upgraded by a station that serves it.
    #[error(
        "database version {found} is older than version {supported} of this program; \
         start 'flukewatch-shore serve' once to upgrade it"
    )]
    NotUpgraded {
        /// The version of the database.
        found: i64,
        /// The version that this program supports.
        supported: i64,
    },
    /// Written by an older Flukewatch.
    #[error(
        "database version {found} is older than version {supported} of this program and cannot be read; \
         start with an empty --data folder, or use the flukewatch-shore that wrote it"
    )]
    Older {
        /// The version of the database.
        found: i64,
        /// The version that this program supports.
        supported: i64,
    },
    /// A picture file cannot be read or written.
    #[error("cannot use picture file {file}: {source}")]
    Picture {
        /// Path of the picture file.
        file: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A file that a boat has sent cannot be read or written.
    #[error("cannot use received file {file}: {source}")]
    ReceivedFile {
        /// Path of the file.
        file: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The database failed, e.g. because the disk is full.
    #[error("database error: {0}")]
    Database(#[from] rusqlite::Error),
    /// A value that this program cannot have written.
    #[error("invalid {what} in the database: {value}")]
    InvalidValue {
        /// The kind of value.
        what: &'static str,
        /// The invalid value as text.
        value: String,
    },
}

impl StoreError {
    /// Whether it concerns one message alone, so that others can be stored: a damaged row, or a file that cannot be
    /// written. A full disk, or a missing folder, concerns all.
    pub(super) fn is_of_one_message(&self) -> bool {
        use rusqlite::Error as Sqlite;
        use std::io::ErrorKind::{
            NotADirectory, NotFound, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
        };
        match self {
            Self::InvalidValue { .. } => true,
            Self::Picture { source, .. } | Self::ReceivedFile { source, .. } => !matches!(
                source.kind(),
                StorageFull | QuotaExceeded | ReadOnlyFilesystem | NotFound | NotADirectory
            ),
            Self::Database(Sqlite::SqliteFailure(error, _)) => matches!(
                error.code,
                ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig
            ),
            Self::Database(error) => matches!(
                error,
                Sqlite::FromSqlConversionFailure(..)
                    | Sqlite::IntegralValueOutOfRange(..)
                    | Sqlite::InvalidColumnType(..)
                    | Sqlite::Utf8Error(..)
            ),
            _ => false,
        }
    }

    /// An [`StoreError::InvalidValue`].
    pub(super) fn invalid(what: &'static str, value: impl Into<String>) -> Self {
        Self::InvalidValue {
            what,
            value: value.into(),
        }
    }
}
