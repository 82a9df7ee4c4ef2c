//! Sightings as rows.

use super::error::StoreError;
use super::footage_columns;
use super::sighting::{PictureState, StoredSighting, VerdictKind};
use flukewatch_common::catalogue::Match;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::decision::Verdict;
use flukewatch_common::embedding::CompactEmbedding;
use flukewatch_common::matching_regions::MatchingRegions;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::position::{FixQuality, Position, TimeBasis, TimeSource};
use flukewatch_common::relative_position::RelativePosition;
use flukewatch_common::sighting::{PictureInfo, Sighting};
use rusqlite::{Connection, Params, Row, named_params, params};
use uuid::Uuid;

const INSERT: &str = "INSERT INTO sightings (id, boat, sequence, camera, started, ended, frames, verdict, whale, reason, probability, \
     embedding_scale, embedding, picture_sha256, picture_bytes, picture_width, picture_height, \
     x0, y0, x1, y1, bundle, engine, \
     latitude, longitude, fix_quality, fix_age_ms, satellites, hdop, speed_knots, course, heading, \
     time_source, time_uncertainty_ms, \
     encounter, frame_width, frame_height, boxes, crops, earlier_crops, detector_confidence, config_id, epoch, revision, regions, \
     bearing_from_bow, bearing, range_metres, received) \
     VALUES (:id, :boat, :sequence, :camera, :started, :ended, :frames, :verdict, :whale, :reason, :probability, \
     :embedding_scale, :embedding, :picture_sha256, :picture_bytes, :picture_width, :picture_height, \
     :x0, :y0, :x1, :y1, :bundle, :engine, \
     :latitude, :longitude, :fix_quality, :fix_age_ms, :satellites, :hdop, :speed_knots, :course, :heading, \
     :time_source, :time_uncertainty_ms, \
     :encounter, :frame_width, :frame_height, :boxes, :crops, :earlier_crops, :detector_confidence, :config_id, :epoch, :revision, :regions, \
     :bearing_from_bow, :bearing, :range_metres, :received)";

const SELECT: &str = "SELECT s.*, p.sighting IS NOT NULL AS picture_received, \
     p.sha256 = s.picture_sha256 AND p.boat = s.boat AS picture_matches, p.readable AS picture_readable \
     FROM sightings s LEFT JOIN pictures p ON p.sighting = s.id";

/// Inserts a sighting and its candidates. The id must be new.
pub(super) fn insert(db: &Connection, s: &Sighting, now: Timestamp) -> Result<(), StoreError> {
    let (whale, reason) = match &s.verdict {
        Verdict::Known { whale } => (Some(whale), None),
        Verdict::New | Verdict::Review => (None, None),
        Verdict::Unidentified { reason } => (None, Some(reason)),
    };
    let embedding: Vec<u8> = s
        .embedding
        .values
        .iter()
        .map(|v| v.cast_unsigned())
        .collect();
    let position = s.position.as_ref();
    let footage = s.footage.as_ref();
    let relative = s.relative_position;
    db.prepare_cached(INSERT)?.execute(named_params! {
        ":id": s.id.to_string(),
        ":boat": s.boat.as_str(),
        ":sequence": s.sequence.cast_signed(),
        ":camera": s.camera,
        ":started": s.started.0,
        ":ended": s.ended.0,
        ":frames": s.frames,
        ":verdict": VerdictKind::of(&s.verdict).as_str(),
        ":whale": whale,
        ":reason": reason,
        ":probability": s.probability.map(f64::from),
        ":embedding_scale": f64::from(s.embedding.scale),
        ":embedding": embedding,
        ":picture_sha256": s.picture.sha256,
        ":picture_bytes": s.picture.bytes,
        ":picture_width": s.picture.width,
        ":picture_height": s.picture.height,
        ":x0": s.region.x0,
        ":y0": s.region.y0,
        ":x1": s.region.x1,
        ":y1": s.region.y1,
        ":bundle": s.bundle,
        ":engine": s.engine,
        ":latitude": position.map(|p| p.latitude),
        ":longitude": position.map(|p| p.longitude),
        ":fix_quality": position.map(|p| p.quality.as_str()),
        ":fix_age_ms": position.map(|p| p.age),
        ":satellites": position.and_then(|p| p.satellites),
        ":hdop": position.and_then(|p| p.hdop),
        ":speed_knots": position.and_then(|p| p.speed),
        ":course": position.and_then(|p| p.course),
        ":heading": position.and_then(|p| p.heading),
        ":time_source": s.time.map(|t| t.source.as_str()),
        ":time_uncertainty_ms": s.time.and_then(|t| t.uncertainty),
        ":encounter": footage.map(|f| f.encounter.to_string()),
        ":frame_width": footage.map(|f| f.frame.width),
        ":frame_height": footage.map(|f| f.frame.height),
        ":boxes": footage.map(footage_columns::boxes).transpose()?,
        ":crops": footage.map(footage_columns::crops).transpose()?,
        ":earlier_crops": footage.map(|f| f.earlier_crops),
        ":detector_confidence": footage.and_then(|f| f.detector).map(f64::from),
        ":config_id": footage.map(|f| f.config.to_string()),
        ":epoch": s.epoch.map(|e| e.to_string()),
        ":revision": s.revision,
        ":regions": s.regions.as_ref().map(regions_to_json).transpose()?,
        ":bearing_from_bow": relative.and_then(|r| r.bearing_from_bow),
        ":bearing": relative.and_then(|r| r.bearing),
        ":range_metres": relative.and_then(|r| r.range),
        ":received": now.0,
    })?;
    let mut candidate = db.prepare_cached("INSERT INTO candidates VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (rank, m) in (1i64..).zip(&s.candidates) {
        candidate.execute(params![
            s.id.to_string(),
            rank,
            m.whale,
            f64::from(m.score),
            m.photo
        ])?;
    }
    Ok(())
}

