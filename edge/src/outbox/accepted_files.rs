//! Files that belong to rows of the database.
//!
//! A file is complete and durable as `NAME.part` before a row names it, and gets its name once that row
//! is durable, too. So a file with its name was accepted: where the database does not know it, the
//! database is not the one that accepted it.

use super::error::OutboxError;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

const PART: &str = ".part";

/// A folder of such files.
pub(super) struct AcceptedFiles {
    folder: PathBuf,
}

impl AcceptedFiles {
    pub(super) fn of(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Creates the folder where it is missing.
    pub(super) fn create_folder(&self) -> Result<(), OutboxError> {
        super::folder::create(&self.folder).map(drop)
    }

    /// Writes a file durably, to be committed. On an error no file is left.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), OutboxError> {
        let part = self.part(name);
        let written = (|| {
            let mut file = File::create(&part)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            File::open(&self.folder)?.sync_all()
        })();
        written.map_err(|e| {
            let _ = std::fs::remove_file(&part);
            OutboxError::disk(&self.path(name))(e)
        })
    }

    /// Gives a file its name, once its row is durable. Where that fails, [`AcceptedFiles::read`] finds
    /// it all the same, and the next start repeats it.
    pub(super) fn commit(&self, name: &str) {
        if let Err(error) = std::fs::rename(self.part(name), self.path(name)) {
            tracing::warn!(file = name, %error, "cannot rename an accepted file");
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The path of a file that is not committed yet.
    pub(super) fn part(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}{PART}"))
    }

    /// Reads a file; `None` where it is missing.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, OutboxError> {
        let path = self.path(name);
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

    /// Deletes a file that no row names any more. A failure is left to the next start.
    pub(super) fn remove(&self, name: &str) {
        for path in [self.part(name), self.path(name)] {
            if let Err(error) = std::fs::remove_file(path)
                && error.kind() != ErrorKind::NotFound
            {
                tracing::warn!(file = name, %error, "cannot delete a file of the outbox");
            }
        }
    }

    /// Deletes a file by its name on the disk.
    pub(super) fn delete(&self, file: &str) -> Result<(), OutboxError> {
        let path = self.path(file);
        std::fs::remove_file(&path).map_err(OutboxError::disk(&path))
    }

    /// The files with `extension`, committed or not; none where the folder is missing.
    pub(super) fn list(&self, extension: &str) -> Result<Vec<Found>, OutboxError> {
        let names = names(&self.folder)?;
        let found = names.into_iter().filter_map(|file| {
            let name = file.strip_suffix(PART).unwrap_or(&file);
            name.ends_with(extension).then(|| Found {
                name: name.to_owned(),
                is_part: name != file,
                file: file.clone(),
            })
        });
        Ok(found.collect())
    }
}

/// A file on the disk.
pub(super) struct Found {
    /// Its name once it is committed.
    pub(super) name: String,
    /// Whether it is not committed.
    pub(super) is_part: bool,
    /// Its name on the disk.
    pub(super) file: String,
}

/// The names of the files in `folder`; none where it is missing.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, OutboxError> {
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
