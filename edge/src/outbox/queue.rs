//! Giving messages out, and forgetting them on shore's receipt.

use super::pictures::Pictures;
use super::reserve::Reserve;
use super::{OutboxError, archive, schema};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::{BoatId, Part, Picture};
use flukewatch_common::wire::{self, WireError};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Which message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Of which sighting.
    pub sighting: Uuid,
    /// Which part of it.
    pub part: Part,
}

/// A message that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Which.
    pub key: Key,
    /// About how large, in bytes.
    pub bytes: u64,
}

/// What a message turned out to be when it was to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Load {
    /// The envelope.
    Message(Vec<u8>),
    /// Receipted meanwhile.
    Gone,
    /// It can never be sent, for this reason.
    Unsendable(String),
}

/// How many messages there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sightings that wait for their receipt.
    pub sightings: u64,
    /// Pictures that do.
    pub pictures: u64,
    /// Dead letters.
    pub dead: u64,
    /// Sightings ever taken in.
    pub accepted: u64,
}

impl Counts {
    /// All messages that wait.
    pub fn queued(&self) -> u64 {
        self.sightings + self.pictures
    }
}

/// The outbox, opened to send from.
pub struct Queue {
    folder: PathBuf,
    boat: BoatId,
    pub(super) connection: Connection,
    pub(super) pictures: Pictures,
    reserve: Reserve,
    archives: bool,
}

/// How much waits, and for how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Bytes of what waits for its receipt.
    pub bytes: u64,
    /// When the oldest of it was taken in, by the computer's clock of that time.
    pub oldest: Option<Timestamp>,
    /// Sightings in the archive.
    pub archived: u64,
    /// Their bytes.
    pub archived_bytes: u64,
}

