//! The files of encounters that shore has requested: where they are, and that they are kept meanwhile.

use super::error::OutboxError;
use super::queue::Queue;
use super::recording_files::RecordingFiles;
use crate::clip::{ClipError, ClipFolder};
use crate::recording::Recording;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::file_transfer::{Command, EncounterFile, RequestedFile, UnavailableReason};
use rusqlite::{TransactionBehavior, params};
use std::path::PathBuf;
use uuid::Uuid;

/// The longest time for which a requested file is kept, in milliseconds of operation.
const MAX_KEPT_MILLIS: i64 = 30 * 24 * 3_600_000;

impl Queue {
    /// Keeps the files of `command` from being deleted because of their age or size until their requests
    /// expire, and no others; none without a command. `now` is by the outbox's clock. Returns `false`, and changes
    /// nothing, where a later command has been received, perhaps before a restart.
    ///
    /// # Errors
    /// When the database fails.
    pub fn keep_requested_files(
        &mut self,
        command: Option<&Command>,
        now: Timestamp,
    ) -> Result<bool, OutboxError> {
        let mut rows = vec![];
        for file in command.into_iter().flat_map(|command| &command.files) {
            rows.push((file, self.clip_name(file)?));
        }
        let folder = self.folder().to_owned();
        let failed = OutboxError::database(&folder);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&failed)?;
        let kept: rusqlite::Result<bool> = (|| {
            if let Some(Command { issued, .. }) = command {
                let query = "UPDATE command SET issued = ?1 WHERE issued <= ?1";
                if transaction.execute(query, [issued.0])? == 0 {
                    return Ok(false);
                }
                transaction.execute("DELETE FROM requested_file", [])?;
                for (file, clip) in rows {
                    let left = file.expires.millis_since(*issued);
                    let until = now.plus_millis(left.clamp(0, MAX_KEPT_MILLIS));
                    let sighting = file.sighting.as_bytes().as_slice();
                    transaction.execute(
                        "INSERT INTO requested_file (sighting, clip, kept_until) VALUES (?, ?, ?)",
                        params![sighting, clip, until.0],
                    )?;
                }
            } else {
                transaction.execute("DELETE FROM requested_file", [])?;
            }
            Ok(true)
        })();
        let kept = kept.map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        Ok(kept)
    }

    /// The name of a requested clip; `None` for crops, and without a clip.
    fn clip_name(&self, file: &RequestedFile) -> Result<Option<String>, OutboxError> {
        if file.file != EncounterFile::Clip {
            return Ok(None);
        }
        let path = self.requested_path(file.sighting, file.file)?.ok();
        let name = path.as_deref().and_then(|path| path.file_name());
        Ok(name.map(|name| name.to_string_lossy().into_owned()))
    }

    /// The names of the clips that shore has requested and that are kept at `now` by the outbox's clock.
    ///
    /// # Errors
    /// When the database fails.
    pub fn requested_clips(&self, now: Timestamp) -> Result<Vec<String>, OutboxError> {
        let failed = OutboxError::database(self.folder());
        let query = "SELECT clip FROM requested_file WHERE clip IS NOT NULL AND kept_until >= ?";
        let mut statement = self.connection.prepare_cached(query).map_err(&failed)?;
        let rows = statement
            .query_map([now.0], |row| row.get(0))
            .map_err(&failed)?;
        rows.collect::<Result<_, _>>().map_err(&failed)
    }

    /// Where a file of a sighting's encounter is, or why it cannot be sent.
    ///
    /// # Errors
    /// When the database or the disk fails.
    pub fn requested_path(
        &self,
        sighting: Uuid,
        file: EncounterFile,
    ) -> Result<Result<PathBuf, UnavailableReason>, OutboxError> {
        let id = sighting.as_bytes().as_slice();
        let (known, deleted): (bool, bool) = self
            .connection
            .query_row(
                "SELECT EXISTS (SELECT 1 FROM sighting WHERE id = ?1),
                 EXISTS (SELECT 1 FROM deleted_recording WHERE sighting = ?1)",
                [id],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .map_err(OutboxError::database(self.folder()))?;
        if !known {
            return Ok(Err(UnavailableReason::UnknownSighting));
        }
        let files = RecordingFiles::of(self.folder());
        // Which clip is a sighting's says its recording.
        let Some(path) = files.find(sighting) else {
            return Ok(Err(match deleted {
                true => UnavailableReason::Deleted,
                false => UnavailableReason::NotRecorded,
            }));
        };
        if file == EncounterFile::Crops {
            return Ok(Ok(path));
        }
        let recording = files
            .read(sighting)?
            .map(|bytes| Recording::from_file(&bytes));
        let Some(Ok(recording)) = recording else {
            return Ok(Err(UnavailableReason::Unreadable));
        };
        match ClipFolder::of(self.folder()).clip_of(&recording) {
            Ok(found) => Ok(found),
            Err(ClipError::File { path, source }) => Err(OutboxError::disk(&path)(source)),
            Err(_) => Ok(Err(UnavailableReason::Unreadable)),
        }
    }
}

#[cfg(test)]
mod tests;
