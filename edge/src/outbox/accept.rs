//! Taking sightings in.

use super::pictures::Pictures;
use super::queue::{Key, part_number};
use super::reserve::Reserve;
use super::{OutboxError, Queue, schema};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::{BoatId, Part, Picture, Sighting};
use flukewatch_common::wire::{self, WireError};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use std::collections::HashSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// How much of the archive is deleted at once when the disk is full, in bytes: several sightings' worth.
const ARCHIVE_STEP: u64 = 2_000_000;

/// The outbox, opened to take sightings in; one program at a time.
pub struct Outbox {
    folder: PathBuf,
    boat: BoatId,
    max_bytes: u64,
    connection: Connection,
    pictures: Pictures,
    reserve: Reserve,
    /// Held as long as the outbox is open; the system lets go of it when the program dies.
    _lock: File,
}

impl Outbox {
    /// Opens the outbox of `boat` in `folder`, or makes one; takes messages in up to `max_bytes`. Removes what a power cut left
    /// half-written.
    ///
    /// # Errors
    /// When the folder cannot be used, is in use, or holds another boat's, a newer or a foreign outbox.
    pub fn open(folder: &Path, boat: &BoatId, max_bytes: u64) -> Result<Self, OutboxError> {
        let pictures = Pictures::of(folder);
        pictures.make_folder()?;
        let lock_path = folder.join("outbox.lock");
        let lock = File::create(&lock_path).map_err(OutboxError::disk(&lock_path))?;
        lock.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => OutboxError::InUse(folder.to_owned()),
            TryLockError::Error(e) => OutboxError::disk(&lock_path)(e),
        })?;
        let connection = schema::open(folder)?;
        let outbox = Self {
            folder: folder.to_owned(),
            boat: boat.clone(),
            max_bytes,
            connection,
            pictures,
            reserve: Reserve::of(folder),
            _lock: lock,
        };
        outbox.refuse_other_boats()?;
        let waiting = "SELECT picture FROM outbox WHERE picture IS NOT NULL
                       UNION SELECT picture FROM dead_letter WHERE picture IS NOT NULL";
        let archived = "SELECT picture FROM archive WHERE picture IS NOT NULL";
        let (named, archived) = (outbox.named(waiting)?, outbox.named(archived)?);
        let removed = outbox.pictures.keep_only(&named, &archived)?;
        if removed > 0 {
            tracing::info!(
                removed,
                "removed pictures that were never accepted or that shore already has"
            );
        }
        // A disk that is full already must not keep the boat from sending.
        if let Err(e) = outbox.reserve.keep() {
            tracing::warn!("{e}");
        }
        // The new folder, database and lock file must outlive a power cut as well.
        for made in [
            Some(folder),
            folder.parent().filter(|p| !p.as_os_str().is_empty()),
        ]
        .into_iter()
        .flatten()
        {
            File::open(made)
                .and_then(|f| f.sync_all())
                .map_err(OutboxError::disk(made))?;
        }
        Ok(outbox)
    }

    /// A second connection, for the thread that sends.
    ///
    /// # Errors
    /// When the database cannot be opened.
    pub fn queue(&self) -> Result<Queue, OutboxError> {
        Queue::open(&self.folder, self.boat.clone())
    }

    /// Takes a sighting and its picture in and returns its sequence number, which this call assigns (the one in `sighting` does not
    /// count). Once this returns, both survive a power cut. A sighting that was taken in before keeps its number.
    ///
    /// # Errors
    /// [`OutboxError::Full`] when there is no room; any error leaves the outbox as it was.
    pub fn accept(
        &mut self,
        sighting: &Sighting,
        jpeg: &[u8],
        now: Timestamp,
    ) -> Result<u64, OutboxError> {
        if sighting.boat != self.boat {
            return Err(self.other_boat(sighting.boat.as_str()));
        }
        if let Some(sequence) = self.sequence_of(sighting)? {
            return Ok(sequence);
        }
        let picture = Picture {
            sighting: sighting.id,
            boat: self.boat.clone(),
            jpeg: jpeg.to_vec(),
        };
        let picture_fault = too_large(wire::encode(&picture).map(drop))?;
        self.check_room(jpeg.len() as u64)?;
        loop {
            match self.take_in(sighting, jpeg, picture_fault.as_deref(), now) {
                // What shore has makes room for what it has not.
                Err(OutboxError::Full { .. }) if self.pictures.free_archive(ARCHIVE_STEP) > 0 => {
                    tracing::warn!(
                        "the disk is full: pictures that shore has are deleted from the archive"
                    );
                }
                done => return done,
            }
        }
    }

    /// Picture and transaction, on a disk that may be full.
    fn take_in(
        &mut self,
        sighting: &Sighting,
        jpeg: &[u8],
        picture_fault: Option<&str>,
        now: Timestamp,
    ) -> Result<u64, OutboxError> {
        self.reserve.keep()?;
        let file = self.pictures.write(sighting.id, jpeg)?;
        let accepted = self.insert(sighting, &file, jpeg, picture_fault, now);
        // A commit that failed may have happened all the same; a picture that nobody names goes when the outbox is next opened.
        if accepted.is_err() && matches!(self.sequence_of(sighting), Ok(None)) {
            self.pictures.remove(&file);
        }
        accepted
    }

    /// The one transaction: sighting, message and picture.
    fn insert(
        &mut self,
        sighting: &Sighting,
        file: &str,
        jpeg: &[u8],
        picture_fault: Option<&str>,
        now: Timestamp,
    ) -> Result<u64, OutboxError> {
        let folder = self.folder.clone();
        let failed = OutboxError::database(&folder);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&failed)?;
        let sequence: i64 = transaction
            .query_row(
                "SELECT coalesce(max(sequence), 0) + 1 FROM sighting WHERE boat = ?",
                [self.boat.as_str()],
                |r| r.get(0),
            )
            .map_err(&failed)?;
        let id = sighting.id.as_bytes().as_slice();
        transaction
            .execute(
                "INSERT INTO sighting (boat, sequence, id, started, committed) VALUES (?, ?, ?, ?, ?)",
                params![self.boat.as_str(), sequence, id, sighting.started.0, now.0],
            )
            .map_err(&failed)?;
        let numbered = Sighting {
            sequence: sequence.unsigned_abs(),
            ..sighting.clone()
        };
        let key = |part| Key {
            sighting: sighting.id,
            part,
        };
        match wire::encode(&numbered) {
            Ok(message) => enqueue(
                &transaction,
                key(Part::Sighting),
                Content::Message(&message),
            ),
            Err(e @ WireError::TooLarge(_)) => {
                // No envelope takes it, so it is kept in a form that a person can read.
                let json = serde_json::to_vec(&numbered).unwrap_or_default();
                bury(
                    &transaction,
                    key(Part::Sighting),
                    Content::Message(&json),
                    &e.to_string(),
                    now,
                )
            }
            Err(e) => return Err(e.into()),
        }
        .map_err(&failed)?;
        let picture = Content::Picture {
            file,
            jpeg,
            sha256: sighting.picture.sha256,
        };
        match picture_fault {
            None => enqueue(&transaction, key(Part::Picture), picture),
            Some(reason) => bury(&transaction, key(Part::Picture), picture, reason, now),
        }
        .map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        Ok(sequence.unsigned_abs())
    }

    fn sequence_of(&self, sighting: &Sighting) -> Result<Option<u64>, OutboxError> {
        self.connection
            .query_row(
                "SELECT sequence FROM sighting WHERE id = ?",
                [sighting.id.as_bytes().as_slice()],
                |r| r.get(0),
            )
            .optional()
            .map(|sequence: Option<i64>| sequence.map(i64::unsigned_abs))
            .map_err(OutboxError::database(&self.folder))
    }

    fn check_room(&self, more: u64) -> Result<(), OutboxError> {
        let waiting: i64 = self
            .connection
            .query_row(
                "SELECT (SELECT coalesce(sum(bytes), 0) FROM outbox) + (SELECT coalesce(sum(bytes), 0) FROM dead_letter)",
                [],
                |r| r.get(0),
            )
            .map_err(OutboxError::database(&self.folder))?;
        if waiting.unsigned_abs() + more <= self.max_bytes {
            return Ok(());
        }
        let reason = format!(
            "{waiting} bytes wait in it, and outbox.max_megabytes allows {} bytes",
            self.max_bytes
        );
        Err(OutboxError::Full {
            path: self.folder.clone(),
            reason,
        })
    }

    /// The picture files that `query` gives.
    fn named(&self, query: &str) -> Result<HashSet<String>, OutboxError> {
        let failed = OutboxError::database(&self.folder);
        let mut statement = self.connection.prepare(query).map_err(&failed)?;
        let names = statement.query_map([], |row| row.get(0)).map_err(&failed)?;
        names.collect::<Result<_, _>>().map_err(&failed)
    }

    fn refuse_other_boats(&self) -> Result<(), OutboxError> {
        let query = "SELECT s.boat FROM outbox o JOIN sighting s ON s.id = o.sighting WHERE s.boat <> ? LIMIT 1";
        let theirs: Option<String> = self
            .connection
            .query_row(query, [self.boat.as_str()], |r| r.get(0))
            .optional()
            .map_err(OutboxError::database(&self.folder))?;
        theirs.map_or(Ok(()), |theirs| Err(self.other_boat(&theirs)))
    }

    fn other_boat(&self, theirs: &str) -> OutboxError {
        OutboxError::OtherBoat {
            path: self.folder.clone(),
            theirs: theirs.into(),
            ours: self.boat.to_string(),
        }
    }

    /// Lets the database grow to `pages` only, as a full disk would.
    #[cfg(test)]
    pub(super) fn limit_pages(&self, pages: u32) {
        self.connection
            .pragma_update(None, "max_page_count", pages)
            .unwrap();
    }
}

