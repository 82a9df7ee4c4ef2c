//! What is in the outbox, for people and programs that look at it while the boat works.

use super::queue::{self, Counts};
use super::{OutboxError, schema};
use flukewatch_common::sighting::Part;
use rusqlite::Connection;
use serde::Serialize;
use std::path::Path;
use uuid::Uuid;

/// A message in the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Of which sighting.
    pub sighting: Uuid,
    /// That sighting's number.
    pub sequence: u64,
    /// `sighting` or `picture`.
    pub part: &'static str,
    /// How large, in bytes.
    pub bytes: u64,
    /// Why it is dead; `None` where it waits to be sent.
    pub dead_because: Option<String>,
}

/// All that is in the outbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// Sightings ever taken in.
    pub accepted: u64,
    /// What waits for its receipt, in the order in which it is sent.
    pub queued: Vec<Listed>,
    /// What can never be sent.
    pub dead: Vec<Listed>,
}

impl Listing {
    /// Reads the outbox in `folder`, also while a boat works with it. A folder without one is an empty outbox.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn read(folder: &Path) -> Result<Self, OutboxError> {
        let Some(connection) = schema::open_to_read(folder)? else {
            return Ok(Self::default());
        };
        Self::from(&connection).map_err(OutboxError::database(folder))
    }

    fn from(connection: &Connection) -> rusqlite::Result<Self> {
        let Counts { accepted, .. } = queue::count(connection)?;
        let queued = "SELECT o.sighting, s.sequence, o.part, o.bytes, NULL FROM outbox o
                      JOIN sighting s ON s.id = o.sighting ORDER BY o.priority, o.number";
        let dead = "SELECT d.sighting, s.sequence, d.part, d.bytes, d.reason FROM dead_letter d
                    JOIN sighting s ON s.id = d.sighting ORDER BY s.sequence, d.part";
        Ok(Self {
            accepted,
            queued: list(connection, queued)?,
            dead: list(connection, dead)?,
        })
    }
}

fn list(connection: &Connection, query: &str) -> rusqlite::Result<Vec<Listed>> {
    let mut statement = connection.prepare(query)?;
    let rows = statement.query_map([], |row| {
        Ok(Listed {
            sighting: queue::uuid(row, 0)?,
            sequence: row.get::<_, i64>(1)?.unsigned_abs(),
            part: match queue::part(row, 2)? {
                Part::Sighting => "sighting",
                Part::Picture => "picture",
            },
            bytes: row.get::<_, i64>(3)?.unsigned_abs(),
            dead_because: row.get(4)?,
        })
    })?;
    rows.collect()
}