/// Replaces the row of the sighting with this id by another revision.
pub(super) fn replace(db: &Connection, s: &Sighting, now: Timestamp) -> Result<(), StoreError> {
    let id = s.id.to_string();
    db.prepare_cached("DELETE FROM candidates WHERE sighting = ?1")?
        .execute([&id])?;
    db.prepare_cached("DELETE FROM sightings WHERE id = ?1")?
        .execute([&id])?;
    insert(db, s, now)
}

/// The sightings that `clauses` (WHERE, ORDER BY, LIMIT over `s`) select.
pub(super) fn select(
    db: &Connection,
    clauses: &str,
    values: impl Params,
) -> Result<Vec<StoredSighting>, StoreError> {
    let mut statement = db.prepare_cached(&format!("{SELECT} {clauses}"))?;
    let mut rows = statement.query(values)?;
    let mut sightings = vec![];
    while let Some(row) = rows.next()? {
        sightings.push(read(db, row)?);
    }
    Ok(sightings)
}

pub(super) fn by_id(db: &Connection, id: Uuid) -> Result<Option<StoredSighting>, StoreError> {
    Ok(select(db, "WHERE s.id = ?1", [id.to_string()])?.pop())
}

fn read(db: &Connection, row: &Row<'_>) -> Result<StoredSighting, StoreError> {
    let id: String = row.get("id")?;
    let boat: String = row.get("boat")?;
    let sighting = Sighting {
        candidates: candidates(db, &id)?,
        id: id
            .parse()
            .map_err(|_| StoreError::invalid("sighting id", &id))?,
        boat: boat
            .parse()
            .map_err(|_| StoreError::invalid("boat name", &boat))?,
        sequence: row.get::<_, i64>("sequence")?.cast_unsigned(),
        camera: row.get("camera")?,
        started: Timestamp(row.get("started")?),
        ended: Timestamp(row.get("ended")?),
        frames: row.get("frames")?,
        verdict: verdict(row)?,
        embedding: embedding(row)?,
        picture: PictureInfo {
            sha256: row.get("picture_sha256")?,
            bytes: row.get("picture_bytes")?,
            width: row.get("picture_width")?,
            height: row.get("picture_height")?,
        },
        region: PixelBox {
            x0: row.get("x0")?,
            y0: row.get("y0")?,
            x1: row.get("x1")?,
            y1: row.get("y1")?,
        },
        bundle: row.get("bundle")?,
        engine: row.get("engine")?,
        probability: row
            .get::<_, Option<f64>>("probability")?
            .map(|probability| probability as f32),
        position: position(row)?,
        time: time_basis(row)?,
        footage: footage_columns::read(row)?,
        epoch: epoch(row)?,
        revision: row.get("revision")?,
        regions: regions(row)?,
        relative_position: relative_position(row)?,
    };
    Ok(StoredSighting {
        sighting,
        received: Timestamp(row.get("received")?),
        picture: picture_state(row)?,
    })
}

