//! The database's tables, and how a connection to it is set up.

use super::error::OutboxError;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Raised with every change of the tables or of the messages in them. Other versions are rejected.
pub(super) const VERSION: i64 = 4;

/// `sighting` has a row for every sighting ever accepted, and so numbers them without a gap; `boot`
/// and `taken` are null where its times cannot be corrected.
/// `pending` holds the messages that shore has not acknowledged, `dead_letter` those that can never
/// be sent, `archive` acknowledged sightings for people on board. A message is either bytes or the
/// name of a picture file.
const TABLES: &str = "
CREATE TABLE sighting (
    boat        TEXT NOT NULL,
    sequence    INTEGER NOT NULL,
    id          BLOB NOT NULL UNIQUE,
    started_at  INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    boot        TEXT,
    taken       TEXT,
    PRIMARY KEY (boat, sequence),
    CHECK ((boot IS NULL) = (taken IS NULL))
) STRICT;
CREATE INDEX sighting_boot ON sighting (boot) WHERE boot IS NOT NULL;
CREATE TABLE pending (
    number   INTEGER PRIMARY KEY,
    sighting BLOB NOT NULL REFERENCES sighting (id),
    part     INTEGER NOT NULL,
    revision INTEGER NOT NULL DEFAULT 0,
    priority INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    message  BLOB,
    picture  TEXT,
    sha256   BLOB,
    UNIQUE (sighting, part),
    CHECK ((message IS NULL) <> (picture IS NULL))
) STRICT;
CREATE INDEX pending_order ON pending (priority, number);
CREATE TABLE dead_letter (
    sighting BLOB NOT NULL REFERENCES sighting (id),
    part     INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    message  BLOB,
    picture  TEXT,
    reason   TEXT NOT NULL,
    moved_at INTEGER NOT NULL,
    PRIMARY KEY (sighting, part)
) STRICT;
CREATE TABLE archive (
    sighting BLOB PRIMARY KEY NOT NULL REFERENCES sighting (id),
    bytes    INTEGER NOT NULL,
    message  BLOB,
    picture  TEXT
) STRICT;
";

pub(super) fn database(folder: &Path) -> PathBuf {
    folder.join("outbox.sqlite3")
}

/// A connection that commits durably; creates the tables in a new database.
pub(super) fn open(folder: &Path) -> Result<Connection, OutboxError> {
    let failed = OutboxError::database(folder);
    let mut connection = Connection::open(database(folder)).map_err(&failed)?;
    connection
        .busy_timeout(Duration::from_secs(10))
        .map_err(&failed)?;
    let is_new = check_version(&connection, folder)?.is_none();
    connection
        .pragma_update(None, "journal_mode", "WAL")
        .map_err(&failed)?;
    connection
        .pragma_update(None, "synchronous", "FULL")
        .map_err(&failed)?;
    connection
        .pragma_update(None, "foreign_keys", true)
        .map_err(&failed)?;
    // 400 kB, less than the reserve: deleting on a full disk must not fill it with its log.
    connection
        .pragma_update(None, "wal_autocheckpoint", 100)
        .map_err(&failed)?;
    if is_new {
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&failed)?;
        // Another connection may have been first.
        let version: i64 = transaction
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(&failed)?;
        if version == 0 {
            transaction.execute_batch(TABLES).map_err(&failed)?;
        }
        transaction
            .pragma_update(None, "user_version", VERSION)
            .map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
    }
    Ok(connection)
}

/// A read-only connection; `None` where there is no database yet.
pub(super) fn open_to_read(folder: &Path) -> Result<Option<Connection>, OutboxError> {
    let file = database(folder);
    if !file.exists() {
        return Ok(None);
    }
    let failed = OutboxError::database(folder);
    let connection =
        Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(&failed)?;
    connection
        .busy_timeout(Duration::from_secs(10))
        .map_err(&failed)?;
    Ok(check_version(&connection, folder)?.map(|()| connection))
}

/// Rejects foreign databases and other versions; `None` for an empty database.
fn check_version(connection: &Connection, folder: &Path) -> Result<Option<()>, OutboxError> {
    let failed = OutboxError::database(folder);
    let version: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(&failed)?;
    match version {
        0 => {
            let tables: i64 = connection
                .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
                .map_err(&failed)?;
            if tables == 0 {
                Ok(None)
            } else {
                Err(OutboxError::Foreign(folder.to_owned()))
            }
        }
        VERSION => Ok(Some(())),
        got => Err(OutboxError::Version {
            path: folder.to_owned(),
            got,
            supported: VERSION,
        }),
    }
}
