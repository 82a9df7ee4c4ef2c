//! Files that have not arrived as a whole: `FOLDER/<id>.part`, with the first bytes of each.

use super::error::StoreError;
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use uuid::Uuid;

const PART: &str = "part";

#[derive(Debug)]
pub(super) struct PartFiles {
    folder: PathBuf,
}

impl PartFiles {
    /// The files in `folder`, which is created with the first.
    pub(super) fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The path of the file with this id.
    pub(super) fn path(&self, id: Uuid) -> PathBuf {
        // The name is formatted from the parsed id, never taken from text that a boat sent.
        let name = id.hyphenated().to_string();
        self.folder.join(name).with_extension(PART)
    }

    /// Appends to a file of which `received` bytes are there, durably. Returns `false` where these are not there any
    /// more.
    pub(super) fn append(&self, id: Uuid, received: u64, bytes: &[u8]) -> Result<bool, StoreError> {
        let path = self.path(id);
        self.try_append(&path, received, bytes)
            .map_err(|source| StoreError::ReceivedFile { file: path, source })
    }

    fn try_append(&self, path: &Path, received: u64, bytes: &[u8]) -> io::Result<bool> {
        let mut file = if received == 0 {
            fs::create_dir_all(&self.folder)?;
            let file = File::create(path)?;
            self.sync()?;
            file
        } else {
            match OpenOptions::new().write(true).open(path) {
                Ok(file) => file,
                Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
                Err(e) => return Err(e),
            }
        };
        if file.metadata()?.len() < received {
            return Ok(false);
        }
        // There may be more, of a transaction that did not commit.
        file.set_len(received)?;
        file.seek(SeekFrom::Start(received))?;
        file.write_all(bytes)?;
        file.sync_data()?;
        Ok(true)
    }

    /// The first `received` bytes of a file; `None` where these are not there any more.
    pub(super) fn read(&self, id: Uuid, received: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(id);
        let read = || -> io::Result<Vec<u8>> {
            let mut bytes = vec![];
            File::open(&path)?.take(received).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        match read() {
            Ok(bytes) => Ok((bytes.len() as u64 == received).then_some(bytes)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::ReceivedFile { file: path, source }),
        }
    }

    /// Deletes a file that no row names any more. A failure is left to the next start.
    pub(super) fn discard(&self, id: Uuid) {
        remove(&self.path(id));
    }

    /// Deletes all files but `open`.
    pub(super) fn tidy(&self, open: &HashSet<Uuid>) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let is_part = path.extension().is_some_and(|extension| extension == PART);
            let id = path
                .file_stem()
                .and_then(|name| name.to_str()?.parse().ok());
            if is_part && !id.is_some_and(|id| open.contains(&id)) {
                remove(&path);
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.folder).and_then(|folder| folder.sync_all())
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(file = %path.display(), %error, "cannot delete a part of a file");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(7);

    fn in_temporary() -> (tempfile::TempDir, PartFiles) {
        let data = tempfile::tempdir().unwrap();
        let parts = PartFiles::in_folder(data.path().join("parts"));
        (data, parts)
    }

    #[test]
    fn what_did_not_commit_is_overwritten() {
        let (_data, parts) = in_temporary();
        assert!(parts.append(ID, 0, b"whale ").unwrap());
        assert!(parts.append(ID, 6, b"SONGS").unwrap());
        assert_eq!(parts.read(ID, 6).unwrap().as_deref(), Some(&b"whale "[..]));
        assert!(parts.append(ID, 6, b"song").unwrap());
        let whole = parts.read(ID, 10).unwrap();
        assert_eq!(whole.as_deref(), Some(&b"whale song"[..]));
        assert_eq!(fs::read(parts.path(ID)).unwrap(), b"whale song");
    }

    #[test]
    fn bytes_that_the_disk_has_lost_are_noticed() {
        let (_data, parts) = in_temporary();
        assert!(!parts.append(ID, 6, b"song").unwrap());
        assert_eq!(parts.read(ID, 6).unwrap(), None);
        parts.append(ID, 0, b"whale").unwrap();
        assert!(!parts.append(ID, 6, b"song").unwrap());
        assert_eq!(parts.read(ID, 6).unwrap(), None);
    }

    #[test]
    fn only_open_files_are_kept() {
        let (_data, parts) = in_temporary();
        let other = Uuid::from_u128(8);
        parts.append(ID, 0, b"open").unwrap();
        parts.append(other, 0, b"cancelled").unwrap();
        let complete = parts.folder.join("complete");
        fs::write(&complete, "complete").unwrap();
        parts.tidy(&HashSet::from([ID]));
        assert!(parts.path(ID).exists() && !parts.path(other).exists());
        assert!(complete.exists());
    }
}
