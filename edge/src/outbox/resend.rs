//! Gives dead letters another chance, e.g. after a broker's limit was raised.

use super::error::OutboxError;
use super::schema;
use rusqlite::TransactionBehavior;
use std::path::Path;

/// Makes the dead letters in `folder` pending again, also while the boat works. Those that do not fit
/// on the wire stay, and pictures while a reduced copy of them is pending. Returns how many were moved.
///
/// # Errors
/// When the database cannot be read or written.
pub fn resend(folder: &Path) -> Result<usize, OutboxError> {
    if schema::absence(folder)?.is_some() {
        return Ok(0);
    }
    let failed = OutboxError::database(folder);
    let Some(mut connection) = schema::open(folder)? else {
        return Ok(0);
    };
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(&failed)?;
    // A sighting that does not fit is stored as JSON. An ack of a reduced copy would delete the picture.
    let sendable = "(message IS NULL OR substr(message, 1, 4) = X'464C4B57')
                    AND (part = 0 OR sighting NOT IN
                         (SELECT sighting FROM pending WHERE part = 1 AND message IS NOT NULL))";
    let moved = transaction
        .execute(
            &format!(
                "INSERT INTO pending (sighting, part, revision, priority, bytes, message, picture, sha256)
                 SELECT sighting, part, revision, part, bytes, message, picture, sha256 FROM dead_letter WHERE {sendable}"
            ),
            [],
        )
        .map_err(&failed)?;
    transaction
        .execute(&format!("DELETE FROM dead_letter WHERE {sendable}"), [])
        .map_err(&failed)?;
    transaction.commit().map_err(&failed)?;
    Ok(moved)
}
