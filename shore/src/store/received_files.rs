//! Files that boats have sent: `DIR/files/<SHA-256>` once they are complete, `DIR/files/<request>.part` before.

use super::error::StoreError;
use flukewatch_common::bundle_transfer::ContentId;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use uuid::Uuid;

const PART: &str = "part";
/// The bytes that are hashed at a time.
const BUFFER: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct ReceivedFiles {
    folder: PathBuf,
}

impl ReceivedFiles {
    /// The files under `data`; the folder is created with the first.
    pub(super) fn in_data(data: &Path) -> Self {
        Self {
            folder: data.join("files"),
        }
    }

    // Both names are formatted from parsed ids, never taken from text that a boat sent.
    fn file(&self, content: ContentId) -> PathBuf {
        self.folder.join(content.to_string())
    }

    fn part(&self, request: Uuid) -> PathBuf {
        let name = request.hyphenated().to_string();
        self.folder.join(name).with_extension(PART)
    }

    /// Appends to the file of a request of which `received` bytes are there, durably. Returns `false` where these
    /// are not there any more.
    pub(super) fn append(
        &self,
        request: Uuid,
        received: u64,
        bytes: &[u8],
    ) -> Result<bool, StoreError> {
        let path = self.part(request);
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

    /// Gives the file of a request its name if it has this content. Returns whether it has; otherwise it is deleted.
    pub(super) fn complete(&self, request: Uuid, content: ContentId) -> Result<bool, StoreError> {
        let path = self.part(request);
        let complete = || -> io::Result<bool> {
            if hash(&path)? != content {
                fs::remove_file(&path)?;
                return Ok(false);
            }
            fs::rename(&path, self.file(content))?;
            self.sync()?;
            Ok(true)
        };
        complete().map_err(|source| StoreError::ReceivedFile {
            file: path.clone(),
            source,
        })
    }

    /// Deletes what was received of a request that has ended. A failure is left to the next start.
    pub(super) fn discard(&self, request: Uuid) {
        remove(&self.part(request));
    }

    /// Deletes what was received of all requests but `open`.
    pub(super) fn tidy(&self, open: &[Uuid]) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let is_part = path.extension().is_some_and(|extension| extension == PART);
            if is_part && !open.iter().any(|id| self.part(*id) == path) {
                remove(&path);
            }
        }
    }

    /// A complete file; `None` if it was deleted.
    pub(super) fn open(&self, content: ContentId) -> Result<Option<File>, StoreError> {
        let path = self.file(content);
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::ReceivedFile { file: path, source }),
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
        tracing::warn!(file = %path.display(), %error, "cannot delete a file of an ended request");
    }
}

fn hash(path: &Path) -> io::Result<ContentId> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
    }
    let digest: [u8; 32] = hasher.finalize().into();
    Ok(digest.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: Uuid = Uuid::from_u128(7);

    #[test]
    fn a_file_is_put_together_and_verified() {
        let data = tempfile::tempdir().unwrap();
        let files = ReceivedFiles::in_data(data.path());
        let content = ContentId::of(b"whale song");
        assert!(files.append(REQUEST, 0, b"whale ").unwrap());
        // Written before a power cut, and not committed.
        assert!(files.append(REQUEST, 6, b"SONGS").unwrap());
        assert!(files.append(REQUEST, 6, b"song").unwrap());
        assert!(files.open(content).unwrap().is_none());
        assert!(files.complete(REQUEST, content).unwrap());
        let mut text = String::new();
        let mut file = files.open(content).unwrap().unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "whale song");
        assert!(!files.part(REQUEST).exists());
    }

    #[test]
    fn another_content_is_deleted() {
        let data = tempfile::tempdir().unwrap();
        let files = ReceivedFiles::in_data(data.path());
        files.append(REQUEST, 0, b"altered").unwrap();
        let announced = ContentId::of(b"announced");
        assert!(!files.complete(REQUEST, announced).unwrap());
        assert!(files.open(announced).unwrap().is_none());
        assert_eq!(fs::read_dir(&files.folder).unwrap().count(), 0);
    }

    #[test]
    fn bytes_that_the_disk_has_lost_are_noticed() {
        let data = tempfile::tempdir().unwrap();
        let files = ReceivedFiles::in_data(data.path());
        assert!(!files.append(REQUEST, 6, b"song").unwrap());
        files.append(REQUEST, 0, b"whale").unwrap();
        assert!(!files.append(REQUEST, 6, b"song").unwrap());
    }

    #[test]
    fn only_what_was_received_of_open_requests_is_kept() {
        let data = tempfile::tempdir().unwrap();
        let files = ReceivedFiles::in_data(data.path());
        let other = Uuid::from_u128(8);
        files.append(REQUEST, 0, b"open").unwrap();
        files.append(other, 0, b"cancelled").unwrap();
        let complete = Uuid::from_u128(9);
        let content = ContentId::of(b"complete");
        files.append(complete, 0, b"complete").unwrap();
        files.complete(complete, content).unwrap();
        files.tidy(&[REQUEST]);
        assert!(files.part(REQUEST).exists() && !files.part(other).exists());
        assert!(files.open(content).unwrap().is_some());
    }
}
