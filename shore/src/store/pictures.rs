//! Picture files: `DIR/pictures/<sighting>.jpg`, complete or absent.

use super::error::StoreError;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use uuid::Uuid;

#[derive(Debug)]
pub(super) struct Pictures {
    folder: PathBuf,
}

impl Pictures {
    /// The pictures under `data`, to read.
    pub(super) fn open_read_only(data: &Path) -> Self {
        Self {
            folder: data.join("pictures"),
        }
    }

    /// The pictures under `data`; creates the folder.
    pub(super) fn open(data: &Path) -> Result<Self, StoreError> {
        let pictures = Self::open_read_only(data);
        fs::create_dir_all(&pictures.folder).map_err(|source| StoreError::Folder {
            folder: pictures.folder.clone(),
            source,
        })?;
        Ok(pictures)
    }

    fn file(&self, id: Uuid) -> PathBuf {
        // The name is formatted from the parsed id, never taken from text that a boat sent.
        self.folder.join(format!("{}.jpg", id.hyphenated()))
    }

    pub(super) fn exists(&self, id: Uuid) -> bool {
        self.file(id).is_file()
    }

    /// Writes the file of `id` atomically. [`Pictures::sync`] makes the name durable.
    pub(super) fn write(&self, id: Uuid, jpeg: &[u8]) -> Result<(), StoreError> {
        let file = self.file(id);
        let temporary = file.with_extension("jpg.part");
        let write = || -> io::Result<()> {
            let mut part = File::create(&temporary)?;
            part.write_all(jpeg)?;
            part.sync_all()?;
            fs::rename(&temporary, &file)
        };
        write().map_err(|source| StoreError::Picture {
            file: file.clone(),
            source,
        })
    }

    /// Syncs the folder itself to disk.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|source| StoreError::Folder {
                folder: self.folder.clone(),
                source,
            })
    }

    /// The file of `id`; `None` if it was deleted.
    pub(super) fn read(&self, id: Uuid) -> Result<Option<Vec<u8>>, StoreError> {
        let file = self.file(id);
        match fs::read(&file) {
            Ok(jpeg) => Ok(Some(jpeg)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::Picture { file, source }),
        }
    }
}
