//! The folder of pending pictures.
//!
//! A picture is complete and durable as `ID.jpg.part` before a row names it, and gets its name
//! `ID.jpg` once that row is durable, too. So a picture with that name was accepted: where the
//! database does not know it, the database is not the one that accepted it.

use super::error::OutboxError;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use uuid::Uuid;

const PART: &str = ".part";

pub(super) struct Pictures {
    folder: PathBuf,
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
            folder: outbox.join("pictures"),
            archive: outbox.join("archive"),
        }
    }

    /// Creates the folder where it is missing.
    pub(super) fn create_folder(&self) -> Result<(), OutboxError> {
        super::folder::create(&self.folder).map(drop)
    }

    /// Writes the picture of `sighting` durably and returns its file name, under which
    /// [`Pictures::commit`] puts it. On an error no file is left.
    pub(super) fn write(&self, sighting: Uuid, jpeg: &[u8]) -> Result<String, OutboxError> {
        let name = format!("{sighting}.jpg");
        let part = self.part(&name);
        let written = (|| {
            let mut file = File::create(&part)?;
            file.write_all(jpeg)?;
            file.sync_all()?;
            File::open(&self.folder)?.sync_all()
        })();
        written.map_err(|e| {
            let _ = std::fs::remove_file(&part);
            OutboxError::disk(&self.folder.join(&name))(e)
        })?;
        Ok(name)
    }

    /// Gives a picture its name, once its row is durable. Where that fails, [`Pictures::read`] finds
    /// it all the same, and [`Pictures::tidy`] repeats it.
    pub(super) fn commit(&self, name: &str) {
        if let Err(error) = std::fs::rename(self.part(name), self.folder.join(name)) {
            tracing::warn!(picture = name, %error, "cannot rename an accepted picture");
        }
    }

    fn part(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}{PART}"))
    }

    /// Reads a picture; `None` where the file is missing.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, OutboxError> {
        let path = self.folder.join(name);
        // It may be renamed between two attempts.
        for path in [&path, &self.part(name), &path] {
            match std::fs::read(path) {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(OutboxError::disk(path)(e)),
            }
        }
        Ok(None)
    }

    /// Deletes a picture that no row names any more. A failure is left to [`Pictures::tidy`].
    pub(super) fn remove(&self, name: &str) {
        for path in [self.part(name), self.folder.join(name)] {
            if let Err(e) = std::fs::remove_file(path)
                && e.kind() != ErrorKind::NotFound
            {
                tracing::warn!(picture = name, error = %e, "cannot delete an acknowledged picture");
            }
        }
    }

    /// Moves an acknowledged picture to the archive; one that cannot be moved is deleted.
    pub(super) fn archive(&self, name: &str) {
        let to = self.archive.join(name);
        let moved = std::fs::create_dir_all(&self.archive)
            .and_then(|()| std::fs::rename(self.folder.join(name), &to))
            .or_else(|_| std::fs::rename(self.part(name), &to));
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
        for folder in [&self.folder, &self.archive] {
            if names(folder)?.iter().any(|name| name.ends_with(".jpg")) {
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
        for file in names(&self.folder)? {
            let name = file.strip_suffix(PART).unwrap_or(&file);
            if !name.ends_with(".jpg") {
                continue;
            }
            let is_part = name != file;
            match row(name)? {
                Row::Kept if is_part && self.folder.join(name).exists() => self.delete(&file)?,
                Row::Kept if is_part => self.commit(name),
                Row::Kept => {}
                Row::Archived => self.archive(name),
                Row::Done => {
                    self.delete(&file)?;
                    tidied.deleted += 1;
                }
                Row::Unknown if is_part => parts.push(file),
                Row::Unknown => tidied.unknown.push(file),
            }
        }
        if tidied.unknown.is_empty() {
            // Their transactions did not commit.
            for part in &parts {
                self.delete(part)?;
            }
            tidied.deleted += parts.len();
        } else {
            tidied.unknown.extend(parts);
        }
        Ok(tidied)
    }

    fn delete(&self, file: &str) -> Result<(), OutboxError> {
        let path = self.folder.join(file);
        std::fs::remove_file(&path).map_err(OutboxError::disk(&path))
    }
}

/// The names of the files in `folder`; none where it is missing.
fn names(folder: &Path) -> Result<Vec<String>, OutboxError> {
    let failed = OutboxError::disk(folder);
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(vec![]),
        Err(e) => return Err(failed(e)),
    };
    let mut names = vec![];
    for entry in entries {
        let entry = entry.map_err(&failed)?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}
