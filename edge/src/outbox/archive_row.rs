//! Rows of the archive.

use rusqlite::{Transaction, params};

/// Adds one message of a sighting, in place of an earlier revision.
pub(super) fn put(
    transaction: &Transaction<'_>,
    sighting: &[u8],
    bytes: i64,
    message: Option<&[u8]>,
    picture: Option<&str>,
) -> rusqlite::Result<usize> {
    let query = "INSERT INTO archive (sighting, bytes, message, picture) VALUES (?, ?, ?, ?)
                 ON CONFLICT (sighting) DO UPDATE SET bytes = bytes + excluded.bytes
                   - CASE WHEN excluded.message IS NULL THEN 0 ELSE coalesce(length(message), 0) END,
                 message = coalesce(excluded.message, message), picture = coalesce(excluded.picture, picture)";
    transaction
        .prepare_cached(query)?
        .execute(params![sighting, bytes, message, picture])
}
