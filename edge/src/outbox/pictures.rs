//! The folders of pending and archived pictures.

use super::accepted_files::{AcceptedFiles, Found, names};
use super::error::OutboxError;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The end of a picture's name.
const EXTENSION: &str = ".jpg";

pub(super) struct Pictures {
    files: AcceptedFiles,
    /// The archived pictures; created when it is first needed.
    archive: PathBuf,
}

/// What the database says about a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// It is pending, or a dead letter.
    Kept,
    /// It is acknowledged and in the archive.
    Archived,
    /// Its sighting was accepted, and the picture is not needed any more.
    Done,
    /// Its sighting was never accepted by this database.
    Unknown,
}

/// What [`Pictures::tidy`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tidied {
    /// Pictures that were deleted: acknowledged, or never accepted.
    pub(super) deleted: usize,
    /// Files of accepted pictures that the database does not know.
    pub(super) unknown: Vec<String>,
}

impl Pictures {
    /// The pictures of the outbox in `outbox`.
    pub(super) fn of(outbox: &Path) -> Self {
        Self {
            files: AcceptedFiles::of(outbox.join("pictures")),
            archive: outbox.join("archive"),
        }
    }

    /// Creates the folder where it is missing.
    pub(super) fn create_folder(&self) -> Result<(), OutboxError> {
        self.files.create_folder()
    }

    /// Writes the picture of `sighting` durably and returns its file name, under which
    /// [`Pictures::commit`] puts it. On an error no file is left.
    pub(super) fn write(&self, sighting: Uuid, jpeg: &[u8]) -> Result<String, OutboxError> {
        let name = name(sighting);
        self.files.write(&name, jpeg).map(|()| name)
    }

    /// Gives a picture its name, once its row is durable.
    pub(super) fn commit(&self, name: &str) {
        self.files.commit(name);
    }

    /// Reads a picture; `None` where the file is missing.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, OutboxError> {
        self.files.read(name)
    }

    /// Deletes a picture that no row names any more. A failure is left to [`Pictures::tidy`].
    pub(super) fn remove(&self, name: &str) {
        self.files.remove(name);
    }

    /// Moves an acknowledged picture to the archive; one that cannot be moved is deleted.
    pub(super) fn archive(&self, name: &str) {
        let to = self.archive.join(name);
        let moved = std::fs::create_dir_all(&self.archive)
            .and_then(|()| std::fs::rename(self.files.path(name), &to))
            .or_else(|_| std::fs::rename(self.files.part(name), &to));
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

    /// Whether there is a picture that some database has accepted, pending or archived.
    pub(super) fn any_accepted(&self) -> Result<bool, OutboxError> {
        for folder in [self.files.folder(), &self.archive] {
            if names(folder)?.iter().any(|name| name.ends_with(EXTENSION)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Cleans up after a power cut, by what `row` says about each picture.
    pub(super) fn tidy(
        &self,
        row: impl Fn(&str) -> Result<Row, OutboxError>,
    ) -> Result<Tidied, OutboxError> {
        let mut tidied = Tidied::default();
        let mut parts = vec![];
        for found in self.files.list(EXTENSION)? {
            let Found {
                name,
                is_part,
                file,
            } = found;
            match row(&name)? {
                Row::Kept if is_part && self.files.path(&name).exists() => {
                    self.files.delete(&file)?;
                }
                Row::Kept if is_part => self.commit(&name),
                Row::Kept => {}
                Row::Archived => self.archive(&name),
                Row::Done => {
                    self.files.delete(&file)?;
                    tidied.deleted += 1;
                }
                Row::Unknown if is_part => parts.push(file),
                Row::Unknown => tidied.unknown.push(file),
            }
        }
        if tidied.unknown.is_empty() {
            // Their transactions did not commit.
            for part in &parts {
                self.files.delete(part)?;
            }
            tidied.deleted += parts.len();
        } else {
            tidied.unknown.extend(parts);
        }
        Ok(tidied)
    }
}

/// The name of the picture of a sighting.
pub(super) fn name(sighting: Uuid) -> String {
    format!("{sighting}{EXTENSION}")
}
