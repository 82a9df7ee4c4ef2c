//! Writes to the database on a disk that may be full.

use super::error::OutboxError;
use super::reserve::Reserve;
use super::schema;
use rusqlite::Connection;

/// Commits by `write`, which changes nothing where it fails. A second attempt on a full disk has the
/// database's log from its start; a third one has the reserve, which [`Outbox`](super::Outbox) restores.
pub(super) fn commit<C, T>(
    client: &mut C,
    storage: impl Fn(&C) -> (&Connection, &Reserve),
    mut write: impl FnMut(&mut C) -> Result<T, OutboxError>,
) -> Result<T, OutboxError> {
    match write(client) {
        Err(error) if error.is_of_disk() => {}
        done => return done,
    }
    schema::restart_log(storage(client).0);
    match write(client) {
        Err(error) if error.is_of_disk() && storage(client).1.release() => write(client),
        done => done,
    }
}
