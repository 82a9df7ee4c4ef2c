//! Why the record of a run cannot be used.

use std::io;
use std::path::PathBuf;

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunRecordError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Path of the record.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The file is not a record.
    #[error("{path} is not a record of flukewatch train: {reason}")]
    Format {
        /// Path of the record.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The schema is not supported.
    #[error("{path} has schema {found}, expected {expected}; use the program that wrote it")]
    Schema {
        /// Path of the record.
        path: PathBuf,
        /// The schema of the file.
        found: u64,
        /// The schema that is supported.
        expected: u32,
    },
    /// The record is of another run than the checkpoint next to it.
    #[error(
        "{path} is not of the run of {checkpoint}: no session had the checkpoint's recipe; \
         keep a checkpoint in the folder of its run"
    )]
    OtherRun {
        /// Path of the record.
        path: PathBuf,
        /// Path of the checkpoint.
        checkpoint: PathBuf,
    },
}
