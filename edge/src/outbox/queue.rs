//! Gives out pending messages, and deletes those that shore acknowledges.

use super::archive_row;
use super::error::OutboxError;
use super::key::{Key, part, part_number, uuid};
use super::pictures::Pictures;
use super::reserve::Reserve;
use super::{briefed, full_disk, recover, schema};
use flukewatch_common::brief::Brief;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::{BoatId, MessageKind, Picture, Sighting};
use flukewatch_common::wire::{self, WireError};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// A message that shore has not acknowledged yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Key of the message.
    pub key: Key,
    /// Its approximate size in bytes.
    pub bytes: u64,
}

/// Which messages a link carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Whether sightings are.
    pub sightings: bool,
    /// Whether pictures are.
    pub pictures: bool,
    /// The largest picture that is, in bytes: no limit where pictures go in parts.
    pub max_picture_bytes: u64,
}

impl Carried {
    /// All messages.
    pub const ALL: Self = Self {
        sightings: true,
        pictures: true,
        max_picture_bytes: u64::MAX,
    };
}

/// The pending messages of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindBytes {
    /// How many.
    pub messages: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

/// The size of the pending messages by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PendingBytes {
    /// Sightings of which shore has not even a brief.
    pub identities: u64,
    /// Sightings.
    pub sightings: KindBytes,
    /// Pictures.
    pub pictures: KindBytes,
}

/// The result of loading a message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Load {
    /// Its content on the wire.
    Message(Vec<u8>),
    /// It is not pending any more: acknowledged, or replaced by a newer revision.
    AlreadyAcknowledged,
    /// It can never be sent, for this reason.
    Unsendable(String),
}

/// Numbers of the outbox's messages by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sightings that are not acknowledged yet.
    pub sightings: u64,
    /// Pictures that are not acknowledged yet.
    pub pictures: u64,
    /// Messages that can never be sent, or that shore rejected.
    pub dead_letters: u64,
    /// Number of sightings ever accepted.
    pub accepted: u64,
    /// Recorded encounters that are still to be identified.
    pub unidentified: u64,
}

impl Counts {
    /// Number of pending sightings and pictures together.
    pub fn pending(&self) -> u64 {
        self.sightings + self.pictures
    }

    /// Whether shore has everything that the boat knows, and nothing is still to be identified, which would be
    /// pending again.
    pub fn is_delivered(&self) -> bool {
        self.pending() == 0 && self.unidentified == 0
    }
}

/// The outbox, opened to send from.
pub struct Queue {
    folder: PathBuf,
    boat: BoatId,
    epoch: Uuid,
    pub(super) connection: Connection,
    pub(super) pictures: Pictures,
    reserve: Reserve,
    archives: bool,
}

/// The size and age of what is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Bytes of the pending messages.
    pub bytes: u64,
    /// When the oldest of them was accepted, by the outbox's clock.
    pub oldest: Option<Timestamp>,
    /// Sightings in the archive.
    pub archived: u64,
    /// Total size of the archived sightings.
    pub archived_bytes: u64,
}

/// Opens the queue of an outbox as often as needed, e.g. after the thread that had it panicked.
#[derive(Clone, Debug)]
pub struct QueueOpener {
    folder: PathBuf,
    boat: BoatId,
    archives: bool,
}

impl QueueOpener {
    /// That of `boat` in `folder`, which [`Queue::archives`] if `archives` is set.
    pub fn new(folder: &Path, boat: BoatId, archives: bool) -> Self {
        Self {
            folder: folder.to_owned(),
            boat,
            archives,
        }
    }

    /// Opens the queue.
    ///
    /// # Errors
    /// When the database cannot be opened.
    pub fn open(&self) -> Result<Queue, OutboxError> {
        let queue = Queue::open(&self.folder, self.boat.clone())?;
        Ok(if self.archives {
            queue.archives()
        } else {
            queue
        })
    }
}

impl Queue {
    pub(super) fn open(folder: &Path, boat: BoatId) -> Result<Self, OutboxError> {
        let connection = schema::open(folder)?.ok_or_else(|| OutboxError::Lost {
            path: folder.to_owned(),
            reason: recover::NEW,
        })?;
        let (_, epoch) = schema::epoch(&connection).map_err(OutboxError::database(folder))?;
        Ok(Self {
            folder: folder.to_owned(),
            boat,
            epoch,
            connection,
            pictures: Pictures::of(folder),
            reserve: Reserve::of(folder),
            archives: false,
        })
    }

