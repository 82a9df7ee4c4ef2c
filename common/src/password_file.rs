//! Files with a password.

use std::path::{Path, PathBuf};

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// Why a file gives no password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordFileError {
    /// It cannot be read.
    #[error("cannot read the password file {}: {source}", .file.display())]
    Unreadable {
        /// Path of the file.
        file: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// It is empty, too large or not text.
    #[error("the password file {} does not begin with a line of text: write the password there", .0.display())]
    NoPassword(PathBuf),
}

/// Reads the password in the first line of `file`.
///
/// # Errors
/// When the file cannot be read, or has no such line.
pub fn read_password(file: &Path) -> Result<String, PasswordFileError> {
    let unreadable = |source| PasswordFileError::Unreadable {
        file: file.to_owned(),
        source,
    };
    let empty = || PasswordFileError::NoPassword(file.to_owned());
    let metadata = std::fs::metadata(file).map_err(unreadable)?;
    if metadata.is_file() && metadata.len() > MAX_BYTES {
        return Err(empty());
    }
    let bytes = std::fs::read(file).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| empty())?;
    let line = text.trim_start_matches('\u{feff}').lines().next();
    line.filter(|l| !l.is_empty())
        .map(str::to_owned)
        .ok_or_else(empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_password() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        let read = |content: &[u8]| {
            std::fs::write(&file, content).unwrap();
            read_password(&file)
        };
        assert_eq!(
            read(b"\xef\xbb\xbfpass word\r\nmore\n").unwrap(),
            "pass word"
        );
        let large = vec![b'x'; 100_000];
        for content in [&b""[..], b"\nS3cret", b"\xffS3cret", &large] {
            let error = read(content).unwrap_err();
            assert!(matches!(error, PasswordFileError::NoPassword(_)), "{error}");
        }
        std::fs::remove_file(&file).unwrap();
        let error = read_password(&file).unwrap_err();
        assert!(
            matches!(error, PasswordFileError::Unreadable { .. }),
            "{error}"
        );
    }
}