impl Queue {
    pub(super) fn open(folder: &Path, boat: BoatId) -> Result<Self, OutboxError> {
        let connection = schema::open(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            boat,
            connection,
            pictures: Pictures::of(folder),
            reserve: Reserve::of(folder),
            archives: false,
        })
    }

    /// From now on what is receipted goes to the archive.
    pub fn archives(mut self) -> Self {
        self.archives = true;
        self
    }

    /// The outbox's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Commits a change that changes nothing, which shows that the disk takes commits.
    ///
    /// # Errors
    /// When it does not.
    pub fn prove(&mut self) -> Result<(), OutboxError> {
        self.connection
            .pragma_update(None, "user_version", schema::VERSION)
            .map_err(OutboxError::database(&self.folder))
    }

    /// How much waits, and for how long.
    ///
    /// # Errors
    /// When the database fails.
    pub fn backlog(&self) -> Result<Backlog, OutboxError> {
        let query = "SELECT (SELECT coalesce(sum(bytes), 0) FROM outbox),
                     (SELECT min(s.committed) FROM outbox o JOIN sighting s ON s.id = o.sighting),
                     (SELECT count(*) FROM archive), (SELECT coalesce(sum(bytes), 0) FROM archive)";
        let number = |row: &rusqlite::Row<'_>, i| row.get::<_, i64>(i).map(i64::unsigned_abs);
        self.connection
            .query_row(query, [], |row| {
                Ok(Backlog {
                    bytes: number(row, 0)?,
                    oldest: row.get::<_, Option<i64>>(1)?.map(Timestamp),
                    archived: number(row, 2)?,
                    archived_bytes: number(row, 3)?,
                })
            })
            .map_err(OutboxError::database(&self.folder))
    }

    /// Whose messages these are.
    pub fn boat(&self) -> &BoatId {
        &self.boat
    }

    /// Up to `most` messages to send next that are not `under_way`: sightings before pictures, older before newer.
    ///
    /// # Errors
    /// When the database fails.
    pub fn next(&self, under_way: &HashSet<Key>, most: usize) -> Result<Vec<Queued>, OutboxError> {
        let failed = OutboxError::database(&self.folder);
        let query = "SELECT sighting, part, bytes FROM outbox ORDER BY priority, number LIMIT ?";
        let mut statement = self.connection.prepare_cached(query).map_err(&failed)?;
        let limit = i64::try_from(under_way.len() + most).unwrap_or(i64::MAX);
        let rows = statement
            .query_map([limit], |row| {
                let key = Key {
                    sighting: uuid(row, 0)?,
                    part: part(row, 1)?,
                };
                Ok(Queued {
                    key,
                    bytes: row.get::<_, i64>(2)?.unsigned_abs(),
                })
            })
            .map_err(&failed)?;
        let mut queued = rows.collect::<Result<Vec<_>, _>>().map_err(&failed)?;
        queued.retain(|q| !under_way.contains(&q.key));
        queued.truncate(most);
        Ok(queued)
    }

    /// The message as it goes out.
    ///
    /// # Errors
    /// When the database or the disk fails.
    pub fn load(&self, key: Key) -> Result<Load, OutboxError> {
        type Row = (Option<Vec<u8>>, Option<String>, Option<Vec<u8>>);
        let query = "SELECT message, picture, sha256 FROM outbox WHERE sighting = ? AND part = ?";
        let row: Option<Row> = self
            .connection
            .prepare_cached(query)
            .and_then(|mut s| {
                s.query_row(
                    params![key.sighting.as_bytes().as_slice(), part_number(key.part)],
                    |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)),
                )
                .optional()
            })
            .map_err(OutboxError::database(&self.folder))?;
        let (file, sha256) = match row {
            None => return Ok(Load::Gone),
            Some((Some(message), ..)) if message.len() > wire::MAX_MESSAGE => {
                return Ok(Load::Unsendable(
                    WireError::TooLarge(message.len()).to_string(),
                ));
            }
            Some((Some(message), ..)) => return Ok(Load::Message(message)),
            Some((None, file, sha256)) => (file.unwrap_or_default(), sha256.unwrap_or_default()),
        };
        let Some(jpeg) = self.pictures.read(&file)? else {
            return Ok(Load::Unsendable(format!("the picture file {file} is gone")));
        };
        if Sha256::digest(&jpeg).as_slice() != sha256 {
            return Ok(Load::Unsendable(format!(
                "the picture file {file} is damaged: its SHA-256 is another"
            )));
        }
        let picture = Picture {
            sighting: key.sighting,
            boat: self.boat.clone(),
            jpeg,
        };
        match wire::encode(&picture) {
            Ok(message) => Ok(Load::Message(message)),
            Err(e @ WireError::TooLarge(_)) => Ok(Load::Unsendable(e.to_string())),
            Err(e) => Err(e.into()),
        }
    }

    /// Shore has stored these: forgets them. Keys that do not wait here are passed over. Returns how many did.
    ///
    /// # Errors
    /// When the database fails; then all of them still wait.
    pub fn receipted(&mut self, keys: &[Key]) -> Result<usize, OutboxError> {
        match self.forget(keys, self.archives) {
            Err(OutboxError::Full { .. }) if self.archives => self.receipted_on_full_disk(keys),
            // The disk is full: this is what its reserve is for. [`Outbox`](super::Outbox) keeps it back again.
            Err(OutboxError::Full { .. }) if self.reserve.release() => self.forget(keys, false),
            done => done,
        }
    }

    /// Nothing is archived where there is no room.
    fn receipted_on_full_disk(&mut self, keys: &[Key]) -> Result<usize, OutboxError> {
        match self.forget(keys, false) {
            Err(OutboxError::Full { .. }) if self.reserve.release() => self.forget(keys, false),
            done => done,
        }
    }

    fn forget(&mut self, keys: &[Key], archive: bool) -> Result<usize, OutboxError> {
        type Row = (i64, Option<Vec<u8>>, Option<String>);
        let folder = self.folder.clone();
        let failed = OutboxError::database(&folder);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&failed)?;
        let mut pictures = vec![];
        let mut forgotten = 0;
        {
            let query = "DELETE FROM outbox WHERE sighting = ? AND part = ? RETURNING bytes, message, picture";
            let mut statement = transaction.prepare_cached(query).map_err(&failed)?;
            for key in keys {
                let id = key.sighting.as_bytes().as_slice();
                let row: Option<Row> = statement
                    .query_row(params![id, part_number(key.part)], |r| {
                        Ok((r.get(0)?, r.get(1)?, r.get(2)?))
                    })
                    .optional()
                    .map_err(&failed)?;
                let Some((bytes, message, picture)) = row else {
                    continue;
                };
                forgotten += 1;
                if archive {
                    archive::put(
                        &transaction,
                        id,
                        bytes,
                        message.as_deref(),
                        picture.as_deref(),
                    )
                    .map_err(&failed)?;
                }
                pictures.extend(picture);
            }
        }
        transaction.commit().map_err(&failed)?;
        for picture in pictures {
            if archive {
                self.pictures.archive(&picture);
            } else {
                self.pictures.remove(&picture);
            }
        }
        Ok(forgotten)
    }

    /// Moves a message that can never be sent to the dead letters.
    ///
    /// # Errors
    /// When the database fails; then it still waits.
    pub fn bury(&mut self, key: Key, reason: &str, now: Timestamp) -> Result<(), OutboxError> {
        let folder = self.folder.clone();
        let failed = OutboxError::database(&folder);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&failed)?;
        let (id, part) = (key.sighting.as_bytes().as_slice(), part_number(key.part));
        transaction
            .execute(
                "INSERT INTO dead_letter (sighting, part, bytes, message, picture, reason, died)
                 SELECT sighting, part, bytes, message, picture, ?, ? FROM outbox WHERE sighting = ? AND part = ?",
                params![reason, now.0, id, part],
            )
            .map_err(&failed)?;
        transaction
            .execute(
                "DELETE FROM outbox WHERE sighting = ? AND part = ?",
                params![id, part],
            )
            .map_err(&failed)?;
        transaction.commit().map_err(&failed)
    }

    /// How many messages there are.
    ///
    /// # Errors
    /// When the database fails.
    pub fn counts(&self) -> Result<Counts, OutboxError> {
        count(&self.connection).map_err(OutboxError::database(&self.folder))
    }
}

pub(super) fn count(connection: &Connection) -> rusqlite::Result<Counts> {
    let query = "SELECT (SELECT count(*) FROM outbox WHERE part = 0), (SELECT count(*) FROM outbox WHERE part = 1),
                 (SELECT count(*) FROM dead_letter), (SELECT count(*) FROM sighting)";
    connection.query_row(query, [], |row| {
        let number = |i| row.get::<_, i64>(i).map(i64::unsigned_abs);
        Ok(Counts {
            sightings: number(0)?,
            pictures: number(1)?,
            dead: number(2)?,
            accepted: number(3)?,
        })
    })
}

pub(super) fn part_number(part: Part) -> i64 {
    match part {
        Part::Sighting => 0,
        Part::Picture => 1,
    }
}

pub(super) fn part(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Part> {
    match row.get(column)? {
        0 => Ok(Part::Sighting),
        1 => Ok(Part::Picture),
        other => Err(rusqlite::Error::IntegralValueOutOfRange(column, other)),
    }
}

pub(super) fn uuid(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Uuid> {
    let bytes: [u8; 16] = row.get(column)?;
    Ok(Uuid::from_bytes(bytes))
}