    /// Moves acknowledged sightings to the archive from now on.
    pub fn archives(mut self) -> Self {
        self.archives = true;
        self
    }

    /// Path of the outbox's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Saves the outbox's clock, which also probes whether commits work.
    ///
    /// # Errors
    /// When they do not.
    pub fn save_clock(&mut self, now: Timestamp) -> Result<(), OutboxError> {
        schema::save_clock(&self.connection, now).map_err(OutboxError::database(&self.folder))
    }

    /// The size and age of what is stored.
    ///
    /// # Errors
    /// When the database fails.
    pub fn backlog(&self) -> Result<Backlog, OutboxError> {
        let query = "SELECT (SELECT coalesce(sum(bytes), 0) FROM pending),
                     (SELECT min(s.accepted_at) FROM pending o JOIN sighting s ON s.id = o.sighting),
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

    /// The size of the pending messages by kind.
    ///
    /// # Errors
    /// When the database fails.
    pub fn pending_bytes(&self) -> Result<PendingBytes, OutboxError> {
        let failed = OutboxError::database(&self.folder);
        let query = "SELECT part, count(*), sum(bytes) FROM pending GROUP BY part";
        let mut statement = self.connection.prepare_cached(query).map_err(&failed)?;
        let rows = statement
            .query_map([], |row| {
                let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
                let kind = KindBytes {
                    messages: number(1)?,
                    bytes: number(2)?,
                };
                Ok((part(row, 0)?, kind))
            })
            .map_err(&failed)?;
        let mut pending = PendingBytes::default();
        for row in rows {
            match row.map_err(&failed)? {
                (MessageKind::Sighting, kind) => pending.sightings = kind,
                (MessageKind::Picture, kind) => pending.pictures = kind,
                (MessageKind::Brief | MessageKind::PicturePart, _) => {}
            }
        }
        pending.identities = self.pending_briefs()?;
        Ok(pending)
    }

    /// The boat that sends these messages.
    pub fn boat(&self) -> &BoatId {
        &self.boat
    }

    /// The current epoch of the outbox.
    pub fn epoch(&self) -> Uuid {
        self.epoch
    }

    /// Up to `max` messages to send next that are neither `in_flight` nor held: sightings before pictures, older
    /// before newer.
    ///
    /// # Errors
    /// When the database fails.
    pub fn next(&self, in_flight: &HashSet<Key>, max: usize) -> Result<Vec<Pending>, OutboxError> {
        self.next_carried(in_flight, max, Carried::ALL)
    }

    /// Up to `max` messages to send next that are `carried` and neither `in_flight` nor held: sightings before
    /// pictures, older before newer.
    ///
    /// # Errors
    /// When the database fails.
    pub fn next_carried(
        &self,
        in_flight: &HashSet<Key>,
        max: usize,
        carried: Carried,
    ) -> Result<Vec<Pending>, OutboxError> {
        if !carried.sightings {
            return Ok(vec![]);
        }
        let failed = OutboxError::database(&self.folder);
        // A plus keeps a condition from any index: rows come in the order of `pending_order`.
        let query = "SELECT sighting, part, revision, bytes FROM pending
                     WHERE NOT held AND priority <= ?2 AND (+part = 0 OR +bytes <= ?3)
                     ORDER BY priority, number LIMIT ?1";
        let mut statement = self.connection.prepare_cached(query).map_err(&failed)?;
        let limit = i64::try_from(in_flight.len() + max).unwrap_or(i64::MAX);
        let lowest = part_number(if carried.pictures {
            MessageKind::Picture
        } else {
            MessageKind::Sighting
        });
        let largest = i64::try_from(carried.max_picture_bytes).unwrap_or(i64::MAX);
        let rows = statement
            .query_map(params![limit, lowest, largest], |row| {
                let key = Key {
                    sighting: uuid(row, 0)?,
                    part: part(row, 1)?,
                    revision: row.get(2)?,
                };
                Ok(Pending {
                    key,
                    bytes: row.get::<_, i64>(3)?.unsigned_abs(),
                })
            })
            .map_err(&failed)?;
        let mut pending = rows.collect::<Result<Vec<_>, _>>().map_err(&failed)?;
        pending.retain(|q| !in_flight.contains(&q.key));
        pending.truncate(max);
        Ok(pending)
    }

    /// Lets the messages be sent that are held and were accepted before `before`, by the outbox's clock:
    /// shore should know of an encounter whose identification takes long. Returns how many.
    ///
    /// # Errors
    /// When the database fails.
    pub fn release_held(&mut self, before: Timestamp) -> Result<usize, OutboxError> {
        let held = "UPDATE pending SET held = 0 WHERE held
                    AND sighting IN (SELECT id FROM sighting WHERE accepted_at < ?)";
        self.connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM pending WHERE held)")
            .and_then(|mut any| any.query_row([], |row| row.get(0)))
            .and_then(|any: bool| {
                if any {
                    self.connection.prepare_cached(held)?.execute([before.0])
                } else {
                    Ok(0)
                }
            })
            .map_err(OutboxError::database(&self.folder))
    }

