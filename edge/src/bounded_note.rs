//! A small JSON file in which the boat notes something for its next start.

use flukewatch_common::atomic_file::write_atomically;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// A JSON file of limited size. It is complete or absent, whenever the power fails.
#[derive(Clone, Debug)]
pub(crate) struct BoundedNote {
    file: PathBuf,
    max_bytes: u64,
}

/// A note cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", .file.display())]
pub struct NoteError {
    /// Path of the file.
    pub file: PathBuf,
    /// The error of the operating system.
    pub source: io::Error,
}

impl BoundedNote {
    /// The note in `file`, of which no more than `max_bytes` are read.
    pub(crate) fn new(file: PathBuf, max_bytes: u64) -> Self {
        Self { file, max_bytes }
    }

    /// Path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.file
    }

    /// What is noted; `None` where the file is missing.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<Option<T>, NoteError> {
        let Some(text) = self.read_bytes().map_err(|e| self.error(e))? else {
            return Ok(None);
        };
        let parsed = serde_json::from_slice(&text);
        parsed.map(Some).map_err(|e| self.error(e.into()))
    }

    /// Replaces what is noted. The folder is created where it is missing.
    ///
    /// # Errors
    /// When it cannot be written; what was noted before then stays.
    pub(crate) fn write(&self, value: &impl Serialize) -> Result<(), NoteError> {
        let text = serde_json::to_vec(value).map_err(|e| self.error(e.into()))?;
        self.write_bytes(text).map_err(|e| self.error(e))
    }

    fn read_bytes(&self) -> io::Result<Option<Vec<u8>>> {
        let opened = match File::open(&self.file) {
            Ok(opened) => opened,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(e) => return Err(e),
        };
        let mut text = vec![];
        opened.take(self.max_bytes).read_to_end(&mut text)?;
        Ok(Some(text))
    }

    fn write_bytes(&self, mut text: Vec<u8>) -> io::Result<()> {
        if let Some(folder) = self.file.parent() {
            fs::create_dir_all(folder)?;
        }
        text.push(b'\n');
        write_atomically(&self.file, &text)
    }

    fn error(&self, source: io::Error) -> NoteError {
        NoteError {
            file: self.file.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let note = BoundedNote::new(folder.path().join("outbox/note.json"), 64);
        assert_eq!(note.read::<Vec<u64>>().unwrap(), None);
        for value in [vec![], vec![7u64, 9]] {
            note.write(&value).unwrap();
            assert_eq!(note.read().unwrap(), Some(value));
        }
    }

    #[test]
    fn a_damaged_or_large_note_is_an_error_that_names_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let note = BoundedNote::new(folder.path().join("note.json"), 8);
        for damaged in [&b""[..], b"\xff\xfe", b"[1", b"[1,2,3,4,5,6]"] {
            fs::write(note.path(), damaged).unwrap();
            let error = note.read::<Vec<u64>>().unwrap_err();
            assert_eq!(error.file, note.path());
        }
        note.write(&[7u64]).unwrap();
        assert_eq!(note.read().unwrap(), Some(vec![7u64]));
    }

    #[test]
    fn a_file_in_place_of_the_folder_holds_no_note() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("outbox");
        fs::write(&file, "").unwrap();
        let note = BoundedNote::new(file.join("note.json"), 8);
        assert!(note.read::<Vec<u64>>().unwrap().is_none());
        assert!(note.write(&[7u64]).is_err());
    }
}
