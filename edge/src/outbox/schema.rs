//! The database's tables, and how a connection to it is set up.

use super::epoch::NewEpoch;
use super::error::OutboxError;
use super::key;
use flukewatch_common::clock::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, params};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use uuid::Uuid;

/// Raised with every change of the tables or of the messages in them. Other versions are rejected.
pub(super) const VERSION: i64 = 7;
/// The version before recordings, which is upgraded when it is opened for writing.
const WITHOUT_RECORDINGS: i64 = 4;
/// The version before briefs, which is upgraded, too.
const WITHOUT_BRIEFS: i64 = 5;
/// The version before files that shore requests, which is upgraded, too.
const WITHOUT_REQUESTS: i64 = 6;

/// Versions outside this range were never written by any program: the file is damaged.
const PLAUSIBLE_VERSIONS: std::ops::RangeInclusive<i64> = 0..=100_000;

/// `epoch` has a row for every epoch, the last of which is the current one. `sighting` has a row for
/// every sighting ever accepted, and so numbers them without a gap in each epoch.
/// Its `boot` and `taken` are null where its times cannot be corrected.
/// `pending` holds the messages that shore has not acknowledged, `dead_letter` those that can never
/// be sent, `archive` acknowledged sightings for people on board. A message is either bytes or the
/// name of a picture file. A pending message that is `held` is not sent yet: its encounter is still to be
/// identified. `briefed` is the revision of which shore has a brief, or -1. `recording` has the encounters whose recordings are on board, with the newest message of
/// each. `clock` has one row: the outbox's clock ([`super::OutboxClock`]) when it
/// was last saved; `accepted_at` and `moved_at` are by that clock, `started_at` is a date.
const TABLES: &str = "
CREATE TABLE epoch (
    number   INTEGER PRIMARY KEY,
    id       BLOB NOT NULL,
    begun_at INTEGER NOT NULL
) STRICT;
CREATE TABLE sighting (
    boat        TEXT NOT NULL,
    epoch       INTEGER NOT NULL REFERENCES epoch (number),
    sequence    INTEGER NOT NULL,
    id          BLOB NOT NULL UNIQUE,
    started_at  INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    boot        TEXT,
    taken       TEXT,
    PRIMARY KEY (boat, epoch, sequence),
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
    held     INTEGER NOT NULL DEFAULT 0,
    briefed  INTEGER NOT NULL DEFAULT -1,
    UNIQUE (sighting, part),
    CHECK ((message IS NULL) <> (picture IS NULL))
) STRICT;
CREATE INDEX pending_order ON pending (priority, number);
CREATE TABLE dead_letter (
    sighting BLOB NOT NULL REFERENCES sighting (id),
    part     INTEGER NOT NULL,
    revision INTEGER NOT NULL DEFAULT 0,
    bytes    INTEGER NOT NULL,
    message  BLOB,
    picture  TEXT,
    sha256   BLOB,
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
CREATE TABLE clock (
    milliseconds INTEGER NOT NULL
) STRICT;
INSERT INTO clock VALUES (0);
";

/// The table of recordings. `stage` is 0 where the encounter is to be identified, 1 where it is
/// identified and 2 where that failed; `attempts` counts the times that it was tried.
const RECORDINGS: &str = "
CREATE TABLE recording (
    sighting BLOB PRIMARY KEY NOT NULL REFERENCES sighting (id),
    bytes    INTEGER NOT NULL,
    message  BLOB NOT NULL,
    stage    INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX recording_open ON recording (stage) WHERE stage = 0;
";
/// Indices for briefs to send, and for sizes.
const BRIEF_INDICES: &str = "
CREATE INDEX pending_brief ON pending (number) WHERE part = 0 AND briefed < revision;
CREATE INDEX pending_size ON pending (part, bytes);
";
/// The files that shore has requested, with the name of the clip, and until when they are kept by the outbox's clock;
/// when the latest command was made, by the station's clock; and whose recordings were deleted within the limits.
const REQUESTS: &str = "
CREATE TABLE requested_file (
    number     INTEGER PRIMARY KEY,
    sighting   BLOB NOT NULL,
    clip       TEXT,
    kept_until INTEGER NOT NULL
) STRICT;
CREATE TABLE command (
    issued INTEGER NOT NULL
) STRICT;
INSERT INTO command VALUES (-9223372036854775808);
CREATE TABLE deleted_recording (
    sighting BLOB PRIMARY KEY NOT NULL
) STRICT, WITHOUT ROWID;
";
/// Upgrades [`WITHOUT_BRIEFS`], together with [`BRIEF_INDICES`].
const ADD_BRIEFED: &str = "ALTER TABLE pending ADD COLUMN briefed INTEGER NOT NULL DEFAULT -1;";
/// Upgrades [`WITHOUT_RECORDINGS`], together with [`RECORDINGS`].
const ADD_HELD: &str = "ALTER TABLE pending ADD COLUMN held INTEGER NOT NULL DEFAULT 0;";

/// What a database holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// Nothing yet.
    Nothing,
    /// The tables of [`WITHOUT_RECORDINGS`].
    WithoutRecordings,
    /// The tables of [`WITHOUT_BRIEFS`].
    WithoutBriefs,
    /// The tables of [`WITHOUT_REQUESTS`].
    WithoutRequests,
    /// The tables of [`VERSION`].
    Current,
}

/// Saves the outbox's clock, which never runs backwards.
pub(super) fn save_clock(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE clock SET milliseconds = max(milliseconds, ?)")?
        .execute([now.0])
        .map(drop)
}

/// The outbox's clock when it was last saved.
pub(super) fn saved_clock(connection: &Connection) -> rusqlite::Result<Timestamp> {
    connection.query_row("SELECT max(milliseconds) FROM clock", [], |row| {
        row.get(0).map(Timestamp)
    })
}

pub(super) fn database(folder: &Path) -> PathBuf {
    folder.join("outbox.sqlite3")
}

/// The names of all files of the database.
pub(super) fn files() -> [PathBuf; 4] {
    ["", "-wal", "-shm", "-journal"].map(|end| PathBuf::from(format!("outbox.sqlite3{end}")))
}

/// What is wrong with the database before it is opened: it is missing or has no content. `None` where
/// it has some.
pub(super) fn absence(folder: &Path) -> Result<Option<&'static str>, OutboxError> {
    let file = database(folder);
    match std::fs::metadata(&file) {
        Ok(found) if found.len() == 0 => Ok(Some("its database is empty")),
        Ok(_) => Ok(None),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Some("its database is missing")),
        Err(e) => Err(OutboxError::disk(&file)(e)),
    }
}