    /// Loads the content of a message and verifies it.
    ///
    /// # Errors
    /// When the database or the disk fails.
    pub fn load(&self, key: Key) -> Result<Load, OutboxError> {
        if key.part == MessageKind::Brief {
            return self.load_brief(key);
        }
        type Row = (Option<Vec<u8>>, Option<String>, Option<Vec<u8>>);
        let query = "SELECT message, picture, sha256 FROM pending
                     WHERE sighting = ? AND part = ? AND revision = ?";
        let row: Option<Row> = self
            .connection
            .prepare_cached(query)
            .and_then(|mut s| {
                s.query_row(
                    params![
                        key.sighting.as_bytes().as_slice(),
                        part_number(key.part),
                        key.revision
                    ],
                    |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)),
                )
                .optional()
            })
            .map_err(OutboxError::database(&self.folder))?;
        let (file, sha256) = match row {
            None => return Ok(Load::AlreadyAcknowledged),
            Some((Some(message), ..)) if message.len() > wire::MAX_MESSAGE => {
                return Ok(Load::Unsendable(
                    WireError::TooLarge(message.len()).to_string(),
                ));
            }
            Some((Some(message), ..)) => {
                let decoded = match key.part {
                    MessageKind::Sighting => wire::decode::<Sighting>(&message).map(drop),
                    MessageKind::Picture | MessageKind::PicturePart => {
                        wire::decode::<Picture>(&message).map(drop)
                    }
                    MessageKind::Brief => wire::decode::<Brief>(&message).map(drop),
                };
                return Ok(match decoded {
                    Ok(()) => Load::Message(message),
                    Err(e) => Load::Unsendable(e.to_string()),
                });
            }
            Some((None, file, sha256)) => (file.unwrap_or_default(), sha256.unwrap_or_default()),
        };
        let Some(jpeg) = self.pictures.read(&file)? else {
            return Ok(Load::Unsendable(format!("picture file {file} is missing")));
        };
        if Sha256::digest(&jpeg).as_slice() != sha256 {
            return Ok(Load::Unsendable(format!(
                "picture file {file} is damaged: SHA-256 mismatch"
            )));
        }
        let picture = Picture {
            sighting: key.sighting,
            boat: self.boat.clone(),
            jpeg,
            original: None,
        };
        match wire::encode(&picture) {
            Ok(message) => Ok(Load::Message(message)),
            Err(e @ WireError::TooLarge(_)) => Ok(Load::Unsendable(e.to_string())),
            Err(e) => Err(e.into()),
        }
    }

    /// Deletes messages that shore acknowledged, and notes of which sightings it has a brief. Keys that are not
    /// pending are ignored, so that a revision stays until it is acknowledged itself. Returns how many were.
    ///
    /// # Errors
    /// When the database fails; then all of them are still pending.
    pub fn acknowledge(&mut self, keys: &[Key]) -> Result<usize, OutboxError> {
        // On a full disk they are not archived.
        let mut archive = self.archives;
        full_disk::commit(self, Self::storage, |queue| {
            queue.delete(keys, std::mem::take(&mut archive))
        })
    }

    /// What [`full_disk::commit`] needs.
    pub(super) fn storage(&self) -> (&Connection, &Reserve) {
        (&self.connection, &self.reserve)
    }

    fn delete(&mut self, keys: &[Key], archive: bool) -> Result<usize, OutboxError> {
        type Row = (i64, Option<Vec<u8>>, Option<String>);
        let folder = self.folder.clone();
        let failed = OutboxError::database(&folder);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&failed)?;
        let mut pictures = vec![];
        let mut deleted = 0;
        {
            let query = "DELETE FROM pending WHERE sighting = ? AND part = ? AND revision = ?
                         RETURNING bytes, message, picture";
            let mut statement = transaction.prepare_cached(query).map_err(&failed)?;
            for key in keys {
                if key.part == MessageKind::Brief {
                    deleted += briefed::delivered(&transaction, *key).map_err(&failed)?;
                    continue;
                }
                let id = key.sighting.as_bytes().as_slice();
                let row: Option<Row> = statement
                    .query_row(params![id, part_number(key.part), key.revision], |r| {
                        Ok((r.get(0)?, r.get(1)?, r.get(2)?))
                    })
                    .optional()
                    .map_err(&failed)?;
                let Some((bytes, message, picture)) = row else {
                    continue;
                };
                deleted += 1;
                // The picture itself stays a dead letter.
                let is_reduced = key.part == MessageKind::Picture && message.is_some();
                if archive && !is_reduced {
                    archive_row::put(
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
        Ok(deleted)
    }

    /// Moves a message that can never be sent to the dead letters.
    ///
    /// # Errors
    /// When the database fails; then it is still pending.
    pub fn move_to_dead_letters(
        &mut self,
        key: Key,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), OutboxError> {
        if key.part == MessageKind::Brief {
            return self.give_up_briefs(&[(key, reason.to_owned())]).map(drop);
        }
        let folder = self.folder.clone();
        let failed = OutboxError::database(&folder);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&failed)?;
        to_dead_letters(&transaction, key, reason, now).map_err(&failed)?;
        transaction.commit().map_err(&failed)
    }

    /// The numbers of messages.
    ///
    /// # Errors
    /// When the database fails.
    pub fn counts(&self) -> Result<Counts, OutboxError> {
        count(&self.connection).map_err(OutboxError::database(&self.folder))
    }
}

/// Moves a pending message to the dead letters, in place of an earlier revision. Returns whether it
/// was pending.
pub(super) fn to_dead_letters(
    transaction: &Transaction<'_>,
    key: Key,
    reason: &str,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let (id, part) = (key.sighting.as_bytes().as_slice(), part_number(key.part));
    let moved = transaction.execute(
        "INSERT OR REPLACE INTO dead_letter (sighting, part, revision, bytes, message, picture, sha256, reason, moved_at)
         SELECT sighting, part, revision, bytes, message, picture, sha256, ?, ? FROM pending
         WHERE sighting = ? AND part = ? AND revision = ?",
        params![reason, now.0, id, part, key.revision],
    )?;
    transaction.execute(
        "DELETE FROM pending WHERE sighting = ? AND part = ? AND revision = ?",
        params![id, part, key.revision],
    )?;
    if moved > 0 {
        tracing::error!(sighting = %key.sighting, part = ?key.part, reason, "message moved to dead letters");
    }
    Ok(moved > 0)
}

pub(super) fn count(connection: &Connection) -> rusqlite::Result<Counts> {
    let query = "SELECT (SELECT count(*) FROM pending WHERE part = 0), (SELECT count(*) FROM pending WHERE part = 1),
                 (SELECT count(*) FROM dead_letter), (SELECT count(*) FROM sighting),
                 (SELECT count(*) FROM recording WHERE stage = 0)";
    connection.query_row(query, [], |row| {
        let number = |i| row.get::<_, i64>(i).map(i64::unsigned_abs);
        Ok(Counts {
            sightings: number(0)?,
            pictures: number(1)?,
            dead_letters: number(2)?,
            accepted: number(3)?,
            unidentified: number(4)?,
        })
    })
}
