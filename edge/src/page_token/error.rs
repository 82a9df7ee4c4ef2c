//! Why the token cannot be used.

use std::io;
use std::path::PathBuf;

/// Why the token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read or written.
    #[error("cannot {verb} the page's token {}: {source}; run this as the boat's user", .file.display())]
    File {
        /// `read` or `write`.
        verb: &'static str,
        /// Path of the file.
        file: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file has something else.
    #[error("{} does not hold a token; make a new one: flukewatch-edge page-token --renew", .0.display())]
    Damaged(PathBuf),
    /// The system gives no random numbers.
    #[error("the system provides no random numbers: {0}")]
    Random(String),
    /// The configuration has no page.
    #[error("[page] listen is empty, so the boat has no page; set it, e.g. to \"0.0.0.0:8090\"")]
    NoPage,
    /// The link is too long for a QR code.
    #[error("the host is too long for a QR code")]
    TooLong,
}
