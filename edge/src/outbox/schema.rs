//! The database's tables and how a connection to it is set up.

use super::OutboxError;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Raised with every change of the tables.
pub(super) const VERSION: i64 = 2;

/// `sighting` logs every sighting ever made, and so counts them without a gap; `outbox` holds the messages that shore has not
/// receipted, `dead_letter` those that cannot be sent. A message is either bytes or the name of a picture file.
const TABLES: &str = "
CREATE TABLE sighting (
    boat      TEXT NOT NULL,
    sequence  INTEGER NOT NULL,
    id        BLOB NOT NULL UNIQUE,
    started   INTEGER NOT NULL,
    committed INTEGER NOT NULL,
    PRIMARY KEY (boat, sequence)
) STRICT;
CREATE TABLE outbox (
    number   INTEGER PRIMARY KEY,
    sighting BLOB NOT NULL REFERENCES sighting (id),
    part     INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    message  BLOB,
    picture  TEXT,
    sha256   BLOB,
    UNIQUE (sighting, part),
    CHECK ((message IS NULL) <> (picture IS NULL))
) STRICT;
CREATE INDEX outbox_order ON outbox (priority, number);
CREATE TABLE dead_letter (
    sighting BLOB NOT NULL REFERENCES sighting (id),
    part     INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    message  BLOB,
    picture  TEXT,
    reason   TEXT NOT NULL,
    died     INTEGER NOT NULL,
    PRIMARY KEY (sighting, part)
) STRICT;
";

/// Since version 2: `archive` holds what shore has receipted, for people on board, as long as there is room.
const ARCHIVE: &str = "
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

/// A connection that commits durably; makes the tables in a new database.
pub(super) fn open(folder: &Path) -> Result<Connection, OutboxError> {
    let failed = OutboxError::database(folder);
    let mut connection = Connection::open(database(folder)).map_err(&failed)?;
    connection
        .busy_timeout(Duration::from_secs(10))
        .map_err(&failed)?;
    let version = check_version(&connection, folder)?;
    connection
        .pragma_update(None, "journal_mode", "WAL")
        .map_err(&failed)?;
    connection
        .pragma_update(None, "synchronous", "FULL")
        .map_err(&failed)?;
    connection
        .pragma_update(None, "foreign_keys", true)
        .map_err(&failed)?;
    // 400 kB: well within the reserve, so that a full disk cannot be filled by the log of its emptying.
    connection
        .pragma_update(None, "wal_autocheckpoint", 100)
        .map_err(&failed)?;
    if version < VERSION {
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&failed)?;
        // Another connection may have been faster.
        let version: i64 = transaction
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(&failed)?;
        if version < 1 {
            transaction.execute_batch(TABLES).map_err(&failed)?;
        }
        if version < 2 {
            transaction.execute_batch(ARCHIVE).map_err(&failed)?;
        }
        transaction
            .pragma_update(None, "user_version", VERSION)
            .map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
    }
    Ok(connection)
}

/// A connection that only looks; `None` where there is no database yet.
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
    Ok((check_version(&connection, folder)? > 0).then_some(connection))
}

/// The version of the tables; 0 where there are none yet.
fn check_version(connection: &Connection, folder: &Path) -> Result<i64, OutboxError> {
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
                Ok(0)
            } else {
                Err(OutboxError::Foreign(folder.to_owned()))
            }
        }
        1..=VERSION => Ok(version),
        got => Err(OutboxError::Newer {
            path: folder.to_owned(),
            got,
            known: VERSION,
        }),
    }
}
