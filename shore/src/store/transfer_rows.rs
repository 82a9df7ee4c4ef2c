//! Bundles that were offered to boats, as rows.

use super::bundle_transfer::{
    BundleTransfer, MAX_TRANSFERS, RecordedOffer, ReportTimes, TransferStage, TransferredBytes,
};
use super::error::StoreError;
use flukewatch_common::bundle_transfer::TransferReport;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::BoatId;
use rusqlite::{Connection, Row, named_params, params};
use uuid::Uuid;

const PUT: &str = "INSERT OR REPLACE INTO bundle_transfers (offer, boat, manifest_sha256, version, name, offered_at, \
     withdrawn_at, progress, since, reported_at, boat_time, received, total, reason) \
     VALUES (:offer, :boat, :manifest_sha256, :version, :name, :offered_at, \
     :withdrawn_at, :progress, :since, :reported_at, :boat_time, :received, :total, :reason)";

/// A transfer that is open: see [`BundleTransfer::is_open`].
const IS_OPEN: &str =
    "withdrawn_at IS NULL AND progress NOT IN ('active', 'rejected', 'rolled_back')";

/// Records `open`, the offers that stand at `now`: others that stood before are withdrawn. Returns the
/// transfers of `open`, in their order, then those that are withdrawn now.
pub(super) fn record_offers(
    db: &Connection,
    open: &[RecordedOffer],
    now: Timestamp,
) -> Result<Vec<BundleTransfer>, StoreError> {
    let mut transfers = vec![];
    for offer in open {
        transfers.push(match by_offer(db, offer.id, &offer.boat)? {
            Some(mut known) => {
                // Its file could not be read for a while.
                if known.withdrawn_at.take().is_some() {
                    put(db, &known)?;
                }
                known
            }
            None => {
                let new = BundleTransfer::new(offer.clone());
                put(db, &new)?;
                new
            }
        });
    }
    for mut absent in select(db, &format!("WHERE {IS_OPEN} ORDER BY boat"), params![])? {
        if open.iter().all(|offer| offer.id != absent.offer.id) {
            absent.withdrawn_at = Some(now);
            put(db, &absent)?;
            transfers.push(absent);
        }
    }
    Ok(transfers)
}

/// Notes a report that was received at `now`. Returns the transfer after it; `None` where its boat was not
/// offered this.
pub(super) fn report(
    db: &Connection,
    report: &TransferReport,
    now: Timestamp,
) -> Result<Option<BundleTransfer>, StoreError> {
    let Some(known) = by_offer(db, report.offer, &report.boat)? else {
        return Ok(None);
    };
    match known.reported(&report.progress, report.at, now) {
        Some(after) => {
            put(db, &after)?;
            Ok(Some(after))
        }
        None => Ok(Some(known)),
    }
}

/// The last transfers of `boat`, newest first, at most [`MAX_TRANSFERS`].
pub(super) fn of_boat(db: &Connection, boat: &str) -> Result<Vec<BundleTransfer>, StoreError> {
    let clauses = "WHERE boat = ?1 ORDER BY offered_at DESC, offer DESC LIMIT ?2";
    select(db, clauses, params![boat, MAX_TRANSFERS as i64])
}

/// The last transfer of each boat, by its name.
pub(super) fn last_of_each(db: &Connection) -> Result<Vec<BundleTransfer>, StoreError> {
    let clauses = "AS t WHERE NOT EXISTS (SELECT 1 FROM bundle_transfers n WHERE n.boat = t.boat \
                   AND (n.offered_at, n.offer) > (t.offered_at, t.offer)) ORDER BY boat";
    select(db, clauses, params![])
}

fn by_offer(
    db: &Connection,
    offer: Uuid,
    boat: &BoatId,
) -> Result<Option<BundleTransfer>, StoreError> {
    let values = params![offer.to_string(), boat.as_str()];
    let mut found = select(db, "WHERE offer = ?1 AND boat = ?2", values)?;
    Ok(found.pop())
}

fn put(db: &Connection, transfer: &BundleTransfer) -> Result<(), StoreError> {
    let offer = &transfer.offer;
    db.prepare_cached(PUT)?.execute(named_params! {
        ":offer": offer.id.to_string(),
        ":boat": offer.boat.as_str(),
        ":manifest_sha256": offer.manifest.to_string(),
        ":version": offer.version.map(u64::cast_signed),
        ":name": offer.name,
        ":offered_at": offer.offered_at.0,
        ":withdrawn_at": transfer.withdrawn_at.map(|t| t.0),
        ":progress": transfer.stage.as_str(),
        ":since": transfer.since.0,
        ":reported_at": transfer.reported.map(|r| r.received.0),
        ":boat_time": transfer.reported.map(|r| r.boat.0),
        ":received": transfer.bytes.map(|b| b.received.cast_signed()),
        ":total": transfer.bytes.map(|b| b.total.cast_signed()),
        ":reason": transfer.reason,
    })?;
    Ok(())
}

fn select(
    db: &Connection,
    clauses: &str,
    values: &[&dyn rusqlite::ToSql],
) -> Result<Vec<BundleTransfer>, StoreError> {
    let mut statement = db.prepare_cached(&format!("SELECT * FROM bundle_transfers {clauses}"))?;
    let mut rows = statement.query(values)?;
    let mut transfers = vec![];
    while let Some(row) = rows.next()? {
        transfers.push(read(row)?);
    }
    Ok(transfers)
}

fn read(row: &Row<'_>) -> Result<BundleTransfer, StoreError> {
    let text = |column: &str| row.get::<_, String>(column);
    let integer = |column: &str| row.get::<_, Option<i64>>(column);
    let time = |column: &str| integer(column).map(|i| i.map(Timestamp));
    let number = |column: &str| integer(column).map(|i| i.map(i64::cast_unsigned));
    let (id, boat, manifest) = (text("offer")?, text("boat")?, text("manifest_sha256")?);
    let stage = text("progress")?;
    let offer = RecordedOffer {
        id: id
            .parse()
            .map_err(|_| StoreError::invalid("offer id", &id))?,
        boat: boat
            .parse()
            .map_err(|_| StoreError::invalid("boat name", &boat))?,
        manifest: manifest
            .parse()
            .map_err(|_| StoreError::invalid("SHA-256 of a manifest", &manifest))?,
        name: text("name")?,
        version: number("version")?,
        offered_at: Timestamp(row.get("offered_at")?),
    };
    let reported = time("reported_at")?.zip(time("boat_time")?);
    let bytes = number("received")?.zip(number("total")?);
    Ok(BundleTransfer {
        offer,
        withdrawn_at: time("withdrawn_at")?,
        stage: TransferStage::parse(&stage)
            .ok_or_else(|| StoreError::invalid("progress of a transfer", stage))?,
        since: Timestamp(row.get("since")?),
        reported: reported.map(|(received, boat)| ReportTimes { received, boat }),
        bytes: bytes.map(|(received, total)| TransferredBytes { received, total }),
        reason: row.get("reason")?,
    })
}