fn epoch(row: &Row<'_>) -> Result<Option<Uuid>, StoreError> {
    let epoch: Option<String> = row.get("epoch")?;
    let parse = |text: String| text.parse().map_err(|_| StoreError::invalid("epoch", text));
    epoch.map(parse).transpose()
}

/// Matching regions are JSON, so that `sqlite3` shows them.
fn regions_to_json(regions: &MatchingRegions) -> Result<String, StoreError> {
    serde_json::to_string(regions)
        .map_err(|error| StoreError::invalid("matching regions", error.to_string()))
}

fn regions(row: &Row<'_>) -> Result<Option<MatchingRegions>, StoreError> {
    let text: Option<String> = row.get("regions")?;
    let parse = |text: String| {
        serde_json::from_str(&text).map_err(|_| StoreError::invalid("matching regions", text))
    };
    text.map(parse).transpose()
}

fn verdict(row: &Row<'_>) -> Result<Verdict, StoreError> {
    let kind: String = row.get("verdict")?;
    let whale: Option<String> = row.get("whale")?;
    let reason: Option<String> = row.get("reason")?;
    let verdict = match VerdictKind::parse(&kind) {
        Some(VerdictKind::Known) => whale.map(|whale| Verdict::Known { whale }),
        Some(VerdictKind::New) => Some(Verdict::New),
        Some(VerdictKind::Review) => Some(Verdict::Review),
        Some(VerdictKind::Unidentified) => reason.map(|reason| Verdict::Unidentified { reason }),
        None => None,
    };
    verdict.ok_or_else(|| StoreError::invalid("verdict", kind))
}

fn candidates(db: &Connection, sighting: &str) -> Result<Vec<Match>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT whale, score, photo FROM candidates WHERE sighting = ?1 ORDER BY rank",
    )?;
    let rows = statement.query_map([sighting], |row| {
        Ok(Match {
            whale: row.get("whale")?,
            score: row.get::<_, f64>("score")? as f32,
            photo: row.get("photo")?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn embedding(row: &Row<'_>) -> Result<CompactEmbedding, StoreError> {
    let values: Vec<u8> = row.get("embedding")?;
    Ok(CompactEmbedding {
        scale: row.get::<_, f64>("embedding_scale")? as f32,
        values: values.into_iter().map(u8::cast_signed).collect(),
    })
}

fn picture_state(row: &Row<'_>) -> Result<PictureState, StoreError> {
    let received: bool = row.get("picture_received")?;
    let matches: Option<bool> = row.get("picture_matches")?;
    let readable: Option<bool> = row.get("picture_readable")?;
    Ok(match (received, matches, readable) {
        (false, _, _) => PictureState::Missing,
        (true, Some(true), Some(true)) => PictureState::Stored,
        (true, Some(true), _) => PictureState::Unreadable,
        (true, _, _) => PictureState::Mismatched,
    })
}

/// The position; `None` for a row without latitude or longitude.
fn position(row: &Row<'_>) -> Result<Option<Position>, StoreError> {
    let (Some(latitude), Some(longitude)) = (row.get("latitude")?, row.get("longitude")?) else {
        return Ok(None);
    };
    let quality: String = row.get("fix_quality")?;
    Ok(Some(Position {
        latitude,
        longitude,
        quality: FixQuality::parse(&quality)
            .ok_or_else(|| StoreError::invalid("fix quality", quality))?,
        age: row.get("fix_age_ms")?,
        satellites: row.get("satellites")?,
        hdop: row.get("hdop")?,
        speed: row.get("speed_knots")?,
        course: row.get("course")?,
        heading: row.get("heading")?,
    }))
}

/// Where the whale was relative to the boat; `None` for a row with neither bearing nor range.
fn relative_position(row: &Row<'_>) -> Result<Option<RelativePosition>, StoreError> {
    let relative = RelativePosition {
        bearing_from_bow: row.get("bearing_from_bow")?,
        bearing: row.get("bearing")?,
        range: row.get("range_metres")?,
    };
    let is_known = relative.bearing_from_bow.is_some() || relative.range.is_some();
    Ok(is_known.then_some(relative))
}

fn time_basis(row: &Row<'_>) -> Result<Option<TimeBasis>, StoreError> {
    let Some(source) = row.get::<_, Option<String>>("time_source")? else {
        return Ok(None);
    };
    Ok(Some(TimeBasis {
        source: TimeSource::parse(&source)
            .ok_or_else(|| StoreError::invalid("time source", source))?,
        uncertainty: row.get("time_uncertainty_ms")?,
    }))
}
