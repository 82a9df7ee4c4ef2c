//! The folder of the recordings.

use super::accepted_files::{AcceptedFiles, Found};
use super::error::OutboxError;
use super::pictures::Row;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The end of a recording's name.
const EXTENSION: &str = ".tar";

/// The folder of the recordings.
pub(super) struct RecordingFiles(AcceptedFiles);

impl RecordingFiles {
    /// The recordings of the outbox in `outbox`.
    pub(super) fn of(outbox: &Path) -> Self {
        Self(AcceptedFiles::of(outbox.join("recordings")))
    }

    /// Creates the folder where it is missing.
    pub(super) fn create_folder(&self) -> Result<(), OutboxError> {
        self.0.create_folder()
    }

    /// Writes the recording of `sighting` durably, to be committed.
    pub(super) fn write(&self, sighting: Uuid, file: &[u8]) -> Result<(), OutboxError> {
        self.0.write(&name(sighting), file)
    }

    /// Gives a recording its name, once its row is durable.
    pub(super) fn commit(&self, sighting: Uuid) {
        self.0.commit(&name(sighting));
    }

    /// Deletes a recording that no row names any more.
    pub(super) fn remove(&self, sighting: Uuid) {
        self.0.remove(&name(sighting));
    }

    /// Reads a recording; `None` where it is missing.
    pub(super) fn read(&self, sighting: Uuid) -> Result<Option<Vec<u8>>, OutboxError> {
        self.0.read(&name(sighting))
    }

    /// Where a recording is; `None` where it is missing.
    pub(super) fn find(&self, sighting: Uuid) -> Option<PathBuf> {
        let name = name(sighting);
        // The latter until its row is durable.
        let paths = [self.0.path(&name), self.0.part(&name)];
        paths.into_iter().find(|path| path.is_file())
    }

    /// Cleans up after a power cut, by what `row` says about each recording. Returns the accepted ones
    /// that are unknown, relative to the outbox.
    pub(super) fn tidy(
        &self,
        row: impl Fn(Uuid) -> Result<Row, OutboxError>,
    ) -> Result<Vec<PathBuf>, OutboxError> {
        let mut unknown = vec![];
        for found in self.0.list(EXTENSION)? {
            let Found {
                name,
                is_part,
                file,
            } = found;
            let id = name.strip_suffix(EXTENSION).and_then(|id| id.parse().ok());
            match id.map(&row).transpose()? {
                Some(Row::Kept | Row::Archived) if is_part => self.0.commit(&name),
                Some(Row::Kept | Row::Archived) => {}
                Some(Row::Unknown) | None if !is_part => {
                    unknown.push(Path::new("recordings").join(file));
                }
                // Its transaction did not commit, or its row was deleted.
                Some(Row::Done | Row::Unknown) | None => self.0.delete(&file)?,
            }
        }
        Ok(unknown)
    }
}

/// The name of the recording of a sighting.
pub(super) fn name(sighting: Uuid) -> String {
    format!("{sighting}{EXTENSION}")
}
