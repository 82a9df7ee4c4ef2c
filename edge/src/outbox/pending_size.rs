//! The size of a pending message, without reading it.

use super::error::OutboxError;
use super::key::{Key, part_number};
use super::queue::Queue;
use rusqlite::{OptionalExtension, params};

impl Queue {
    /// The size of a pending message in bytes, as [`Pending::bytes`](super::Pending::bytes); `None` where it is not
    /// pending. A picture and its reduced copy differ in it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn pending_size(&self, key: Key) -> Result<Option<u64>, OutboxError> {
        let query = "SELECT bytes FROM pending WHERE sighting = ? AND part = ? AND revision = ?";
        let id = key.sighting.as_bytes().as_slice();
        self.connection
            .prepare_cached(query)
            .and_then(|mut statement| {
                let values = params![id, part_number(key.part), key.revision];
                statement
                    .query_row(values, |row| row.get::<_, i64>(0))
                    .optional()
            })
            .map(|bytes| bytes.map(i64::unsigned_abs))
            .map_err(OutboxError::database(self.folder()))
    }
}
