//! The tables, and how a database is opened.

use super::error::StoreError;
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;
use std::time::Duration;

/// The version of the tables below, kept in `user_version`.
const VERSION: i64 = 7;
/// The version before matching regions, which is upgraded when it is opened for writing.
const WITHOUT_REGIONS: i64 = 6;
/// Upgrades [`WITHOUT_REGIONS`].
const ADD_REGIONS: &str = "ALTER TABLE sightings ADD COLUMN regions TEXT";

const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Times are milliseconds since 1970 UTC; ids are text, so that `sqlite3` shows them as the pages
/// do. `sightings` has the highest revision of each sighting, `earlier_revisions` the others.
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
    probability REAL,
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
    latitude REAL,
    longitude REAL,
    fix_quality TEXT,
    fix_age_ms INTEGER,
    satellites INTEGER,
    hdop REAL,
    speed_knots REAL,
    course REAL,
    heading REAL,
    time_source TEXT,
    time_uncertainty_ms INTEGER,
    encounter TEXT,
    frame_width INTEGER,
    frame_height INTEGER,
    boxes TEXT,
    crops TEXT,
    earlier_crops INTEGER,
    detector_confidence REAL,
    config_id TEXT,
    epoch TEXT,
    revision INTEGER NOT NULL,
    regions TEXT,
    received INTEGER NOT NULL
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
CREATE TABLE earlier_revisions (
    sighting TEXT NOT NULL,
    revision INTEGER NOT NULL,
    message BLOB NOT NULL,
    received INTEGER NOT NULL,
    PRIMARY KEY (sighting, revision)
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
CREATE TABLE rejected_messages (
    number INTEGER PRIMARY KEY,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    topic TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    head BLOB NOT NULL,
    digest BLOB NOT NULL,
    count INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    UNIQUE (digest, topic, reason)
) STRICT;
CREATE INDEX rejected_by_time ON rejected_messages (last_seen, number);
CREATE TABLE rejected_totals (
    reason TEXT PRIMARY KEY,
    total INTEGER NOT NULL
) STRICT;
";

/// Opens `file` for writing, creates the tables in an empty database and upgrades one of version
/// [`WITHOUT_REGIONS`].
pub(super) fn open(file: &Path) -> Result<Connection, StoreError> {
    let mut db = Connection::open(file)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    // In WAL mode only FULL puts each commit on disk before it returns, which an acknowledgement
    // promises.
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "foreign_keys", true)?;
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    match version(&tx)? {
        0 => {
            tx.execute_batch(TABLES)?;
            tx.pragma_update(None, "user_version", VERSION)?;
        }
        WITHOUT_REGIONS => {
            tx.execute_batch(ADD_REGIONS)?;
            tx.pragma_update(None, "user_version", VERSION)?;
        }
        found => require_supported(found)?,
    }
    tx.commit()?;
    Ok(db)
}

/// Opens `file` for reading, also while a station writes it.
pub(super) fn open_read_only(file: &Path) -> Result<Connection, StoreError> {
    let db = Connection::open(file)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.pragma_update(None, "query_only", true)?;
    require_supported(version(&db)?)?;
    Ok(db)
}

fn version(db: &Connection) -> Result<i64, StoreError> {
    Ok(db.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

fn require_supported(found: i64) -> Result<(), StoreError> {
    let supported = VERSION;
    match found {
        VERSION => Ok(()),
        WITHOUT_REGIONS => Err(StoreError::NotUpgraded { found, supported }),
        ..VERSION => Err(StoreError::Older { found, supported }),
        _ => Err(StoreError::Newer { found, supported }),
    }
}
