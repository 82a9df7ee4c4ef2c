//! Where the program is.

use super::error::MosquittoError;
use std::path::{Path, PathBuf};

/// Debian installs it where the `PATH` of users does not lead.
const FOLDERS: [&str; 6] = [
    "/usr/sbin",
    "/usr/local/sbin",
    "/usr/bin",
    "/usr/local/bin",
    "/opt/homebrew/sbin",
    "/snap/bin",
];

/// The program to run: `named`, or the installed one.
///
/// # Errors
/// When it does not exist.
pub(super) fn find(named: Option<&Path>) -> Result<PathBuf, MosquittoError> {
    if let Some(program) = named {
        return if program.is_file() {
            Ok(program.to_owned())
        } else {
            Err(MosquittoError::NoProgram(program.to_owned()))
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(FOLDERS.map(PathBuf::from));
    folders
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join("mosquitto"))
        .find(|program| program.is_file())
        .ok_or(MosquittoError::NotInstalled)
}
