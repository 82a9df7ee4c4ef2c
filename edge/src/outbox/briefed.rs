//! Of which sightings shore has a brief.

use super::key::Key;
use rusqlite::{Connection, params};

/// Notes that shore has a brief of this revision. Returns 1 where that was not known.
pub(super) fn delivered(connection: &Connection, key: Key) -> rusqlite::Result<usize> {
    let id = key.sighting.as_bytes().as_slice();
    connection
        .prepare_cached(
            "UPDATE pending SET briefed = ?2 WHERE sighting = ?1 AND part = 0 AND briefed < ?2",
        )?
        .execute(params![id, key.revision])
}
