//! Brings back what shore has not acknowledged from an outbox that was set aside.
//!
//! Of a damaged database most pages can be read. Each message in them is added to the outbox in use, under the epoch and number
//! that it had, and so it arrives as if nothing had happened. What was set aside stays as it is, for people.

mod damaged;

use super::error::OutboxError;
use super::key::part_number;
use super::pictures::Pictures;
use super::recording_files::RecordingFiles;
use super::reserve::Reserve;
use super::schema;
use super::set_aside::{self, Salvaged};
use crate::cancellation::CancellationToken;
use damaged::{DamagedDatabase, OldMessage, OldRecording, OldSighting};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::{BoatId, MessageKind};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use std::path::Path;
use uuid::Uuid;

/// Messages per transaction: few, so that encounters are recorded meanwhile.
const BATCH: usize = 32;

/// Adds the messages that can be read of the outbox in `aside` to that of `boat` in `outbox`, also while the boat works, and notes that in
/// `aside`. Messages that are there already are left alone. `now` is by the outbox's clock. `None` when it was cancelled.
///
/// # Errors
/// When the outbox cannot be written, e.g. on a full disk; another attempt continues.
pub fn salvage(
    outbox: &Path,
    boat: &BoatId,
    aside: &Path,
    now: Timestamp,
    stop: &CancellationToken,
) -> Result<Option<Salvaged>, OutboxError> {
    let mut salvaged = Salvaged::default();
    if let Some(old) = DamagedDatabase::open(aside)? {
        let connection = schema::open(outbox)?.ok_or_else(|| OutboxError::Lost {
            path: outbox.to_owned(),
            reason: super::recover::NEW,
        })?;
        let mut salvage = Salvage {
            outbox,
            boat,
            now,
            old: &old,
            connection,
            pictures: (Pictures::of(aside), Pictures::of(outbox)),
            recordings: (RecordingFiles::of(aside), RecordingFiles::of(outbox)),
            reserve: Reserve::of(outbox),
        };
        let (mut batch, mut unknown) = (vec![], 0);
        let complete = old.messages(|message| {
            batch.push(message);
            if batch.len() == BATCH && !stop.is_cancelled() {
                let (added, left) = salvage.add(std::mem::take(&mut batch))?;
                salvaged.messages += added;
                unknown += left;
            }
            // The rest of a cancelled salvage is read and dropped.
            if stop.is_cancelled() {
                batch.clear();
            }
            Ok(())
        })?;
        if stop.is_cancelled() {
            return Ok(None);
        }
        let (added, left) = salvage.add(batch)?;
        salvaged.messages += added;
        salvaged.complete = complete && unknown + left == 0;
    }
    set_aside::note_salvaged(aside, &salvaged)?;
    Ok(Some(salvaged))
}

struct Salvage<'a> {
    outbox: &'a Path,
    boat: &'a BoatId,
    now: Timestamp,
    old: &'a DamagedDatabase,
    connection: Connection,
    /// The folders that was set aside and that is in use.
    pictures: (Pictures, Pictures),
    recordings: (RecordingFiles, RecordingFiles),
    reserve: Reserve,
}

/// A message with what belongs to it.
struct Found {
    message: OldMessage,
    sighting: OldSighting,
    /// The size of its picture's file.
    picture: Option<usize>,
    /// The recording of the sighting, and the size of its file.
    recording: Option<(OldRecording, usize)>,
}

