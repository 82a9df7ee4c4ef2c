//! The recordings: encounters as they were seen, kept on board with or without an identity.

use super::error::OutboxError;
use super::full_disk;
use super::key;
use super::queue::Queue;
use super::recording_files::RecordingFiles;
use super::reserve::Reserve;
use super::revise::revise;
use super::schema;
use crate::recording::{Recording, RecordingError};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::decision::Verdict;
use flukewatch_common::sighting::{MessageKind, Sighting};
use flukewatch_common::wire;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use std::path::{Path, PathBuf};
use std::time::Duration;
use uuid::Uuid;

/// Adds the row of a recording with its first message.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    sighting: Uuid,
    bytes: usize,
    message: &[u8],
) -> rusqlite::Result<usize> {
    transaction.execute(
        "INSERT INTO recording (sighting, bytes, message) VALUES (?, ?, ?)",
        params![sighting.as_bytes().as_slice(), bytes as i64, message],
    )
}

/// The size of the recordings that shore has not acknowledged, or that are still to be identified, in
/// bytes.
pub(super) fn unacknowledged_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let query = "SELECT coalesce(sum(r.bytes), 0) FROM recording r
                 WHERE r.stage = 0 OR EXISTS (SELECT 1 FROM pending p WHERE p.sighting = r.sighting)";
    connection
        .prepare_cached(query)?
        .query_row([], |row| row.get::<_, i64>(0))
        .map(i64::unsigned_abs)
}

/// How much of the acknowledged recordings is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordingLimits {
    /// The longest time since an encounter was recorded, by the outbox's clock.
    pub max_age: Duration,
    /// The total size of all recordings beyond which the oldest are deleted.
    pub max_bytes: u64,
}

/// A recorded encounter that is to be identified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenRecording {
    /// The id of its sighting.
    pub sighting: Uuid,
    /// How often its identification has begun.
    pub attempts: u32,
}

/// The outbox, opened to identify what it has recorded.
pub struct Recordings {
    folder: PathBuf,
    connection: Connection,
    files: RecordingFiles,
    reserve: Reserve,
}

impl Recordings {
    /// Opens the recordings of the outbox in `folder`.
    ///
    /// # Errors
    /// When the outbox is missing, or its database cannot be opened.
    pub fn open(folder: &Path) -> Result<Self, OutboxError> {
        let connection = schema::open(folder)?.ok_or_else(|| OutboxError::Lost {
            path: folder.to_owned(),
            reason: super::recover::NEW,
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            connection,
            files: RecordingFiles::of(folder),
            reserve: Reserve::of(folder),
        })
    }

    /// The oldest recorded encounter that is to be identified.
    ///
    /// # Errors
    /// When the database fails.
    pub fn next(&self) -> Result<Option<OpenRecording>, OutboxError> {
        let query =
            "SELECT r.sighting, r.attempts FROM recording r JOIN sighting s ON s.id = r.sighting
                     WHERE r.stage = 0 ORDER BY s.rowid LIMIT 1";
        self.connection
            .prepare_cached(query)
            .and_then(|mut statement| {
                statement
                    .query_row([], |row| {
                        Ok(OpenRecording {
                            sighting: key::uuid(row, 0)?,
                            attempts: row.get(1)?,
                        })
                    })
                    .optional()
            })
            .map_err(OutboxError::database(&self.folder))
    }

