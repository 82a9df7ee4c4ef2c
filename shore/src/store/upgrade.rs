//! Upgrades the tables of an older database in place.

use super::error::StoreError;
use super::tables::{
    BRIEFS, BUNDLE_TRANSFERS, FILE_REQUESTS, PICTURE_PARTS, QUARANTINE, SIGHTINGS, STATUS_REPORTS,
};
use rusqlite::Transaction;

/// The oldest version that is upgraded: the one before matching regions.
pub(super) const OLDEST: i64 = 6;

/// Adds matching regions.
const FROM_6: &str = "ALTER TABLE sightings ADD COLUMN regions TEXT";

/// The columns of `sightings` in version 7.
const COLUMNS_OF_7: &str = "id, boat, sequence, camera, started, ended, frames, verdict, whale, probability, \
     embedding_scale, embedding, picture_sha256, picture_bytes, picture_width, picture_height, \
     x0, y0, x1, y1, bundle, engine, \
     latitude, longitude, fix_quality, fix_age_ms, satellites, hdop, speed_knots, course, heading, \
     time_source, time_uncertainty_ms, \
     encounter, frame_width, frame_height, boxes, crops, earlier_crops, detector_confidence, config_id, \
     epoch, revision, regions, received";

/// The columns of `status_reports` in version 9.
const REPORT_COLUMNS_OF_9: &str = "boat, instance, connection, received, offline_since, at, severity, problems, \
     version, bundle, latitude, longitude, cameras, cameras_searched, pending, oldest_pending_seconds";

/// Brings the tables from version `found`, at least [`OLDEST`], to the current one. Foreign keys must
/// be off.
pub(super) fn run(tx: &Transaction<'_>, found: i64) -> Result<(), StoreError> {
    tracing::info!(version = found, "upgrading database");
    if found < 7 {
        tx.execute_batch(FROM_6)?;
    }
    if found < 10 {
        rebuild_sightings(tx, found)?;
    }
    if found < 9 {
        tx.execute_batch(STATUS_REPORTS)?;
    } else if found < 14 {
        rebuild_status_reports(tx, found)?;
    }
    if found < 12 {
        tx.execute_batch(BRIEFS)?;
    }
    if found < 11 {
        tx.execute_batch(BUNDLE_TRANSFERS)?;
    }
    if found < 13 {
        tx.execute_batch(QUARANTINE)?;
    }
    if found < 15 {
        tx.execute_batch(FILE_REQUESTS)?;
    }
    if found < 16 {
        tx.execute_batch(PICTURE_PARTS)?;
    }
    Ok(())
}

/// Adds unidentified sightings, which version 7 lacks, and the relative position, which version 9 lacks. The
/// table is built again, since SQLite cannot change the CHECK of a column and appends new ones; renaming
/// the old one instead would make `candidates` refer to it.
fn rebuild_sightings(tx: &Transaction<'_>, found: i64) -> Result<(), StoreError> {
    let reason = if found < 8 { "" } else { ", reason" };
    let columns = format!("{COLUMNS_OF_7}{reason}");
    tx.execute_batch(&format!(
        "CREATE TABLE older_sightings AS SELECT {columns} FROM sightings; \
         DROP TABLE sightings; \
         {SIGHTINGS} \
         INSERT INTO sightings ({columns}) SELECT {columns} FROM older_sightings; \
         DROP TABLE older_sightings;"
    ))?;
    Ok(())
}

/// Adds the link, which version 11 lacks, and the settings, which version 13 lacks. Added to the old table, the
/// columns would make its text differ from that of a new one.
fn rebuild_status_reports(tx: &Transaction<'_>, found: i64) -> Result<(), StoreError> {
    let link = if found < 12 { "" } else { ", link" };
    let columns = format!("{REPORT_COLUMNS_OF_9}{link}");
    tx.execute_batch(&format!(
        "CREATE TABLE older_status_reports AS SELECT {columns} FROM status_reports; \
         DROP TABLE status_reports; \
         {STATUS_REPORTS} \
         INSERT INTO status_reports ({columns}) SELECT {columns} FROM older_status_reports; \
         DROP TABLE older_status_reports;"
    ))?;
    Ok(())
}
