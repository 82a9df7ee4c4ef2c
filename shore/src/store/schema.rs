//! The tables, and how a database is opened.

use super::StoreError;
use rusqlite::Connection;
use std::path::Path;
use std::time::Duration;

/// The version of the tables below, kept in `user_version`.
pub(super) const VERSION: i64 = 4;

/// Times are milliseconds since 1970 UTC, ids are written as text so that `sqlite3` shows them as the pages do.
const TABLES: &str = "
CREATE TABLE sightings (
    id TEXT PRIMARY KEY,
    boat TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    camera TEXT NOT NULL,
    started INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    frames INTEGER NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('known', 'new', 'review')),
    whale TEXT CHECK ((whale IS NOT NULL) = (verdict = 'known')),
    embedding_scale REAL NOT NULL,
    embedding BLOB NOT NULL,
    picture_sha256 BLOB NOT NULL,
    picture_bytes INTEGER NOT NULL,
    picture_width INTEGER NOT NULL,
    picture_height INTEGER NOT NULL,
    x0 INTEGER NOT NULL,
    y0 INTEGER NOT NULL,
    x1 INTEGER NOT NULL,
    y1 INTEGER NOT NULL,
    bundle TEXT NOT NULL,
    engine TEXT NOT NULL,
    received INTEGER NOT NULL,
    chance REAL,
    latitude REAL,
    longitude REAL,
    fix_quality TEXT,
    fix_age INTEGER,
    satellites INTEGER,
    hdop REAL,
    speed REAL,
    course REAL,
    heading REAL,
    time_source TEXT,
    time_uncertainty INTEGER,
    encounter TEXT,
    frame_width INTEGER,
    frame_height INTEGER,
    places TEXT,
    crops TEXT,
    earlier_crops INTEGER,
    detector REAL,
    config TEXT
) STRICT;
CREATE INDEX sightings_by_time ON sightings (started DESC, id DESC);
CREATE INDEX sightings_by_boat ON sightings (boat, sequence);
CREATE INDEX sightings_by_encounter ON sightings (encounter);
CREATE TABLE candidates (
    sighting TEXT NOT NULL REFERENCES sightings (id),
    rank INTEGER NOT NULL,
    whale TEXT NOT NULL,
    score REAL NOT NULL,
    photo TEXT NOT NULL,
    PRIMARY KEY (sighting, rank)
) STRICT, WITHOUT ROWID;
CREATE TABLE pictures (
    sighting TEXT PRIMARY KEY,
    boat TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    readable INTEGER NOT NULL,
    received INTEGER NOT NULL
) STRICT;
CREATE TABLE boats (
    boat TEXT PRIMARY KEY,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL
) STRICT;
CREATE TABLE refused (
    number INTEGER PRIMARY KEY,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    topic TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    head BLOB NOT NULL,
    digest BLOB NOT NULL,
    times INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    UNIQUE (digest, topic, reason)
) STRICT;
CREATE INDEX refused_by_time ON refused (last_seen, number);
CREATE TABLE refused_totals (
    reason TEXT PRIMARY KEY,
    total INTEGER NOT NULL
) STRICT;
";

/// What version 1 lacks, what version 2 lacks, and so on to the present one.
const MIGRATIONS: [&str; VERSION as usize - 1] = [
    "ALTER TABLE sightings ADD COLUMN chance REAL;",
    "
ALTER TABLE sightings ADD COLUMN latitude REAL;
ALTER TABLE sightings ADD COLUMN longitude REAL;
ALTER TABLE sightings ADD COLUMN fix_quality TEXT;
ALTER TABLE sightings ADD COLUMN fix_age INTEGER;
ALTER TABLE sightings ADD COLUMN satellites INTEGER;
ALTER TABLE sightings ADD COLUMN hdop REAL;
ALTER TABLE sightings ADD COLUMN speed REAL;
ALTER TABLE sightings ADD COLUMN course REAL;
ALTER TABLE sightings ADD COLUMN heading REAL;
ALTER TABLE sightings ADD COLUMN time_source TEXT;
ALTER TABLE sightings ADD COLUMN time_uncertainty INTEGER;
",
    "
ALTER TABLE sightings ADD COLUMN encounter TEXT;
ALTER TABLE sightings ADD COLUMN frame_width INTEGER;
ALTER TABLE sightings ADD COLUMN frame_height INTEGER;
ALTER TABLE sightings ADD COLUMN places TEXT;
ALTER TABLE sightings ADD COLUMN crops TEXT;
ALTER TABLE sightings ADD COLUMN earlier_crops INTEGER;
ALTER TABLE sightings ADD COLUMN detector REAL;
ALTER TABLE sightings ADD COLUMN config TEXT;
CREATE INDEX sightings_by_encounter ON sightings (encounter);
",
];

/// Opens `file` for writing, and makes the tables where there are none.
pub(super) fn open(file: &Path) -> Result<Connection, StoreError> {
    let mut db = Connection::open(file)?;
    db.busy_timeout(Duration::from_secs(10))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    // In WAL mode only FULL puts each commit on disk before it returns, and a receipt promises that.
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "foreign_keys", true)?;
    let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found = version(&tx)?;
    if found == 0 {
        tx.execute_batch(TABLES)?;
    }
    for (before, migration) in (1..).zip(MIGRATIONS) {
        if (1..=before).contains(&found) {
            tx.execute_batch(migration)?;
        }
    }
    if found < VERSION {
        tx.pragma_update(None, "user_version", VERSION)?;
    }
    tx.commit()?;
    Ok(db)
}

/// Opens `file` for reading beside the writer.
pub(super) fn open_to_read(file: &Path) -> Result<Connection, StoreError> {
    let db = Connection::open(file)?;
    db.busy_timeout(Duration::from_secs(10))?;
    db.pragma_update(None, "query_only", true)?;
    let got = version(&db)?;
    if (1..VERSION).contains(&got) {
        return Err(StoreError::Older {
            got,
            wanted: VERSION,
        });
    }
    Ok(db)
}

fn version(db: &Connection) -> Result<i64, StoreError> {
    let got = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if got > VERSION {
        Err(StoreError::Newer {
            got,
            known: VERSION,
        })
    } else {
        Ok(got)
    }
}