    /// The recordings of all sightings that are on board, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn all(&self) -> Result<Vec<Uuid>, OutboxError> {
        let query = "SELECT r.sighting FROM recording r JOIN sighting s ON s.id = r.sighting ORDER BY s.rowid";
        let failed = OutboxError::database(&self.folder);
        let mut statement = self.connection.prepare_cached(query).map_err(&failed)?;
        let rows = statement
            .query_map([], |row| key::uuid(row, 0))
            .map_err(&failed)?;
        rows.collect::<Result<_, _>>().map_err(&failed)
    }

    /// The newest revision of a recorded sighting; `None` where it is not recorded.
    ///
    /// # Errors
    /// When the database fails, or the message is damaged.
    pub fn newest(&self, sighting: Uuid) -> Result<Option<Sighting>, OutboxError> {
        let message: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT message FROM recording WHERE sighting = ?")
            .and_then(|mut statement| {
                statement
                    .query_row([sighting.as_bytes().as_slice()], |row| row.get(0))
                    .optional()
            })
            .map_err(OutboxError::database(&self.folder))?;
        Ok(message.map(|m| wire::decode(&m)).transpose()?)
    }

    /// Reads the recording of a sighting.
    ///
    /// # Errors
    /// When the disk fails; inside, when the recording is missing or damaged.
    pub fn load(&self, sighting: Uuid) -> Result<Result<Recording, RecordingError>, OutboxError> {
        let file = self.files.read(sighting)?;
        Ok(file
            .ok_or(RecordingError::Missing)
            .and_then(|file| Recording::from_file(&file)))
    }

    /// Counts an attempt before it begins, so that an encounter that brings the program down is not tried
    /// for ever. The count survives the program, but not a power cut, and costs no write to the disk.
    ///
    /// # Errors
    /// When the database fails.
    pub fn begin(&mut self, sighting: Uuid) -> Result<(), OutboxError> {
        full_disk::commit(self, Self::storage, |recordings| {
            recordings.count_attempt(sighting)
        })
    }

    fn count_attempt(&self, sighting: Uuid) -> Result<(), OutboxError> {
        let failed = OutboxError::database(&self.folder);
        let durable = |value: &str| {
            self.connection
                .pragma_update(None, "synchronous", value)
                .map_err(&failed)
        };
        durable("NORMAL")?;
        let counted = self
            .connection
            .prepare_cached("UPDATE recording SET attempts = attempts + 1 WHERE sighting = ?")
            .and_then(|mut statement| statement.execute([sighting.as_bytes().as_slice()]));
        durable("FULL")?;
        counted.map(drop).map_err(&failed)
    }

    /// Applies `identity` to a recorded sighting, and queues the result as its next revision. Returns the
    /// revised sighting; `None` where it is not on board any more, or where it was identified meanwhile
    /// and `again` is not set.
    ///
    /// # Errors
    /// When the database fails; then nothing is changed.
    pub fn conclude(
        &mut self,
        sighting: Uuid,
        again: bool,
        identity: impl Fn(&mut Sighting),
    ) -> Result<Option<Sighting>, OutboxError> {
        full_disk::commit(self, Self::storage, |recordings| {
            recordings.try_conclude(sighting, again, &identity)
        })
    }

    fn try_conclude(
        &mut self,
        sighting: Uuid,
        again: bool,
        identity: impl Fn(&mut Sighting),
    ) -> Result<Option<Sighting>, OutboxError> {
        let folder = self.folder.clone();
        let failed = OutboxError::database(&folder);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&failed)?;
        let concluded = conclude(&transaction, sighting, again, identity).map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        Ok(concluded)
    }

    /// What [`full_disk::commit`] needs.
    fn storage(&self) -> (&Connection, &Reserve) {
        (&self.connection, &self.reserve)
    }
}

fn conclude(
    transaction: &Transaction<'_>,
    sighting: Uuid,
    again: bool,
    identity: impl FnOnce(&mut Sighting),
) -> rusqlite::Result<Option<Sighting>> {
    let id = sighting.as_bytes().as_slice();
    let stage: Option<i64> = transaction
        .prepare_cached("SELECT stage FROM recording WHERE sighting = ?")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    if stage.is_none_or(|stage| stage != 0 && !again) {
        return Ok(None);
    }
    let revised = revise(transaction, sighting, identity)?;
    send_dead_letter(transaction, id)?;
    // One that cannot be revised, e.g. a dead letter of another version, is not tried for ever.
    let stage = match &revised {
        Some(sighting) if !matches!(sighting.verdict, Verdict::Unidentified { .. }) => 1,
        Some(_) | None => 2,
    };
    transaction
        .prepare_cached("UPDATE recording SET stage = ? WHERE sighting = ?")?
        .execute(params![stage, id])?;
    transaction
        .prepare_cached("UPDATE pending SET held = 0 WHERE sighting = ?")?
        .execute([id])?;
    Ok(revised)
}

