//! Files that boats have sent: `DIR/files/<SHA-256>` once they are complete, `DIR/files/<request>.part` before.

use super::error::StoreError;
use super::part_files::PartFiles;
use flukewatch_common::bundle_transfer::ContentId;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The bytes that are hashed at a time.
const BUFFER: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct ReceivedFiles {
    folder: PathBuf,
    parts: PartFiles,
}

impl ReceivedFiles {
    /// The files under `data`; the folder is created with the first.
    pub(super) fn in_data(data: &Path) -> Self {
        let folder = data.join("files");
        let parts = PartFiles::in_folder(folder.clone());
        Self { folder, parts }
    }

    // The name is formatted from a parsed id, never taken from text that a boat sent.
    fn file(&self, content: ContentId) -> PathBuf {
        self.folder.join(content.to_string())
    }

    /// The files of the requests that are open.
    pub(super) fn parts(&self) -> &PartFiles {
        &self.parts
    }

    /// Gives the file of a request its name if it has this content. Returns whether it has; otherwise it is deleted.
    pub(super) fn complete(&self, request: Uuid, content: ContentId) -> Result<bool, StoreError> {
        let path = self.parts.path(request);
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
        assert!(files.parts().append(REQUEST, 0, b"whale ").unwrap());
        assert!(files.parts().append(REQUEST, 6, b"song").unwrap());
        assert!(files.open(content).unwrap().is_none());
        assert!(files.complete(REQUEST, content).unwrap());
        let mut text = String::new();
        let mut file = files.open(content).unwrap().unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "whale song");
        assert!(!files.parts().path(REQUEST).exists());
    }

    #[test]
    fn another_content_is_deleted() {
        let data = tempfile::tempdir().unwrap();
        let files = ReceivedFiles::in_data(data.path());
        files.parts().append(REQUEST, 0, b"altered").unwrap();
        let announced = ContentId::of(b"announced");
        assert!(!files.complete(REQUEST, announced).unwrap());
        assert!(files.open(announced).unwrap().is_none());
        assert_eq!(fs::read_dir(&files.folder).unwrap().count(), 0);
    }
}