impl Salvage<'_> {
    /// Adds `batch` in one transaction. Returns how many messages were added, and how many cannot be.
    fn add(&mut self, batch: Vec<OldMessage>) -> Result<(u64, u64), OutboxError> {
        let all = batch.len() as u64;
        self.reserve.keep()?;
        let mut found = vec![];
        let mut present = 0;
        for message in batch {
            if self.is_present(message.sighting, message.part)? {
                present += 1;
            } else if let Some(message) = self.find(message)? {
                found.push(message);
            }
        }
        let inserted = self.insert(&found);
        let none = vec![false; found.len()];
        for (found, &added) in found.iter().zip(inserted.as_ref().unwrap_or(&none)) {
            let id = found.message.sighting;
            let name = super::pictures::name(id);
            match (added, found.picture, &found.recording) {
                (true, Some(_), _) => self.pictures.1.commit(&name),
                (false, Some(_), _) => self.pictures.1.remove(&name),
                (true, _, Some(_)) => self.recordings.1.commit(id),
                (false, _, Some(_)) => self.recordings.1.remove(id),
                (_, None, None) => {}
            }
        }
        let added = inserted?.into_iter().filter(|added| *added).count() as u64;
        Ok((added, all - present - added))
    }

    fn is_present(&self, sighting: Uuid, part: MessageKind) -> Result<bool, OutboxError> {
        let query = "SELECT EXISTS (SELECT 1 FROM pending WHERE sighting = ?1 AND part = ?2)
                     OR EXISTS (SELECT 1 FROM dead_letter WHERE sighting = ?1 AND part = ?2)";
        let parameters = params![sighting.as_bytes().as_slice(), part_number(part)];
        self.connection
            .prepare_cached(query)
            .and_then(|mut statement| statement.query_row(parameters, |row| row.get(0)))
            .map_err(OutboxError::database(self.outbox))
    }

    /// Finds what belongs to a message, and copies its files; `None` where it cannot be sent.
    fn find(&self, message: OldMessage) -> Result<Option<Found>, OutboxError> {
        let id = message.sighting;
        let sighting = self.old.sighting(id);
        let sighting = sighting.or_else(|| message.described(self.now));
        let Some(sighting) = sighting.filter(|s| s.boat == self.boat.as_str()) else {
            return Ok(None);
        };
        let mut picture = None;
        if message.is_picture_file {
            let Some(jpeg) = self.pictures.0.read(&super::pictures::name(id))? else {
                return Ok(None);
            };
            self.pictures.1.write(id, &jpeg)?;
            picture = Some(jpeg.len());
        }
        let mut recording = None;
        if message.part == MessageKind::Sighting
            && let Some(row) = self.old.recording(id)
            && let Some(file) = self.recordings.0.read(id)?
        {
            self.recordings.1.write(id, &file)?;
            recording = Some((row, file.len()));
        }
        Ok(Some(Found {
            message,
            sighting,
            picture,
            recording,
        }))
    }

    /// Adds the rows of each message, in one transaction. Returns for which of them.
    fn insert(&mut self, found: &[Found]) -> Result<Vec<bool>, OutboxError> {
        let failed = OutboxError::database(self.outbox);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&failed)?;
        let added = found
            .iter()
            .map(|found| insert(&transaction, found, self.now).map_err(&failed))
            .collect::<Result<_, _>>()?;
        transaction.commit().map_err(&failed)?;
        Ok(added)
    }
}

/// Adds the rows of a message, unless another sighting has its number.
fn insert(transaction: &Transaction<'_>, found: &Found, now: Timestamp) -> rusqlite::Result<bool> {
    let Found {
        message,
        sighting,
        picture,
        recording,
    } = found;
    let id = message.sighting.as_bytes().as_slice();
    let known = "SELECT EXISTS (SELECT 1 FROM sighting WHERE id = ?)";
    let known: bool = transaction.query_row(known, [id], |row| row.get(0))?;
    if !known {
        let epoch = epoch(transaction, sighting)?;
        let OldSighting {
            boat,
            sequence,
            started_at,
            accepted_at,
            ..
        } = sighting;
        let inserted = transaction.execute(
            "INSERT OR IGNORE INTO sighting (boat, epoch, sequence, id, started_at, accepted_at) VALUES (?, ?, ?, ?, ?, ?)",
            params![boat, epoch, sequence, id, started_at, accepted_at],
        )?;
        if inserted == 0 {
            return Ok(false);
        }
    }
    let OldMessage {
        part,
        revision,
        message: bytes,
        sha256,
        dead,
        ..
    } = message;
    let part = part_number(*part);
    let size = picture.or(bytes.as_ref().map(Vec::len)).unwrap_or(0) as i64;
    let file = picture.map(|_| super::pictures::name(message.sighting));
    match dead {
        None => transaction.execute(
            "INSERT INTO pending (sighting, part, revision, priority, bytes, message, picture, sha256) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![id, part, revision, part, size, bytes, file, sha256],
        ),
        Some(reason) => transaction.execute(
            "INSERT INTO dead_letter (sighting, part, revision, bytes, message, picture, sha256, reason, moved_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![id, part, revision, size, bytes, file, sha256, reason, now.0],
        ),
    }?;
    if let Some((recording, size)) = recording {
        let OldRecording {
            message,
            stage,
            attempts,
        } = recording;
        transaction.execute(
            "INSERT OR IGNORE INTO recording (sighting, bytes, message, stage, attempts) VALUES (?, ?, ?, ?, ?)",
            params![id, *size as i64, message, stage, attempts],
        )?;
    }
    Ok(true)
}

/// The number of the epoch of an old sighting; one that is not there yet comes before all others.
fn epoch(transaction: &Transaction<'_>, sighting: &OldSighting) -> rusqlite::Result<i64> {
    let id = sighting.epoch.as_bytes().as_slice();
    let known = "SELECT number FROM epoch WHERE id = ?";
    let known = transaction.query_row(known, [id], |row| row.get(0));
    match known.optional()? {
        Some(number) => Ok(number),
        None => transaction.query_row(
            "INSERT INTO epoch (number, id, begun_at) SELECT min(number) - 1, ?, ? FROM epoch RETURNING number",
            params![id, sighting.begun_at],
            |row| row.get(0),
        ),
    }
}

#[cfg(test)]
mod tests;
