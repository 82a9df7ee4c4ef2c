//! Accepts sightings.

use super::epoch::NewEpoch;
use super::error::OutboxError;
use super::key::Key;
use super::new_row::{Content, dead_letter, enqueue};
use super::pictures::Pictures;
use super::queue::Queue;
use super::recording_files::RecordingFiles;
use super::recordings::{self, RecordingLimits, Recordings};
use super::reserve::Reserve;
use super::taken::Taken;
use super::{recover, schema, set_aside};
use crate::clip::ClipFolder;
use crate::recording::Recording;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::{BoatId, MessageKind, Picture, Sighting};
use flukewatch_common::wire::{self, WireError};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How much of the archive is deleted at once when the disk is full, in bytes: several sightings.
const ARCHIVE_STEP: u64 = 2_000_000;
/// The same of clips: about one of them.
const CLIP_STEP: u64 = 20_000_000;

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
    recordings: RecordingFiles,
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
        // Now that those of a damaged outbox are set aside.
        let recordings = RecordingFiles::of(folder);
        recordings.create_folder()?;
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
            recordings,
            reserve: Reserve::of(folder),
            _lock: lock,
        };
        outbox.reject_other_boats()?;
        recover::tidy(
            folder,
            &outbox.pictures,
            &outbox.recordings,
            &outbox.connection,
            &fresh,
        )?;
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
        self.recordings.create_folder()?;
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

    /// The folder of the outbox.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Another connection, to identify what was recorded.
    ///
    /// # Errors
    /// When the database cannot be opened.
    pub fn recordings(&self) -> Result<Recordings, OutboxError> {
        Recordings::open(&self.folder)
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
        let entry = Entry {
            sighting,
            jpeg,
            recording: None,
            taken: None,
        };
        self.accept_entry(&entry, now)
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
        let entry = Entry {
            sighting,
            jpeg,
            recording: None,
            taken,
        };
        self.accept_entry(&entry, now)
    }

    /// Stores an encounter with its recording before it is identified. Its messages are held until
    /// [`Recordings::conclude`] or [`Queue::release_held`].
    ///
    /// # Errors
    /// Those of [`Outbox::accept`].
    pub fn record(
        &mut self,
        recording: &Recording,
        jpeg: &[u8],
        taken: Taken,
        now: Timestamp,
    ) -> Result<u64, OutboxError> {
        let file = recording.to_file().map_err(OutboxError::Json)?;
        let entry = Entry {
            sighting: &recording.sighting,
            jpeg,
            recording: Some(&file),
            taken: Some(taken),
        };
        self.accept_entry(&entry, now)
    }

    fn accept_entry(&mut self, entry: &Entry<'_>, now: Timestamp) -> Result<u64, OutboxError> {
        let Entry { sighting, jpeg, .. } = *entry;
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
        self.check_space(entry.bytes())?;
        loop {
            match self.store(entry, picture_error.as_deref(), now) {
                // What shore has makes room for what it has not.
                Err(OutboxError::Full { .. }) if self.free(now)? => {}
                done => return done,
            }
        }
    }

    /// Frees disk space of what shore knows: clips first, then archived pictures, then recordings.
    /// Returns whether there was anything to delete.
    fn free(&mut self, now: Timestamp) -> Result<bool, OutboxError> {
        let unacknowledged = self.queue()?.backlog()?.oldest;
        let clips = ClipFolder::of(&self.folder).free(CLIP_STEP, unacknowledged, now);
        match clips {
            Ok(0) => {}
            Ok(deleted) => {
                tracing::warn!(deleted, "disk full; deleted clips");
                return Ok(true);
            }
            Err(error) => tracing::warn!(%error, "cannot delete clips"),
        }
        if self.pictures.free_archive(ARCHIVE_STEP) > 0 {
            tracing::warn!("disk full; deleting archived pictures");
            return Ok(true);
        }
        let nothing = RecordingLimits {
            max_age: Duration::MAX,
            max_bytes: 0,
        };
        let deleted = self.queue()?.prune_recordings(nothing, now);
        let deleted = deleted.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot delete acknowledged recordings");
            0
        });
        if deleted > 0 {
            tracing::warn!(deleted, "disk full; deleted acknowledged recordings");
        }
        Ok(deleted > 0)
    }

    /// Writes files and transaction, on a disk that may be full.
    fn store(
        &mut self,
        entry: &Entry<'_>,
        picture_error: Option<&str>,
        now: Timestamp,
    ) -> Result<u64, OutboxError> {
        let sighting = entry.sighting;
        self.reserve.keep()?;
        let file = self.pictures.write(sighting.id, entry.jpeg)?;
        let recorded = match entry.recording {
            Some(recording) => self.recordings.write(sighting.id, recording),
            None => Ok(()),
        };
        let accepted = recorded.and_then(|()| self.insert(entry, &file, picture_error, now));
        match &accepted {
            Ok(_) => {
                self.pictures.commit(&file);
                if entry.recording.is_some() {
                    self.recordings.commit(sighting.id);
                }
            }
            // A failed commit may have happened all the same. Orphaned files are removed when the
            // outbox is next opened.
            Err(error) if matches!(self.sequence_of(sighting), Ok(None)) => {
                self.pictures.remove(&file);
                self.recordings.remove(sighting.id);
                if error.is_of_disk() {
                    schema::restart_log(&self.connection);
                }
            }
            Err(_) => {}
        }
        accepted
    }

    /// The one transaction: sighting, message, picture and recording.
    fn insert(
        &mut self,
        entry: &Entry<'_>,
        file: &str,
        picture_error: Option<&str>,
        now: Timestamp,
    ) -> Result<u64, OutboxError> {
        let Entry {
            sighting,
            jpeg,
            recording,
            taken,
        } = *entry;
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
                recording.is_some(),
            )
            .and_then(|_| match recording {
                Some(file) => recordings::insert(&transaction, sighting.id, file.len(), &message),
                None => Ok(0),
            }),
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
            // Held too: on a slow link, it would delay the verdict.
            None => enqueue(
                &transaction,
                key(MessageKind::Picture),
                picture,
                recording.is_some(),
            ),
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
        let recorded = recordings::unacknowledged_bytes(&self.connection)
            .map_err(OutboxError::database(&self.folder))?;
        let pending = pending.unsigned_abs() + recorded;
        if pending + more <= self.max_bytes {
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

/// What is accepted together.
struct Entry<'a> {
    sighting: &'a Sighting,
    /// The picture.
    jpeg: &'a [u8],
    /// The file of the recording of an encounter that is to be identified.
    recording: Option<&'a [u8]>,
    taken: Option<Taken>,
}

impl Entry<'_> {
    /// The size of its files.
    fn bytes(&self) -> u64 {
        (self.jpeg.len() + self.recording.map_or(0, <[u8]>::len)) as u64
    }
}

/// The reason where a message is too large.
fn too_large(encoded: Result<(), WireError>) -> Result<Option<String>, WireError> {
    match encoded {
        Ok(()) => Ok(None),
        Err(e @ WireError::TooLarge(_)) => Ok(Some(e.to_string())),
        Err(e) => Err(e),
    }
}
