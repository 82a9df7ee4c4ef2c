//! The briefs of sightings that shore does not have, or not in this revision.

use super::error::StoreError;
use super::sighting::{Query, StoredBrief, VerdictKind};
use flukewatch_common::brief::{Brief, BriefIdentity};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::{BoatId, Sighting};
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};
use uuid::Uuid;

const PUT: &str = "INSERT OR REPLACE INTO briefs (sighting, boat, sequence, epoch, revision, started, ended, frames, \
     verdict, whale, probability, latitude, longitude, received) \
     VALUES (:sighting, :boat, :sequence, :epoch, :revision, :started, :ended, :frames, \
     :verdict, :whale, :probability, :latitude, :longitude, :received)";

/// Stores a brief in place of an earlier revision.
pub(super) fn put(db: &Connection, brief: &Brief, received: Timestamp) -> Result<(), StoreError> {
    let (verdict, whale) = match &brief.identity {
        BriefIdentity::Known { whale } => (VerdictKind::Known, Some(whale)),
        BriefIdentity::New => (VerdictKind::New, None),
        BriefIdentity::Review => (VerdictKind::Review, None),
        BriefIdentity::Unidentified => (VerdictKind::Unidentified, None),
    };
    let position = brief.position.map(|p| p.degrees());
    db.prepare_cached(PUT)?.execute(named_params! {
        ":sighting": brief.sighting.to_string(),
        ":boat": brief.boat.as_str(),
        ":sequence": brief.sequence.cast_signed(),
        ":epoch": brief.epoch.map(|e| e.to_string()),
        ":revision": brief.revision,
        ":started": brief.started.0,
        ":ended": brief.ended().0,
        ":frames": brief.frames,
        ":verdict": verdict.as_str(),
        ":whale": whale,
        ":probability": brief.probability(),
        ":latitude": position.map(|p| p.0),
        ":longitude": position.map(|p| p.1),
        ":received": received.0,
    })?;
    Ok(())
}

/// The stored brief of a sighting.
pub(super) fn get(db: &Connection, sighting: Uuid) -> Result<Option<StoredBrief>, StoreError> {
    let mut statement = db.prepare_cached("SELECT * FROM briefs WHERE sighting = ?1")?;
    let brief = statement.query_row([sighting.to_string()], |row| Ok(read(row)));
    brief.optional()?.transpose()
}

/// Deletes the brief of a stored sighting, unless it is of a later revision.
pub(super) fn replace_by(db: &Connection, sighting: &Sighting) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM briefs WHERE sighting = ?1 AND revision <= ?2")?
        .execute(params![sighting.id.to_string(), sighting.revision])?;
    Ok(())
}

/// The briefs that match boat and verdict of `query`, newest first.
pub(super) fn all(db: &Connection, query: &Query) -> Result<Vec<StoredBrief>, StoreError> {
    let boat = query.boat.as_ref().map(BoatId::as_str);
    let verdict = query.verdict.map(VerdictKind::as_str);
    let limit = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let mut statement = db.prepare_cached(
        "SELECT * FROM briefs WHERE (?1 IS NULL OR boat = ?1) AND (?2 IS NULL OR verdict = ?2) \
         ORDER BY started DESC, sighting DESC LIMIT ?3 OFFSET ?4",
    )?;
    let values = params![boat, verdict, limit(query.limit), limit(query.offset)];
    let rows = statement.query_map(values, |row| Ok(read(row)))?;
    rows.map(|row| row?).collect()
}

fn read(row: &Row<'_>) -> Result<StoredBrief, StoreError> {
    let uuid = |text: String| text.parse().map_err(|_| StoreError::invalid("id", text));
    let boat: String = row.get("boat")?;
    let verdict: String = row.get("verdict")?;
    let latitude: Option<f64> = row.get("latitude")?;
    let epoch: Option<String> = row.get("epoch")?;
    Ok(StoredBrief {
        sighting: uuid(row.get("sighting")?)?,
        boat: boat
            .parse()
            .map_err(|_| StoreError::invalid("boat name", &boat))?,
        sequence: row.get::<_, i64>("sequence")?.cast_unsigned(),
        epoch: epoch.map(uuid).transpose()?,
        revision: row.get("revision")?,
        started: Timestamp(row.get("started")?),
        ended: Timestamp(row.get("ended")?),
        frames: row.get("frames")?,
        verdict: VerdictKind::parse(&verdict)
            .ok_or_else(|| StoreError::invalid("verdict", verdict))?,
        whale: row.get("whale")?,
        probability: row.get::<_, Option<f64>>("probability")?.map(|p| p as f32),
        position: latitude.zip(row.get("longitude")?),
        received: Timestamp(row.get("received")?),
    })
}
