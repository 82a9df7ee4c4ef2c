//! Replaces the message of a sighting by its next revision.

use super::key::part_number;
use flukewatch_common::sighting::{MessageKind, Sighting};
use flukewatch_common::wire;
use rusqlite::{OptionalExtension, Transaction, params};
use uuid::Uuid;

/// Applies `change` to a sighting and queues the result as its next revision: in place of a pending
/// message, or again where shore has acknowledged it and the archive still has it. Returns whether
/// the sighting was on board; dead letters are not revised.
pub(super) fn revise(
    transaction: &Transaction<'_>,
    id: Uuid,
    change: impl FnOnce(&mut Sighting),
) -> rusqlite::Result<bool> {
    let sighting_part = part_number(MessageKind::Sighting);
    let newest = "SELECT coalesce((SELECT message FROM pending WHERE sighting = ?1 AND part = ?2),
                         (SELECT message FROM archive WHERE sighting = ?1))";
    let message: Option<Vec<u8>> = transaction
        .prepare_cached(newest)?
        .query_row(params![id.as_bytes().as_slice(), sighting_part], |row| {
            row.get(0)
        })
        .optional()?
        .flatten();
    let Some(mut sighting) = message.and_then(|m| wire::decode::<Sighting>(&m).ok()) else {
        return Ok(false);
    };
    let revision = sighting.revision.saturating_add(1);
    change(&mut sighting);
    sighting.revision = revision;
    let Ok(message) = wire::encode(&sighting) else {
        return Ok(false);
    };
    let queue = "INSERT INTO pending (sighting, part, revision, priority, bytes, message) VALUES (?1, ?2, ?3, ?2, ?4, ?5)
                 ON CONFLICT (sighting, part) DO UPDATE
                 SET revision = excluded.revision, bytes = excluded.bytes, message = excluded.message";
    transaction.prepare_cached(queue)?.execute(params![
        id.as_bytes().as_slice(),
        sighting_part,
        revision,
        message.len() as i64,
        message
    ])?;
    Ok(true)
}