/// Whether there is a log with transactions of a database that is gone. SQLite would delete it.
pub(super) fn has_log(folder: &Path) -> bool {
    let log = folder.join("outbox.sqlite3-wal");
    std::fs::metadata(log).is_ok_and(|log| log.len() > 0)
}

/// A connection that commits durably, to an existing database; `None` where it has no tables yet.
pub(super) fn open(folder: &Path) -> Result<Option<Connection>, OutboxError> {
    let (connection, is_new) = connect(folder, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    Ok((!is_new).then_some(connection))
}

/// The same; creates the tables in a new database, whose first epoch is `fresh`.
pub(super) fn open_or_create(folder: &Path, fresh: &NewEpoch) -> Result<Connection, OutboxError> {
    let failed = OutboxError::database(folder);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let (mut connection, is_new) = connect(folder, flags)?;
    if is_new {
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&failed)?;
        transaction.execute_batch(TABLES).map_err(&failed)?;
        transaction.execute_batch(RECORDINGS).map_err(&failed)?;
        transaction.execute_batch(BRIEF_INDICES).map_err(&failed)?;
        transaction.execute_batch(REQUESTS).map_err(&failed)?;
        begin_epoch(&transaction, fresh).map_err(&failed)?;
        transaction
            .pragma_update(None, "user_version", VERSION)
            .map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
    }
    Ok(connection)
}

/// A connection, and whether the database is new.
fn connect(folder: &Path, flags: OpenFlags) -> Result<(Connection, bool), OutboxError> {
    let failed = OutboxError::database(folder);
    let mut connection = Connection::open_with_flags(database(folder), flags).map_err(&failed)?;
    connection
        .busy_timeout(Duration::from_secs(10))
        .map_err(&failed)?;
    let content = content(&connection, folder)?;
    // Otherwise, many statements are compiled again each time a value is bound to them.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map_err(&failed)?;
    for (pragma, value) in [("journal_mode", "WAL"), ("synchronous", "FULL")] {
        connection
            .pragma_update(None, pragma, value)
            .map_err(&failed)?;
    }
    connection
        .pragma_update(None, "foreign_keys", true)
        .map_err(&failed)?;
    // 400 kB, less than the reserve: deleting on a full disk must not fill it with its log.
    connection
        .pragma_update(None, "wal_autocheckpoint", 100)
        .map_err(&failed)?;
    if !matches!(content, Content::Nothing | Content::Current) {
        upgrade(&mut connection, folder)?;
    }
    Ok((connection, content == Content::Nothing))
}

