//! The station's name among the clients of a broker.

use super::error::StationError;
use crate::random::system_random;
use flukewatch_common::atomic_file::write_atomically;
use rand::Rng;
use std::io;
use std::path::Path;

/// The file in the data folder.
const FILE: &str = "client-id";
const PREFIX: &str = "flukewatch-shore-";

/// The station's client id: the same after a restart, so that a broker keeps its session, and another
/// for each data folder, so that two stations do not take over each other's.
pub(super) fn client_id(data: &Path) -> Result<String, StationError> {
    let file = data.join(FILE);
    let error = |source| StationError::ClientId {
        file: file.clone(),
        source,
    };
    match std::fs::read_to_string(&file) {
        Ok(id) if is_client_id(id.trim()) => return Ok(id.trim().to_owned()),
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(error(e)),
    }
    let id = format!("{PREFIX}{:016x}", system_random()?.next_u64());
    write_atomically(&file, id.as_bytes()).map_err(error)?;
    Ok(id)
}

fn is_client_id(id: &str) -> bool {
    let digits = id.strip_prefix(PREFIX).unwrap_or_default();
    digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_and_differs_between_folders() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let id = |folder: &tempfile::TempDir| client_id(folder.path()).unwrap();
        let first = id(&folders[0]);
        assert_eq!(id(&folders[0]), first);
        assert_ne!(id(&folders[1]), first);
        std::fs::write(folders[0].path().join(FILE), "damaged").unwrap();
        assert!(is_client_id(&id(&folders[0])));
    }
}
