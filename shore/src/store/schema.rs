//! How a database is opened.

use super::error::StoreError;
use super::tables::{
    BRIEFS, BUNDLE_TRANSFERS, FILE_REQUESTS, OTHER_TABLES, PICTURE_PARTS, QUARANTINE, SIGHTINGS,
    STATUS_REPORTS,
};
use super::upgrade;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;
use std::time::Duration;

/// The version of the tables, kept in `user_version`.
const VERSION: i64 = 16;

const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens `file` for writing, creates the tables in an empty database and upgrades an older one.
pub(super) fn open(file: &Path) -> Result<Connection, StoreError> {
    let mut db = connect(file)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    // In WAL mode only FULL puts each commit on disk before it returns, which an acknowledgement
    // promises.
    db.pragma_update(None, "synchronous", "FULL")?;
    // An upgrade replaces a table that another one refers to. Within a transaction this has no effect.
    db.pragma_update(None, "foreign_keys", false)?;
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    match version(&tx)? {
        0 => {
            tx.execute_batch(SIGHTINGS)?;
            tx.execute_batch(OTHER_TABLES)?;
            tx.execute_batch(STATUS_REPORTS)?;
            tx.execute_batch(BUNDLE_TRANSFERS)?;
            tx.execute_batch(QUARANTINE)?;
            tx.execute_batch(BRIEFS)?;
            tx.execute_batch(FILE_REQUESTS)?;
            tx.execute_batch(PICTURE_PARTS)?;
        }
        found @ upgrade::OLDEST..VERSION => upgrade::run(&tx, found)?,
        found => require_supported(found)?,
    }
    tx.pragma_update(None, "user_version", VERSION)?;
    tx.commit()?;
    db.pragma_update(None, "foreign_keys", true)?;
    Ok(db)
}

/// Opens `file` for reading, also while a station writes it.
pub(super) fn open_read_only(file: &Path) -> Result<Connection, StoreError> {
    let db = connect(file)?;
    db.pragma_update(None, "query_only", true)?;
    require_supported(version(&db)?)?;
    Ok(db)
}

fn connect(file: &Path) -> Result<Connection, StoreError> {
    let db = Connection::open(file)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    // Otherwise, many statements are compiled again each time a value is bound to them: a quarter of the time of ingest.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(db)
}

fn version(db: &Connection) -> Result<i64, StoreError> {
    Ok(db.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

fn require_supported(found: i64) -> Result<(), StoreError> {
    let supported = VERSION;
    match found {
        VERSION => Ok(()),
        upgrade::OLDEST..VERSION => Err(StoreError::NotUpgraded { found, supported }),
        ..VERSION => Err(StoreError::Older { found, supported }),
        _ => Err(StoreError::Newer { found, supported }),
    }
}
