//! Lists the outbox's messages, also while the boat works.

use super::error::OutboxError;
use super::key;
use super::schema;
use super::set_aside::{SetAside, set_aside};
use flukewatch_common::sighting::MessageKind;
use rusqlite::Connection;
use serde::Serialize;
use std::path::Path;
use uuid::Uuid;

/// A message in the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Id of the sighting that it belongs to.
    pub sighting: Uuid,
    /// The sighting's sequence number.
    pub sequence: u64,
    /// `sighting` or `picture`.
    pub part: &'static str,
    /// The size in bytes.
    pub bytes: u64,
    /// Why it is not sent any more; `None` where it is pending.
    pub reason: Option<String>,
}

/// All messages of an outbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// Number of sightings ever accepted.
    pub accepted: u64,
    /// Pending messages, in the order in which they are sent.
    pub pending: Vec<Listed>,
    /// Messages that can never be sent, or that shore rejected.
    pub dead_letters: Vec<Listed>,
    /// Earlier outboxes, or pictures of them, that were set aside.
    pub set_aside: Vec<SetAside>,
}

impl Listing {
    /// Reads the outbox in `folder`, also while a boat works with it. A folder without one lists as
    /// empty.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn read(folder: &Path) -> Result<Self, OutboxError> {
        let set_aside = set_aside(folder);
        let Some(connection) = schema::open_to_read(folder)? else {
            return Ok(Self {
                set_aside,
                ..Self::default()
            });
        };
        let listing = Self::from(&connection).map_err(OutboxError::database(folder))?;
        Ok(Self {
            set_aside,
            ..listing
        })
    }

    fn from(connection: &Connection) -> rusqlite::Result<Self> {
        let accepted: i64 =
            connection.query_row("SELECT count(*) FROM sighting", [], |row| row.get(0))?;
        let pending = "SELECT o.sighting, s.sequence, o.part, o.bytes, NULL FROM pending o
                      JOIN sighting s ON s.id = o.sighting ORDER BY o.priority, o.number";
        let dead_letters =
            "SELECT d.sighting, s.sequence, d.part, d.bytes, d.reason FROM dead_letter d
                    JOIN sighting s ON s.id = d.sighting ORDER BY s.sequence, d.part";
        Ok(Self {
            accepted: accepted.unsigned_abs(),
            pending: list(connection, pending)?,
            dead_letters: list(connection, dead_letters)?,
            set_aside: vec![],
        })
    }
}

fn list(connection: &Connection, query: &str) -> rusqlite::Result<Vec<Listed>> {
    let mut statement = connection.prepare(query)?;
    let rows = statement.query_map([], |row| {
        Ok(Listed {
            sighting: key::uuid(row, 0)?,
            sequence: row.get::<_, i64>(1)?.unsigned_abs(),
            part: match key::part(row, 2)? {
                MessageKind::Sighting => "sighting",
                MessageKind::Picture => "picture",
                MessageKind::Brief => "brief",
                MessageKind::PicturePart => "picture part",
            },
            bytes: row.get::<_, i64>(3)?.unsigned_abs(),
            reason: row.get(4)?,
        })
    })?;
    rows.collect()
}
