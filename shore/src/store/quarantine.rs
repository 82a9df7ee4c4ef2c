//! Sightings whose number or time cannot be right: kept apart, so that they do not distort what people see,
//! until a person deletes or releases them.

use super::error::StoreError;
use flukewatch_common::brief::Brief;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::position::TimeSource;
use flukewatch_common::sighting::{BoatId, Sighting};
use flukewatch_common::wire;
use rusqlite::{Connection, params};
use uuid::Uuid;

/// A boat's sequence number is not so far beyond the highest that is stored: at 500 sightings a day, it takes
/// five years.
const MAX_SEQUENCE_STEP: u64 = 1_000_000;
/// The clock of a boat may be so far ahead, in milliseconds: a year. The station's may be behind, too.
const MAX_AHEAD: i64 = 366 * 86_400_000;
/// 2020, before the first version of this program.
const EARLIEST: Timestamp = Timestamp(1_577_836_800_000);

/// A sighting in quarantine.
#[derive(Clone, Debug, PartialEq)]
pub struct Quarantined {
    /// The sighting's id.
    pub sighting: Uuid,
    /// Its revision.
    pub revision: u32,
    /// The boat that sent it.
    pub boat: BoatId,
    /// What cannot be right about it.
    pub reason: String,
    /// When it was received.
    pub received: Timestamp,
}

/// What a sighting or its brief says of number and time.
pub(super) struct Claim<'a> {
    boat: &'a BoatId,
    epoch: Option<Uuid>,
    sequence: u64,
    started: Timestamp,
    ended: Timestamp,
    /// What gave the time; `None` where it is unknown.
    source: Option<TimeSource>,
}

impl<'a> From<&'a Sighting> for Claim<'a> {
    fn from(sighting: &'a Sighting) -> Self {
        Self {
            boat: &sighting.boat,
            epoch: sighting.epoch,
            sequence: sighting.sequence,
            started: sighting.started,
            ended: sighting.ended,
            source: sighting.time.as_ref().map(|time| time.source),
        }
    }
}

impl<'a> From<&'a Brief> for Claim<'a> {
    fn from(brief: &'a Brief) -> Self {
        Self {
            boat: &brief.boat,
            epoch: brief.epoch,
            sequence: brief.sequence,
            started: brief.started,
            ended: brief.ended(),
            source: None,
        }
    }
}

/// What cannot be right about a sighting that was received at `now`; `None` where nothing is known.
pub(super) fn implausible(
    db: &Connection,
    claim: Claim<'_>,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let Claim {
        boat,
        epoch,
        sequence,
        started,
        ended,
        source,
    } = claim;
    // A station whose own clock is wrong cannot judge.
    if now >= EARLIEST && started.max(ended).millis_since(now) > MAX_AHEAD {
        return Ok(Some(format!("it ended at {ended}, which is in the future")));
    }
    // Without satellites, a boat may not know the date yet, and corrects it later.
    if source == Some(TimeSource::Gnss) && started < EARLIEST {
        return Ok(Some(format!(
            "it began at {started} by the time of satellites"
        )));
    }
    if sequence <= MAX_SEQUENCE_STEP {
        return Ok(None);
    }
    let last: Option<i64> = db
        .prepare_cached("SELECT max(sequence) FROM sightings WHERE boat = ?1 AND epoch IS ?2")?
        .query_row(
            params![boat.as_str(), epoch.map(|e| e.to_string())],
            |row| row.get(0),
        )?;
    let last = last.unwrap_or(0).cast_unsigned();
    Ok((sequence - MAX_SEQUENCE_STEP > last)
        .then(|| format!("its sequence number is {sequence}, and that of the last one {last}")))
}

/// Keeps a sighting, once.
pub(super) fn put(
    db: &Connection,
    sighting: &Sighting,
    reason: &str,
    received: Timestamp,
) -> Result<(), StoreError> {
    let message =
        wire::encode(sighting).map_err(|e| StoreError::invalid("sighting", e.to_string()))?;
    db.prepare_cached("INSERT OR IGNORE INTO quarantine VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![
            sighting.id.to_string(),
            sighting.revision,
            sighting.boat.as_str(),
            reason,
            message,
            received.0
        ])?;
    Ok(())
}

/// All of it, the latest first.
pub(super) fn all(db: &Connection) -> Result<Vec<Quarantined>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT * FROM quarantine ORDER BY received DESC, sighting, revision")?;
    let mut rows = statement.query([])?;
    let mut all = vec![];
    while let Some(row) = rows.next()? {
        let (sighting, boat): (String, String) = (row.get("sighting")?, row.get("boat")?);
        all.push(Quarantined {
            sighting: sighting
                .parse()
                .map_err(|_| StoreError::invalid("id", &sighting))?,
            revision: row.get("revision")?,
            boat: boat
                .parse()
                .map_err(|_| StoreError::invalid("boat name", &boat))?,
            reason: row.get("reason")?,
            received: Timestamp(row.get("received")?),
        });
    }
    Ok(all)
}

/// Deletes all revisions of a sighting. Returns how many there were.
pub(super) fn delete(db: &Connection, sighting: Uuid) -> Result<usize, StoreError> {
    let deleted = db
        .prepare_cached("DELETE FROM quarantine WHERE sighting = ?1")?
        .execute([sighting.to_string()])?;
    Ok(deleted)
}

/// All revisions of a sighting, lowest first.
pub(super) fn revisions(db: &Connection, sighting: Uuid) -> Result<Vec<Sighting>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT message FROM quarantine WHERE sighting = ?1 ORDER BY revision")?;
    let messages = statement.query_map([sighting.to_string()], |row| row.get::<_, Vec<u8>>(0))?;
    messages
        .map(|message| {
            wire::decode(&message?).map_err(|e| StoreError::invalid("message", e.to_string()))
        })
        .collect()
}
