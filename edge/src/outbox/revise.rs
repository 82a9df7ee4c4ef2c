//! Replaces the message of a sighting by its next revision.

use super::key::part_number;
use flukewatch_common::sighting::{MessageKind, Sighting};
use flukewatch_common::wire;
use rusqlite::{OptionalExtension, Transaction, params};
use uuid::Uuid;

/// Applies `change` to a sighting and queues the result as its next revision: in place of a pending
/// message or a dead letter, or again where shore has acknowledged it and a recording or the archive still
/// has it. A message that is held stays held.
/// Returns the revision; `None` where the sighting is not on board.
pub(super) fn revise(
    transaction: &Transaction<'_>,
    id: Uuid,
    change: impl FnOnce(&mut Sighting),
) -> rusqlite::Result<Option<Sighting>> {
    let id = id.as_bytes().as_slice();
    let part = part_number(MessageKind::Sighting);
    let newest = "SELECT message, 0 FROM pending WHERE sighting = ?1 AND part = ?2
                  UNION ALL SELECT message, 1 FROM dead_letter WHERE sighting = ?1 AND part = ?2
                  UNION ALL SELECT message, 0 FROM recording WHERE sighting = ?1
                  UNION ALL SELECT message, 0 FROM archive WHERE sighting = ?1 LIMIT 1";
    let newest: Option<(Option<Vec<u8>>, bool)> = transaction
        .prepare_cached(newest)?
        .query_row(params![id, part], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((Some(message), is_dead)) = newest else {
        return Ok(None);
    };
    let Ok(mut sighting) = wire::decode::<Sighting>(&message) else {
        return Ok(None);
    };
    let revision = sighting.revision.saturating_add(1);
    change(&mut sighting);
    sighting.revision = revision;
    let Ok(message) = wire::encode(&sighting) else {
        return Ok(None);
    };
    let put = if is_dead {
        "UPDATE dead_letter SET revision = ?3, bytes = ?4, message = ?5 WHERE sighting = ?1 AND part = ?2"
    } else {
        "INSERT INTO pending (sighting, part, revision, priority, bytes, message) VALUES (?1, ?2, ?3, ?2, ?4, ?5)
         ON CONFLICT (sighting, part) DO UPDATE
         SET revision = excluded.revision, bytes = excluded.bytes, message = excluded.message"
    };
    let length = message.len() as i64;
    transaction
        .prepare_cached(put)?
        .execute(params![id, part, revision, length, message])?;
    transaction
        .prepare_cached("UPDATE recording SET message = ?2 WHERE sighting = ?1")?
        .execute(params![id, message])?;
    Ok(Some(sighting))
}