/// Adds the tables of [`VERSION`], unless another connection has added them meanwhile.
fn upgrade(connection: &mut Connection, folder: &Path) -> Result<(), OutboxError> {
    let failed = OutboxError::database(folder);
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(&failed)?;
    let content = content(&transaction, folder)?;
    if content == Content::WithoutRecordings {
        transaction.execute_batch(ADD_HELD).map_err(&failed)?;
        transaction.execute_batch(RECORDINGS).map_err(&failed)?;
    }
    if matches!(content, Content::WithoutRecordings | Content::WithoutBriefs) {
        transaction.execute_batch(ADD_BRIEFED).map_err(&failed)?;
        transaction.execute_batch(BRIEF_INDICES).map_err(&failed)?;
    }
    if !matches!(content, Content::Nothing | Content::Current) {
        transaction.execute_batch(REQUESTS).map_err(&failed)?;
        transaction
            .pragma_update(None, "user_version", VERSION)
            .map_err(&failed)?;
    }
    transaction.commit().map_err(&failed)
}

/// Moves the log into the database after a write that failed: on a full disk the log has no room for another
/// transaction, and starts over without growing. Nothing is lost where that fails as well.
pub(super) fn restart_log(connection: &Connection) {
    let restarted = connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()));
    if let Err(error) = restarted {
        tracing::debug!(%error, "cannot restart the log of the outbox");
    }
}

/// Begins an epoch: numbers start at 1 again.
pub(super) fn begin_epoch(connection: &Connection, fresh: &NewEpoch) -> rusqlite::Result<usize> {
    connection.execute(
        "INSERT INTO epoch (id, begun_at) VALUES (?, ?)",
        params![fresh.id.as_bytes().as_slice(), fresh.now.0],
    )
}

/// Number and id of the current epoch.
pub(super) fn epoch(connection: &Connection) -> rusqlite::Result<(i64, Uuid)> {
    let query = "SELECT number, id FROM epoch ORDER BY number DESC LIMIT 1";
    connection.query_row(query, [], |row| Ok((row.get(0)?, key::uuid(row, 1)?)))
}

/// Verifies the whole database, which reads it once.
///
/// # Errors
/// [`OutboxError::Damaged`] when a page, an index or a table is.
pub(super) fn verify(connection: &Connection, folder: &Path) -> Result<(), OutboxError> {
    let failed = OutboxError::database(folder);
    let damaged = |reason: String| OutboxError::Damaged {
        path: folder.to_owned(),
        reason,
    };
    let found: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(&failed)?;
    if found != "ok" {
        return Err(damaged(found.replace('\n', " ")));
    }
    let tables = "SELECT 1 FROM epoch, sighting, pending, dead_letter, archive, recording, requested_file, command, deleted_recording LIMIT 0";
    match connection.prepare(tables).map(drop) {
        // Not an error of the disk: a table is missing.
        Err(e) if matches!(e.sqlite_error_code(), None | Some(ErrorCode::Unknown)) => {
            Err(damaged(e.to_string()))
        }
        other => other.map_err(&failed),
    }?;
    match epoch(connection) {
        Err(rusqlite::Error::QueryReturnedNoRows) => Err(damaged("it has no epoch".into())),
        other => other.map(drop).map_err(&failed),
    }
}

/// Whether no sighting was ever accepted.
pub(super) fn is_unused(connection: &Connection, folder: &Path) -> Result<bool, OutboxError> {
    connection
        .query_row("SELECT NOT EXISTS (SELECT 1 FROM sighting)", [], |row| {
            row.get(0)
        })
        .map_err(OutboxError::database(folder))
}

/// A read-only connection; `None` where there is no database yet.
pub(super) fn open_to_read(folder: &Path) -> Result<Option<Connection>, OutboxError> {
    let file = database(folder);
    match file.try_exists() {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(e) => return Err(OutboxError::disk(&file)(e)),
    }
    let failed = OutboxError::database(folder);
    let connection =
        Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(&failed)?;
    connection
        .busy_timeout(Duration::from_secs(10))
        .map_err(&failed)?;
    let is_new = content(&connection, folder)? == Content::Nothing;
    Ok((!is_new).then_some(connection))
}

/// What the database holds. Rejects foreign databases and other versions.
fn content(connection: &Connection, folder: &Path) -> Result<Content, OutboxError> {
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
                Ok(Content::Nothing)
            } else {
                Err(OutboxError::Foreign(folder.to_owned()))
            }
        }
        VERSION => Ok(Content::Current),
        WITHOUT_RECORDINGS => Ok(Content::WithoutRecordings),
        WITHOUT_BRIEFS => Ok(Content::WithoutBriefs),
        WITHOUT_REQUESTS => Ok(Content::WithoutRequests),
        got if !PLAUSIBLE_VERSIONS.contains(&got) => Err(OutboxError::Damaged {
            path: folder.to_owned(),
            reason: format!("its format version is {got}"),
        }),
        got => Err(OutboxError::Version {
            path: folder.to_owned(),
            got,
            supported: VERSION,
        }),
    }
}
