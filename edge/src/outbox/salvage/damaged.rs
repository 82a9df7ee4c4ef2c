//! What can still be read of a database that was set aside.

use super::super::error::OutboxError;
use super::super::{key, schema};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::{MessageKind, Sighting};
use flukewatch_common::wire;
use rusqlite::{Connection, OptionalExtension, Row};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The folder of the copy that is read, in the one that was set aside: SQLite may change what it reads.
const COPY: &str = "copy";

/// A copy of a database that may be damaged. It is deleted with this.
pub(super) struct DamagedDatabase {
    copy: PathBuf,
    connection: Connection,
}

/// A message that shore has not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OldMessage {
    pub(super) sighting: Uuid,
    pub(super) part: MessageKind,
    pub(super) revision: u32,
    pub(super) message: Option<Vec<u8>>,
    /// Whether it is a picture's file instead.
    pub(super) is_picture_file: bool,
    pub(super) sha256: Option<Vec<u8>>,
    /// Why it is a dead letter.
    pub(super) dead: Option<String>,
}

/// The number of a sighting and when it was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OldSighting {
    pub(super) boat: String,
    pub(super) epoch: Uuid,
    pub(super) begun_at: i64,
    pub(super) sequence: i64,
    pub(super) started_at: i64,
    pub(super) accepted_at: i64,
}

/// The row of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OldRecording {
    pub(super) message: Vec<u8>,
    pub(super) stage: i64,
    pub(super) attempts: i64,
}

impl DamagedDatabase {
    /// Copies the database in `aside` and opens the copy; `None` where it is missing or cannot be opened.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub(super) fn open(aside: &Path) -> Result<Option<Self>, OutboxError> {
        let copy = aside.join(COPY);
        let _ = std::fs::remove_dir_all(&copy);
        std::fs::create_dir(&copy).map_err(OutboxError::disk(&copy))?;
        for name in schema::files() {
            match std::fs::copy(aside.join(&name), copy.join(&name)) {
                Err(e) if e.kind() != ErrorKind::NotFound => {
                    return Err(OutboxError::disk(&copy.join(&name))(e));
                }
                _ => {}
            }
        }
        let opened = match schema::absence(&copy)? {
            Some(_) => None,
            None => Connection::open(schema::database(&copy)).ok(),
        };
        let opened = opened.map(|connection| Self {
            copy: copy.clone(),
            connection,
        });
        if opened.is_none() {
            let _ = std::fs::remove_dir_all(&copy);
        }
        Ok(opened)
    }

    /// Calls `take` with each message that can be read, pending ones first. Returns whether all could be.
    ///
    /// # Errors
    /// That of `take`.
    pub(super) fn messages(
        &self,
        mut take: impl FnMut(OldMessage) -> Result<(), OutboxError>,
    ) -> Result<bool, OutboxError> {
        let pending = self.scan("pending", "NULL", &mut take)?;
        let dead = self.scan("dead_letter", "reason", &mut take)?;
        Ok(pending && dead)
    }

    /// The rows of `table` in their order, up to damage; then those behind it, from the end.
    fn scan(
        &self,
        table: &str,
        reason: &str,
        take: &mut impl FnMut(OldMessage) -> Result<(), OutboxError>,
    ) -> Result<bool, OutboxError> {
        let (mut complete, mut last) = (true, i64::MIN);
        for order in ["ASC", "DESC"] {
            let query = format!(
                "SELECT sighting, part, revision, message, picture IS NOT NULL, sha256, {reason}, rowid
                 FROM {table} WHERE rowid > ? ORDER BY rowid {order}"
            );
            let Ok(mut statement) = self.connection.prepare(&query) else {
                return Ok(false);
            };
            let Ok(mut rows) = statement.query([last]) else {
                return Ok(false);
            };
            loop {
                match rows.next() {
                    Ok(Some(row)) => {
                        if order == "ASC" {
                            last = row.get(7).unwrap_or(last);
                        }
                        match message(row) {
                            Ok(message) if message.is_sound() => take(message)?,
                            _ => complete = false,
                        }
                    }
                    Ok(None) => return Ok(complete),
                    Err(_) => {
                        complete = false;
                        break;
                    }
                }
            }
        }
        Ok(false)
    }

    /// The row of a sighting; `None` where it cannot be read.
    pub(super) fn sighting(&self, id: Uuid) -> Option<OldSighting> {
        let query = "SELECT s.boat, e.id, e.begun_at, s.sequence, s.started_at, s.accepted_at
                     FROM sighting s JOIN epoch e ON e.number = s.epoch WHERE s.id = ?";
        let row = |row: &Row<'_>| {
            Ok(OldSighting {
                boat: row.get(0)?,
                epoch: key::uuid(row, 1)?,
                begun_at: row.get(2)?,
                sequence: row.get(3)?,
                started_at: row.get(4)?,
                accepted_at: row.get(5)?,
            })
        };
        self.row(query, id, row)
    }

    /// The recording of a sighting; `None` where it cannot be read.
    pub(super) fn recording(&self, id: Uuid) -> Option<OldRecording> {
        let query = "SELECT message, stage, attempts FROM recording WHERE sighting = ?";
        let row = |row: &Row<'_>| {
            Ok(OldRecording {
                message: row.get(0)?,
                stage: row.get(1)?,
                attempts: row.get(2)?,
            })
        };
        self.row(query, id, row)
    }

    fn row<T>(
        &self,
        query: &str,
        id: Uuid,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Option<T> {
        let mut statement = self.connection.prepare_cached(query).ok()?;
        let found = statement.query_row([id.as_bytes().as_slice()], read);
        found.optional().ok().flatten()
    }
}

impl Drop for DamagedDatabase {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.copy);
    }
}

impl OldMessage {
    /// Whether its content is that of its row: a damaged page may look like rows.
    fn is_sound(&self) -> bool {
        match (&self.message, self.part) {
            (None, MessageKind::Picture) => self.is_picture_file,
            (None, MessageKind::Sighting) => false,
            // A sighting that does not fit on the wire is kept as JSON.
            (Some(_), MessageKind::Sighting) => self.dead.is_some() || self.decoded().is_some(),
            (Some(_), MessageKind::Picture) => true,
            // In no row.
            (_, MessageKind::Brief | MessageKind::PicturePart) => false,
        }
    }

    /// The sighting, if it is one.
    fn decoded(&self) -> Option<Sighting> {
        let message = self.message.as_deref()?;
        let sighting: Sighting = wire::decode(message).ok()?;
        (sighting.id == self.sighting).then_some(sighting)
    }

    /// The row of its sighting, by what the message says of itself. It counts as accepted at `now`.
    pub(super) fn described(&self, now: Timestamp) -> Option<OldSighting> {
        let sighting = self.decoded()?;
        Some(OldSighting {
            boat: sighting.boat.to_string(),
            epoch: sighting.epoch?,
            begun_at: sighting.started.0,
            sequence: i64::try_from(sighting.sequence).ok()?,
            started_at: sighting.started.0,
            accepted_at: now.0,
        })
    }
}

fn message(row: &Row<'_>) -> rusqlite::Result<OldMessage> {
    Ok(OldMessage {
        sighting: key::uuid(row, 0)?,
        part: key::part(row, 1)?,
        revision: row.get(2)?,
        message: row.get(3)?,
        is_picture_file: row.get(4)?,
        sha256: row.get(5)?,
        dead: row.get(6)?,
    })
}