/// Gives a revision another chance whose sighting is a dead letter: shore may take it, e.g. one with a
/// verdict where it knows none without.
fn send_dead_letter(transaction: &Transaction<'_>, id: &[u8]) -> rusqlite::Result<()> {
    let part = key::part_number(MessageKind::Sighting);
    // One that does not fit on the wire is stored as JSON, and cannot be revised.
    let moved = transaction
        .prepare_cached(
            "INSERT INTO pending (sighting, part, revision, priority, bytes, message)
             SELECT sighting, part, revision, part, bytes, message FROM dead_letter
             WHERE sighting = ?1 AND part = ?2 AND substr(message, 1, 4) = X'464C4B57'",
        )?
        .execute(params![id, part])?;
    if moved > 0 {
        transaction
            .prepare_cached("DELETE FROM dead_letter WHERE sighting = ?1 AND part = ?2")?
            .execute(params![id, part])?;
    }
    Ok(())
}

impl Queue {
    /// Deletes recordings beyond `limits`, oldest first, at `now` by the outbox's clock; never one that
    /// shore has not acknowledged or that is to be identified, and one that shore has requested only where
    /// nothing is to be kept, e.g. on a full disk. Returns how many were deleted.
    ///
    /// # Errors
    /// When the database fails.
    pub fn prune_recordings(
        &mut self,
        limits: RecordingLimits,
        now: Timestamp,
    ) -> Result<usize, OutboxError> {
        let folder = self.folder().to_owned();
        let failed = OutboxError::database(&folder);
        let max_age = i64::try_from(limits.max_age.as_millis()).unwrap_or(i64::MAX);
        let max_bytes = i64::try_from(limits.max_bytes).unwrap_or(i64::MAX);
        let oldest = now.0.saturating_sub(max_age);
        // Summed from the newest.
        let query = "WITH kept AS (SELECT r.sighting, r.stage, s.accepted_at,
                       sum(r.bytes) OVER (ORDER BY s.rowid DESC) AS upto
                       FROM recording r JOIN sighting s ON s.id = r.sighting)
                     DELETE FROM recording WHERE sighting IN (SELECT k.sighting FROM kept k
                       WHERE (k.upto > ?1 OR k.accepted_at < ?2) AND k.stage <> 0
                       AND NOT EXISTS (SELECT 1 FROM pending p WHERE p.sighting = k.sighting)
                       AND NOT EXISTS (SELECT 1 FROM dead_letter d WHERE d.sighting = k.sighting)
                       AND (?1 = 0 OR NOT EXISTS (SELECT 1 FROM requested_file q
                         WHERE q.sighting = k.sighting AND q.kept_until >= ?3)))
                     RETURNING sighting";
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&failed)?;
        let deleted: Vec<Uuid> = {
            let mut statement = transaction.prepare_cached(query).map_err(&failed)?;
            let rows = statement
                .query_map(params![max_bytes, oldest, now.0], |row| key::uuid(row, 0))
                .map_err(&failed)?;
            rows.collect::<Result<_, _>>().map_err(&failed)?
        };
        for id in &deleted {
            transaction
                .prepare_cached("INSERT OR IGNORE INTO deleted_recording VALUES (?)")
                .and_then(|mut statement| statement.execute([id.as_bytes().as_slice()]))
                .map_err(&failed)?;
        }
        transaction.commit().map_err(&failed)?;
        let files = RecordingFiles::of(&folder);
        deleted.iter().for_each(|id| files.remove(*id));
        Ok(deleted.len())
    }
}

#[cfg(test)]
mod tests;
