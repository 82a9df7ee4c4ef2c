//! Picture files: `DIR/pictures/<sighting>.jpg`, whole or not there.

use super::StoreError;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The folder of the pictures.
#[derive(Debug)]
pub(super) struct Pictures {
    folder: PathBuf,
}

impl Pictures {
    /// The pictures under `data`, to read.
    pub(super) fn at(data: &Path) -> Self {
        Self {
            folder: data.join("pictures"),
        }
    }

    /// The pictures under `data`; makes the folder.
    pub(super) fn open(data: &Path) -> Result<Self, StoreError> {
        let pictures = Self::at(data);
        fs::create_dir_all(&pictures.folder).map_err(|source| StoreError::Folder {
            folder: pictures.folder.clone(),
            source,
        })?;
        Ok(pictures)
    }

    fn file(&self, id: Uuid) -> PathBuf {
        // The name comes from the number, never from text that a boat sent.
        self.folder.join(format!("{}.jpg", id.hyphenated()))
    }

    /// Whether the file of `id` is there.
    pub(super) fn holds(&self, id: Uuid) -> bool {
        self.file(id).is_file()
    }

    /// Writes the file of `id`: beside it, to disk, then into place. [`Pictures::sync`] makes the name last.
    pub(super) fn write(&self, id: Uuid, jpeg: &[u8]) -> Result<(), StoreError> {
        let file = self.file(id);
        let beside = file.with_extension("jpg.part");
        let write = || -> io::Result<()> {
            let mut part = File::create(&beside)?;
            part.write_all(jpeg)?;
            part.sync_all()?;
            fs::rename(&beside, &file)
        };
        write().map_err(|source| StoreError::Picture {
            file: file.clone(),
            source,
        })
    }

    /// Puts the folder itself on disk.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|source| StoreError::Folder {
                folder: self.folder.clone(),
                source,
            })
    }

    /// The file of `id`; `None` where somebody took it away.
    pub(super) fn read(&self, id: Uuid) -> Result<Option<Vec<u8>>, StoreError> {
        let file = self.file(id);
        match fs::read(&file) {
            Ok(jpeg) => Ok(Some(jpeg)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::Picture { file, source }),
        }
    }
}