/// What a row holds.
#[derive(Clone, Copy)]
enum Content<'a> {
    Message(&'a [u8]),
    Picture {
        file: &'a str,
        jpeg: &'a [u8],
        sha256: [u8; 32],
    },
}

impl<'a> Content<'a> {
    fn message(&self) -> Option<&'a [u8]> {
        if let Self::Message(message) = self {
            Some(message)
        } else {
            None
        }
    }

    fn file(&self) -> Option<&'a str> {
        if let Self::Picture { file, .. } = self {
            Some(file)
        } else {
            None
        }
    }

    fn sha256(&self) -> Option<&[u8]> {
        if let Self::Picture { sha256, .. } = self {
            Some(sha256)
        } else {
            None
        }
    }

    fn bytes(&self) -> i64 {
        match self {
            Self::Message(message) => message.len() as i64,
            Self::Picture { jpeg, .. } => jpeg.len() as i64,
        }
    }
}

fn enqueue(
    transaction: &Transaction<'_>,
    key: Key,
    content: Content<'_>,
) -> rusqlite::Result<usize> {
    // Identities first: a thin link carries them before any picture.
    let priority = part_number(key.part);
    transaction.execute(
        "INSERT INTO outbox (sighting, part, priority, bytes, message, picture, sha256) VALUES (?, ?, ?, ?, ?, ?, ?)",
        params![
            key.sighting.as_bytes().as_slice(),
            part_number(key.part),
            priority,
            content.bytes(),
            content.message(),
            content.file(),
            content.sha256()
        ],
    )
}

fn bury(
    transaction: &Transaction<'_>,
    key: Key,
    content: Content<'_>,
    reason: &str,
    now: Timestamp,
) -> rusqlite::Result<usize> {
    tracing::error!(sighting = %key.sighting, part = ?key.part, "a message can never be sent and is kept as a dead letter: {reason}");
    transaction.execute(
        "INSERT INTO dead_letter (sighting, part, bytes, message, picture, reason, died) VALUES (?, ?, ?, ?, ?, ?, ?)",
        params![
            key.sighting.as_bytes().as_slice(),
            part_number(key.part),
            content.bytes(),
            content.message(),
            content.file(),
            reason,
            now.0
        ],
    )
}

/// The reason where a message is too large, `None` where it is not.
fn too_large(encoded: Result<(), WireError>) -> Result<Option<String>, WireError> {
    match encoded {
        Ok(()) => Ok(None),
        Err(e @ WireError::TooLarge(_)) => Ok(Some(e.to_string())),
        Err(e) => Err(e),
    }
}
