//! The last status report of each boat, as columns.

use super::boat::LastReport;
use super::error::StoreError;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::severity::Severity;
use flukewatch_common::status_report::{BoatCondition, ConnectionId, StatusReport};
use rusqlite::{Connection, Row, named_params, params};

const PUT: &str = "INSERT OR REPLACE INTO status_reports (boat, instance, connection, received, offline_since, \
     at, severity, problems, version, bundle, latitude, longitude, cameras, cameras_searched, pending, \
     oldest_pending_seconds, link, settings) \
     VALUES (:boat, :instance, :connection, :received, NULL, \
     :at, :severity, :problems, :version, :bundle, :latitude, :longitude, :cameras, :cameras_searched, :pending, \
     :oldest_pending_seconds, :link, :settings)";

/// Stores a report with its condition, received at `received`. One that the broker had `retained` may be
/// stored already, and does not replace itself.
pub(super) fn put(
    db: &Connection,
    report: &StatusReport,
    condition: &BoatCondition,
    retained: bool,
    received: Timestamp,
) -> Result<(), StoreError> {
    if retained && is_stored(db, report, condition)? {
        return Ok(());
    }
    let link = condition.link.as_ref().map(serde_json::to_string);
    let link = link
        .transpose()
        .map_err(|e| StoreError::invalid("link", e.to_string()))?;
    let settings = condition.settings.as_ref().map(serde_json::to_string);
    let settings = settings
        .transpose()
        .map_err(|e| StoreError::invalid("settings", e.to_string()))?;
    db.prepare_cached(PUT)?.execute(named_params! {
        ":boat": report.boat.as_str(),
        ":instance": report.connection.instance.to_string(),
        ":connection": report.connection.number,
        ":received": received.0,
        ":at": condition.at.0,
        ":severity": condition.severity.as_str(),
        ":problems": condition.problems,
        ":version": condition.version,
        ":bundle": condition.bundle,
        ":latitude": condition.position.map(|p| p.0),
        ":longitude": condition.position.map(|p| p.1),
        ":cameras": condition.cameras,
        ":cameras_searched": condition.cameras_searched,
        ":pending": condition.pending.cast_signed(),
        ":oldest_pending_seconds": condition.oldest_pending_seconds.map(u64::cast_signed),
        ":link": link,
        ":settings": settings,
    })?;
    Ok(())
}

fn is_stored(
    db: &Connection,
    report: &StatusReport,
    condition: &BoatCondition,
) -> Result<bool, StoreError> {
    let query = "SELECT 1 FROM status_reports WHERE boat = ?1 AND instance = ?2 AND connection = ?3 AND at = ?4";
    let ConnectionId { instance, number } = report.connection;
    let values = params![
        report.boat.as_str(),
        instance.to_string(),
        number,
        condition.at.0
    ];
    let mut statement = db.prepare_cached(query)?;
    Ok(statement.exists(values)?)
}

/// Notes a last will. That of an earlier connection is late, and says nothing.
pub(super) fn end_connection(
    db: &Connection,
    report: &StatusReport,
    retained: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    let ConnectionId { instance, number } = report.connection;
    // A retained will does not say when it was published: the boat was connected when it reported last.
    let end = "UPDATE status_reports SET offline_since = CASE WHEN ?4 THEN received ELSE ?5 END \
               WHERE boat = ?1 AND instance = ?2 AND connection = ?3 AND offline_since IS NULL";
    let values = params![
        report.boat.as_str(),
        instance.to_string(),
        number,
        retained,
        now.0
    ];
    db.prepare_cached(end)?.execute(values)?;
    Ok(())
}

/// The last report of `boat`, if there is one.
pub(super) fn get(db: &Connection, boat: &str) -> Result<Option<LastReport>, StoreError> {
    let mut statement = db.prepare_cached("SELECT * FROM status_reports WHERE boat = ?1")?;
    let mut rows = statement.query([boat])?;
    rows.next()?.map(read).transpose()
}

fn read(row: &Row<'_>) -> Result<LastReport, StoreError> {
    let severity: String = row.get("severity")?;
    let latitude: Option<f64> = row.get("latitude")?;
    let oldest: Option<i64> = row.get("oldest_pending_seconds")?;
    let link: Option<String> = row.get("link")?;
    let link = link.as_deref().map(serde_json::from_str).transpose();
    let settings: Option<String> = row.get("settings")?;
    let settings = settings.as_deref().map(serde_json::from_str).transpose();
    Ok(LastReport {
        received: Timestamp(row.get("received")?),
        offline_since: row.get::<_, Option<i64>>("offline_since")?.map(Timestamp),
        condition: BoatCondition {
            at: Timestamp(row.get("at")?),
            severity: Severity::parse(&severity)
                .ok_or_else(|| StoreError::invalid("severity", severity))?,
            problems: row.get("problems")?,
            version: row.get("version")?,
            bundle: row.get("bundle")?,
            position: latitude.zip(row.get("longitude")?),
            cameras: row.get("cameras")?,
            cameras_searched: row.get("cameras_searched")?,
            pending: row.get::<_, i64>("pending")?.cast_unsigned(),
            oldest_pending_seconds: oldest.map(i64::cast_unsigned),
            link: link.map_err(|e| StoreError::invalid("link", e.to_string()))?,
            settings: settings.map_err(|e| StoreError::invalid("settings", e.to_string()))?,
        },
    })
}
