//! A bundle in the library: what can be read of it.

use super::error::BundlesError;
use flukewatch_common::bounded_text::one_line;
use flukewatch_common::bundle::{BundleHead, MANIFEST_FILE};
use flukewatch_common::bundle_transfer::ContentId;
use flukewatch_common::sha256::hex;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The size limit of a bundle's name for display.
const MAX_NAME_BYTES: usize = 64;

/// Bytes that are read at once for a SHA-256.
const HASHED: usize = 1 << 20;

/// A bundle in the library. Nothing but its manifest is in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBundle {
    name: String,
    manifest: ContentId,
    manifest_bytes: u32,
    contents: BTreeMap<ContentId, StoredContent>,
}

/// A file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredContent {
    file: PathBuf,
    bytes: u64,
}

impl StoredBundle {
    /// Opens the bundle in `folder`, which has this manifest. The parts are not read.
    ///
    /// # Errors
    /// When the manifest cannot be read, or is another one.
    pub(super) fn open(folder: &Path, manifest: ContentId) -> Result<Self, BundlesError> {
        let head = BundleHead::read(folder)?;
        let bytes = head.manifest_bytes();
        let file = folder.join(MANIFEST_FILE);
        let damaged = |problem: &str| BundlesError::Damaged {
            file: file.clone(),
            problem: problem.to_owned(),
        };
        if ContentId::of(bytes) != manifest {
            return Err(damaged("it is not the manifest that its folder names"));
        }
        let manifest_bytes = u32::try_from(bytes.len()).map_err(|_| damaged("it is too large"))?;
        let described = head.manifest(folder)?;
        let mut contents = BTreeMap::new();
        for part in described.parts.values() {
            let id = part
                .sha256
                .parse()
                .map_err(|_| damaged("it has an invalid SHA-256"))?;
            let content = StoredContent {
                file: folder.join(&part.file),
                bytes: part.bytes,
            };
            contents.insert(id, content);
        }
        let content = StoredContent {
            file,
            bytes: u64::from(manifest_bytes),
        };
        contents.insert(manifest, content);
        Ok(Self {
            name: one_line(&described.name, MAX_NAME_BYTES),
            manifest,
            manifest_bytes,
            contents,
        })
    }

    /// The bundle's name, for display.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of its manifest.
    pub fn manifest(&self) -> ContentId {
        self.manifest
    }

    /// The size of its manifest in bytes.
    pub fn manifest_bytes(&self) -> u32 {
        self.manifest_bytes
    }

    /// The bytes that a boat needs which has nothing of it: manifest and parts, each content once.
    pub fn bytes(&self) -> u64 {
        self.contents.values().map(|content| content.bytes).sum()
    }

    /// Its ids of manifest and parts.
    pub fn content_ids(&self) -> impl Iterator<Item = ContentId> {
        self.contents.keys().copied()
    }

    /// A content of it: the manifest or a part; `None` for any other.
    pub fn content(&self, id: ContentId) -> Option<&StoredContent> {
        self.contents.get(&id)
    }

    /// Whether each file is the one that the manifest describes.
    pub(super) fn is_intact(&self) -> bool {
        let mut contents = self.contents.iter();
        contents.all(|(id, content)| content.id().is_ok_and(|found| found == *id))
    }
}

impl StoredContent {
    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// At most `max_bytes` bytes from `offset` on; `None` where there are none. A content without a single
    /// byte is one empty piece.
    ///
    /// # Errors
    /// When the file cannot be read, or is shorter than it was.
    pub fn read(&self, offset: u64, max_bytes: u32) -> io::Result<Option<Vec<u8>>> {
        let Some(rest) = self.bytes.checked_sub(offset) else {
            return Ok(None);
        };
        let length = rest.min(u64::from(max_bytes));
        if length == 0 && self.bytes > 0 {
            return Ok(None);
        }
        let mut file = File::open(&self.file)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut piece = vec![];
        file.take(length).read_to_end(&mut piece)?;
        if piece.len() as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some(piece))
    }

    fn id(&self) -> io::Result<ContentId> {
        let mut file = File::open(&self.file)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; HASHED];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                bytes => hash.update(&buffer[..bytes]),
            }
        }
        let id = hex(&hash.finalize()).parse();
        Ok(id.expect("a SHA-256 in hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(folder: &Path, bytes: &[u8]) -> StoredContent {
        let file = folder.join("model.onnx");
        std::fs::write(&file, bytes).unwrap();
        StoredContent {
            file,
            bytes: bytes.len() as u64,
        }
    }

    #[test]
    fn a_piece_is_within_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let content = content(folder.path(), b"0123456789");
        for (offset, max_bytes, expected) in [
            (0, 4, Some(&b"0123"[..])),
            (8, 4, Some(b"89")),
            (0, u32::MAX, Some(b"0123456789")),
            (10, 4, None),
            (11, 4, None),
            (u64::MAX, u32::MAX, None),
            (3, 0, None),
        ] {
            let piece = content.read(offset, max_bytes).unwrap();
            assert_eq!(piece.as_deref(), expected, "{offset} {max_bytes}");
        }
    }

    #[test]
    fn an_empty_content_is_one_empty_piece() {
        let folder = tempfile::tempdir().unwrap();
        let content = content(folder.path(), b"");
        assert_eq!(content.read(0, 9).unwrap(), Some(vec![]));
        assert_eq!(content.read(1, 9).unwrap(), None);
    }

    #[test]
    fn a_file_that_became_shorter_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let content = content(folder.path(), b"0123456789");
        std::fs::write(&content.file, b"012").unwrap();
        let error = content.read(0, 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        std::fs::remove_file(&content.file).unwrap();
        assert!(content.read(0, 4).is_err());
    }
}
