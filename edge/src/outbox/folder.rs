//! The outbox's folder itself.

use super::error::OutboxError;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Creates `folder` and the folders above it where they are missing. Returns those that it created,
/// outer ones first.
pub(super) fn create(folder: &Path) -> Result<Vec<PathBuf>, OutboxError> {
    let mut missing = vec![];
    for path in folder.ancestors().filter(|p| !p.as_os_str().is_empty()) {
        match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => break,
            Ok(_) => return Err(OutboxError::NotAFolder(path.to_owned())),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                if let Ok(target) = std::fs::read_link(path) {
                    return Err(OutboxError::DeadLink {
                        path: path.to_owned(),
                        target,
                    });
                }
                missing.push(path.to_owned());
            }
            Err(e) if e.kind() == ErrorKind::NotADirectory => {}
            Err(e) => return Err(OutboxError::disk(path)(e)),
        }
    }
    missing.reverse();
    std::fs::create_dir_all(folder).map_err(OutboxError::disk(folder))?;
    Ok(missing)
}
