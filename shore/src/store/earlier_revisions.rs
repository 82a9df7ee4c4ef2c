//! Revisions of sightings that a newer one has replaced, as the messages that carried them.

use super::error::StoreError;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::Sighting;
use flukewatch_common::wire;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

/// Keeps `sighting`, which was received at `received`, as an earlier revision.
pub(super) fn insert(
    db: &Connection,
    sighting: &Sighting,
    received: Timestamp,
) -> Result<(), StoreError> {
    let message = wire::encode(sighting)
        .map_err(|error| StoreError::invalid("revision", error.to_string()))?;
    db.prepare_cached("INSERT INTO earlier_revisions VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            sighting.id.to_string(),
            sighting.revision,
            message,
            received.0
        ])?;
    Ok(())
}

/// Earlier revision number `revision` of sighting `id`, if it is stored.
pub(super) fn get(
    db: &Connection,
    id: Uuid,
    revision: u32,
) -> Result<Option<Sighting>, StoreError> {
    let message: Option<Vec<u8>> = db
        .prepare_cached(
            "SELECT message FROM earlier_revisions WHERE sighting = ?1 AND revision = ?2",
        )?
        .query_row(params![id.to_string(), revision], |row| row.get(0))
        .optional()?;
    message.as_deref().map(decode).transpose()
}

/// All earlier revisions of sighting `id` and when they were received, oldest first.
pub(super) fn all(db: &Connection, id: Uuid) -> Result<Vec<(Sighting, Timestamp)>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT message, received FROM earlier_revisions WHERE sighting = ?1 ORDER BY revision",
    )?;
    let mut rows = statement.query([id.to_string()])?;
    let mut revisions = vec![];
    while let Some(row) = rows.next()? {
        let message: Vec<u8> = row.get("message")?;
        revisions.push((decode(&message)?, Timestamp(row.get("received")?)));
    }
    Ok(revisions)
}

fn decode(message: &[u8]) -> Result<Sighting, StoreError> {
    wire::decode(message).map_err(|error| StoreError::invalid("revision", error.to_string()))
}
