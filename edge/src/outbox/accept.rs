//! Accepts sightings.

use super::epoch::NewEpoch;
use super::error::OutboxError;
use super::key::{Key, part_number};
use super::pictures::Pictures;
use super::queue::Queue;
use super::reserve::Reserve;
use super::taken::Taken;
use super::{recover, schema, set_aside};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::{BoatId, MessageKind, Picture, Sighting};
use flukewatch_common::wire::{self, WireError};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// How much of the archive is deleted at once when the disk is full, in bytes: several sightings.
const ARCHIVE_STEP: u64 = 2_000_000;

/// The outbox, opened to accept sightings; by one process at a time.
pub struct Outbox {
    folder: PathBuf,
    boat: BoatId,
    boot: Option<String>,
    max_bytes: u64,
    /// Number of the current epoch.
    epoch: i64,
    /// The epoch that begins if the database turns out to be damaged.
    fresh: NewEpoch,
    /// The outbox's clock when it was opened, at the date of `fresh`.
    opened: Timestamp,
    connection: Connection,
    pictures: Pictures,
    reserve: Reserve,
    /// Held while the outbox is open; the operating system releases it when the process dies.
    _lock: File,
}

impl Outbox {
    /// Opens the outbox of `boat` in `folder`, or creates it; it holds up to `max_bytes`. Removes
    /// what a power cut left half-written. Where the database is damaged, missing or new while there
    /// are accepted pictures, what is there is set aside, and `fresh` begins.
    ///
    /// # Errors
    /// When the folder cannot be used, is in use, or holds the outbox of another boat or another
    /// version, or another database.
    pub fn open(
        folder: &Path,
        boat: &BoatId,
        max_bytes: u64,
        fresh: NewEpoch,
    ) -> Result<Self, OutboxError> {
        let pictures = Pictures::of(folder);
        pictures.create_folder()?;
        let lock_path = folder.join("outbox.lock");
        let lock = File::create(&lock_path).map_err(OutboxError::disk(&lock_path))?;
        lock.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => OutboxError::InUse(folder.to_owned()),
            TryLockError::Error(e) => OutboxError::disk(&lock_path)(e),
        })?;
        let connection = recover::open(folder, &pictures, &fresh)?;
        let mut outbox = Self {
            folder: folder.to_owned(),
            boat: boat.clone(),
            boot: None,
            max_bytes,
            epoch: 0,
            fresh: fresh.following(fresh.now),
            opened: Timestamp(0),
            connection,
            pictures,
            reserve: Reserve::of(folder),
            _lock: lock,
        };
        outbox.reject_other_boats()?;
        recover::tidy(folder, &outbox.pictures, &outbox.connection, &fresh)?;
        outbox.epoch = outbox.current_epoch()?;
        outbox.opened = outbox.saved_time()?;
        // A full disk must not keep the boat from sending.
        if let Err(e) = outbox.reserve.keep() {
            tracing::warn!(error = %e, "cannot reserve disk space");
        }
        // New folders, database and lock file must survive a power cut, too.
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

    /// Lets the times of sightings be corrected during `boot`, the run of the monotonic clock.
    #[must_use]
    pub fn during(self, boot: Option<String>) -> Self {
        Self { boot, ..self }
    }

    /// Checks that the disk has space to accept and delete sightings.
    pub(super) fn check_reserve(&self) -> Result<(), OutboxError> {
        self.reserve.keep()
    }

    /// Sets aside an outbox whose database turned out to be damaged, and begins a new one. Its
    /// [`Queue`]s go on with the old one until they are opened again. `now` is by the outbox's clock.
    ///
    /// # Errors
    /// When it cannot be set aside, or no new one can be created.
    pub fn replace_damaged(&mut self, reason: &str, now: Timestamp) -> Result<(), OutboxError> {
        let date = self.fresh.now.plus_millis(now.millis_since(self.opened));
        self.fresh = self.fresh.following(date);
        // Closes the database.
        self.connection =
            Connection::open_in_memory().map_err(OutboxError::database(&self.folder))?;
        set_aside::everything(&self.folder, reason, date)?;
        self.pictures.create_folder()?;
        self.connection = schema::open_or_create(&self.folder, &self.fresh)?;
        self.epoch = self.current_epoch()?;
        Ok(())
    }

    fn current_epoch(&self) -> Result<i64, OutboxError> {
        let current = schema::epoch(&self.connection);
        let (number, _) = current.map_err(OutboxError::database(&self.folder))?;
        Ok(number)
    }

    /// A second connection, for the thread that sends.
    ///
    /// # Errors
    /// When the database cannot be opened.
    pub fn queue(&self) -> Result<Queue, OutboxError> {
        Queue::open(&self.folder, self.boat.clone())
    }

    /// Stores a sighting and its picture, and returns the sequence number that it assigns (the one
    /// in `sighting` is ignored). Once this returns, both survive a power cut. A sighting that was
    /// accepted before keeps its number. `now` is by the outbox's clock.
    ///
    /// # Errors
    /// [`OutboxError::Full`] when there is no space; any error leaves the outbox unchanged.
    pub fn accept(
        &mut self,
        sighting: &Sighting,
        jpeg: &[u8],
        now: Timestamp,
    ) -> Result<u64, OutboxError> {
        self.accept_taken(sighting, jpeg, None, now)
    }

    /// The same for a sighting whose times may be corrected later ([`Queue::correct_times`]).
    ///
    /// # Errors
    /// Those of [`Outbox::accept`].
    pub fn accept_taken(
        &mut self,
        sighting: &Sighting,
        jpeg: &[u8],
        taken: Option<Taken>,
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
            original: None,
        };
        let picture_error = too_large(wire::encode(&picture).map(drop))?;
        self.check_space(jpeg.len() as u64)?;
        loop {
            match self.store(sighting, jpeg, picture_error.as_deref(), taken, now) {
                // Acknowledged pictures make room for new ones.
                Err(OutboxError::Full { .. }) if self.pictures.free_archive(ARCHIVE_STEP) > 0 => {
                    tracing::warn!("disk full; deleting archived pictures");
                }
                done => return done,
            }
        }
    }

    /// Writes picture and transaction, on a disk that may be full.
    fn store(
        &mut self,
        sighting: &Sighting,
        jpeg: &[u8],
        picture_error: Option<&str>,
        taken: Option<Taken>,
        now: Timestamp,
    ) -> Result<u64, OutboxError> {
        self.reserve.keep()?;
        let file = self.pictures.write(sighting.id, jpeg)?;
        let accepted = self.insert(sighting, &file, jpeg, picture_error, taken, now);
        match &accepted {
            Ok(_) => self.pictures.commit(&file),
            // A failed commit may have happened all the same. An orphaned picture is removed when the
            // outbox is next opened.
            Err(_) if matches!(self.sequence_of(sighting), Ok(None)) => self.pictures.remove(&file),
            Err(_) => {}
        }
        accepted
    }

    /// The one transaction: sighting, message and picture.
    fn insert(
        &mut self,
        sighting: &Sighting,
        file: &str,
        jpeg: &[u8],
        picture_error: Option<&str>,
        taken: Option<Taken>,
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
                "SELECT coalesce(max(sequence), 0) + 1 FROM sighting WHERE boat = ? AND epoch = ?",
                params![self.boat.as_str(), self.epoch],
                |r| r.get(0),
            )
            .map_err(&failed)?;
        let id = sighting.id.as_bytes().as_slice();
        let boot = taken.and(self.boot.as_deref());
        let taken = taken.filter(|_| boot.is_some()).map(Taken::to_json);
        transaction
            .execute(
                "INSERT INTO sighting (boat, epoch, sequence, id, started_at, accepted_at, boot, taken) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                params![self.boat.as_str(), self.epoch, sequence, id, sighting.started.0, now.0, boot, taken],
            )
            .map_err(&failed)?;
        let (_, epoch) = schema::epoch(&transaction).map_err(&failed)?;
        let numbered = Sighting {
            sequence: sequence.unsigned_abs(),
            epoch: Some(epoch),
            ..sighting.clone()
        };
        let key = |part| Key {
            sighting: sighting.id,
            part,
            revision: 0,
        };
        match wire::encode(&numbered) {
            Ok(message) => enqueue(
                &transaction,
                key(MessageKind::Sighting),
                Content::Message(&message),
            ),
            Err(e @ WireError::TooLarge(_)) => {
                // It does not fit on the wire, and is kept in a readable form.
                let json = serde_json::to_vec(&numbered).map_err(OutboxError::Json)?;
                dead_letter(
                    &transaction,
                    key(MessageKind::Sighting),
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
        match picture_error {
            None => enqueue(&transaction, key(MessageKind::Picture), picture),
            Some(reason) => dead_letter(
                &transaction,
                key(MessageKind::Picture),
                picture,
                reason,
                now,
            ),
        }
        .map_err(&failed)?;
        schema::save_clock(&transaction, now).map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        Ok(sequence.unsigned_abs())
    }

    pub(super) fn saved_time(&self) -> Result<Timestamp, OutboxError> {
        schema::saved_clock(&self.connection).map_err(OutboxError::database(&self.folder))
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

    fn check_space(&self, more: u64) -> Result<(), OutboxError> {
        let pending: i64 = self
            .connection
            .query_row(
                "SELECT (SELECT coalesce(sum(bytes), 0) FROM pending) + (SELECT coalesce(sum(bytes), 0) FROM dead_letter)",
                [],
                |r| r.get(0),
            )
            .map_err(OutboxError::database(&self.folder))?;
        if pending.unsigned_abs() + more <= self.max_bytes {
            return Ok(());
        }
        let reason = format!(
            "{pending} bytes are pending, and outbox.max_megabytes allows {} bytes",
            self.max_bytes
        );
        Err(OutboxError::Full {
            path: self.folder.clone(),
            reason,
        })
    }

    fn reject_other_boats(&self) -> Result<(), OutboxError> {
        reject_other_boats(&self.connection, &self.folder, &self.boat)
    }

    fn other_boat(&self, theirs: &str) -> OutboxError {
        other_boat(&self.folder, &self.boat, theirs)
    }

    /// Limits the database to `pages`, like a full disk.
    #[cfg(test)]
    pub(super) fn limit_pages(&self, pages: u32) {
        self.connection
            .pragma_update(None, "max_page_count", pages)
            .unwrap();
    }
}

/// Rejects an outbox with pending messages of another boat than `boat`.
pub(super) fn reject_other_boats(
    connection: &Connection,
    folder: &Path,
    boat: &BoatId,
) -> Result<(), OutboxError> {
    let query = "SELECT s.boat FROM pending o JOIN sighting s ON s.id = o.sighting WHERE s.boat <> ? LIMIT 1";
    let theirs: Option<String> = connection
        .query_row(query, [boat.as_str()], |r| r.get(0))
        .optional()
        .map_err(OutboxError::database(folder))?;
    theirs.map_or(Ok(()), |theirs| Err(other_boat(folder, boat, &theirs)))
}

fn other_boat(folder: &Path, ours: &BoatId, theirs: &str) -> OutboxError {
    OutboxError::OtherBoat {
        path: folder.to_owned(),
        theirs: theirs.into(),
        ours: ours.to_string(),
    }
}

/// The content of a row.
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
    // Sightings first: a slow link carries them before any picture.
    let priority = part_number(key.part);
    transaction.execute(
        "INSERT INTO pending (sighting, part, priority, bytes, message, picture, sha256) VALUES (?, ?, ?, ?, ?, ?, ?)",
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

fn dead_letter(
    transaction: &Transaction<'_>,
    key: Key,
    content: Content<'_>,
    reason: &str,
    now: Timestamp,
) -> rusqlite::Result<usize> {
    tracing::error!(sighting = %key.sighting, part = ?key.part, reason, "message stored as dead letter");
    transaction.execute(
        "INSERT INTO dead_letter (sighting, part, bytes, message, picture, sha256, reason, moved_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            key.sighting.as_bytes().as_slice(),
            part_number(key.part),
            content.bytes(),
            content.message(),
            content.file(),
            content.sha256(),
            reason,
            now.0
        ],
    )
}

/// The reason where a message is too large.
fn too_large(encoded: Result<(), WireError>) -> Result<Option<String>, WireError> {
    match encoded {
        Ok(()) => Ok(None),
        Err(e @ WireError::TooLarge(_)) => Ok(Some(e.to_string())),
        Err(e) => Err(e),
    }
}
