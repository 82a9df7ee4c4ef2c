//! The folder of pending pictures: a file is complete and durable before a row names it.

use super::error::OutboxError;
use std::collections::HashSet;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use uuid::Uuid;

pub(super) struct Pictures {
    folder: PathBuf,
    /// The archived pictures; created when it is first needed.
    archive: PathBuf,
}

impl Pictures {
    /// The pictures of the outbox in `outbox`.
    pub(super) fn of(outbox: &Path) -> Self {
        Self {
            folder: outbox.join("pictures"),
            archive: outbox.join("archive"),
        }
    }

    /// Creates the folder where it is missing.
    pub(super) fn create_folder(&self) -> Result<(), OutboxError> {
        std::fs::create_dir_all(&self.folder).map_err(OutboxError::disk(&self.folder))
    }

    /// Writes the picture of `sighting` durably and returns its file name. On an error no
    /// file is left.
    pub(super) fn write(&self, sighting: Uuid, jpeg: &[u8]) -> Result<String, OutboxError> {
        let name = format!("{sighting}.jpg");
        let (path, part) = (
            self.folder.join(&name),
            self.folder.join(format!("{name}.part")),
        );
        let written = (|| {
            let mut file = File::create(&part)?;
            file.write_all(jpeg)?;
            file.sync_all()?;
            std::fs::rename(&part, &path)?;
            File::open(&self.folder)?.sync_all()
        })();
        written.map_err(|e| {
            for file in [&part, &path] {
                let _ = std::fs::remove_file(file);
            }
            OutboxError::disk(&path)(e)
        })?;
        Ok(name)
    }

    /// Reads a picture; `None` where the file is missing.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, OutboxError> {
        let path = self.folder.join(name);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(OutboxError::disk(&path)(e)),
        }
    }

    /// Deletes a picture that no row names any more. A failure is left to [`Pictures::keep_only`].
    pub(super) fn remove(&self, name: &str) {
        if let Err(e) = std::fs::remove_file(self.folder.join(name))
            && e.kind() != ErrorKind::NotFound
        {
            tracing::warn!(picture = name, error = %e, "cannot delete an acknowledged picture");
        }
    }

    /// Moves an acknowledged picture to the archive; one that cannot be moved is deleted.
    pub(super) fn archive(&self, name: &str) {
        let moved = std::fs::create_dir_all(&self.archive)
            .and_then(|()| std::fs::rename(self.folder.join(name), self.archive.join(name)));
        if let Err(e) = moved {
            if e.kind() != ErrorKind::NotFound {
                tracing::warn!(picture = name, error = %e, "cannot archive a picture");
            }
            self.remove(name);
        }
    }

    /// Deletes an archived picture.
    pub(super) fn remove_archived(&self, name: &str) {
        let _ = std::fs::remove_file(self.archive.join(name));
    }

    /// Deletes the oldest archived pictures until `bytes` are freed or none is left. Returns how
    /// many bytes were freed.
    pub(super) fn free_archive(&self, bytes: u64) -> u64 {
        let entries = std::fs::read_dir(&self.archive).into_iter().flatten();
        // Names start with the time, so that they sort by age.
        let mut files: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
        files.sort_unstable();
        let mut freed = 0;
        for file in files {
            if freed >= bytes {
                break;
            }
            let size = std::fs::metadata(&file).map_or(0, |m| m.len());
            if std::fs::remove_file(&file).is_ok() {
                freed += size;
            }
        }
        freed
    }

    /// Cleans up after a power cut: deletes files that are not in `named`, and moves those in
    /// `archived` to the archive. Returns how many were deleted.
    pub(super) fn keep_only(
        &self,
        named: &HashSet<String>,
        archived: &HashSet<String>,
    ) -> Result<usize, OutboxError> {
        let failed = OutboxError::disk(&self.folder);
        let mut removed = 0;
        for entry in std::fs::read_dir(&self.folder).map_err(&failed)? {
            let entry = entry.map_err(&failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let ours = name.ends_with(".jpg") || name.ends_with(".jpg.part");
            if ours && !named.contains(&name) && archived.contains(&name) {
                self.archive(&name);
            } else if ours && !named.contains(&name) {
                std::fs::remove_file(entry.path()).map_err(&failed)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}
