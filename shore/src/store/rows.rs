//! Sightings as rows, there and back.

use super::{PictureState, StoreError, StoredSighting, footage};
use flukewatch_common::catalogue::Match;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::decision::Verdict;
use flukewatch_common::embedding::CompactEmbedding;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::position::{FixQuality, Position, TimeBasis, TimeSource};
use flukewatch_common::sighting::{PictureInfo, Sighting};
use rusqlite::{Connection, Params, Row, named_params, params};
use uuid::Uuid;

/// Columns of a sighting `s` with its picture `p`, in the order that [`read`] takes them.
const COLUMNS: &str = "s.id, s.boat, s.sequence, s.camera, s.started, s.ended, s.frames, s.verdict, s.whale, \
    s.embedding_scale, s.embedding, s.picture_sha256, s.picture_bytes, s.picture_width, s.picture_height, \
    s.x0, s.y0, s.x1, s.y1, s.bundle, s.engine, s.received, s.chance, \
    p.sighting IS NOT NULL, p.sha256 = s.picture_sha256 AND p.boat = s.boat, p.readable, \
    s.latitude, s.longitude, s.fix_quality, s.fix_age, s.satellites, s.hdop, s.speed, s.course, s.heading, \
    s.time_source, s.time_uncertainty, \
    s.encounter, s.frame_width, s.frame_height, s.places, s.crops, s.earlier_crops, s.detector, s.config";

/// Inserts a sighting and its candidates. The id must be new.
pub(super) fn insert(db: &Connection, s: &Sighting, now: Timestamp) -> Result<(), StoreError> {
    let (verdict, whale) = match &s.verdict {
        Verdict::Known { whale } => ("known", Some(whale)),
        Verdict::New => ("new", None),
        Verdict::Review => ("review", None),
    };
    let f = s.footage.as_ref();
    let embedding: Vec<u8> = s
        .embedding
        .values
        .iter()
        .map(|v| v.cast_unsigned())
        .collect();
    db.prepare_cached(
        "INSERT INTO sightings VALUES (:id, :boat, :sequence, :camera, :started, :ended, :frames, :verdict, :whale, \
         :scale, :embedding, :sha256, :bytes, :width, :height, :x0, :y0, :x1, :y1, :bundle, :engine, :received, :chance, \
         :latitude, :longitude, :fix_quality, :fix_age, :satellites, :hdop, :speed, :course, :heading, :time_source, :time_uncertainty, \
         :encounter, :frame_width, :frame_height, :places, :crops, :earlier_crops, :detector, :config)",
    )?
    .execute(named_params! {
        ":id": s.id.to_string(), ":boat": s.boat.as_str(), ":sequence": s.sequence.cast_signed(), ":camera": s.camera,
        ":started": s.started.0, ":ended": s.ended.0, ":frames": s.frames, ":verdict": verdict, ":whale": whale,
        ":scale": f64::from(s.embedding.scale), ":embedding": embedding, ":sha256": s.picture.sha256,
        ":bytes": s.picture.bytes, ":width": s.picture.width, ":height": s.picture.height,
        ":x0": s.region.x0, ":y0": s.region.y0, ":x1": s.region.x1, ":y1": s.region.y1,
        ":bundle": s.bundle, ":engine": s.engine, ":received": now.0,
        ":chance": s.chance.map(f64::from),
        ":latitude": s.position.map(|p| p.latitude), ":longitude": s.position.map(|p| p.longitude),
        ":fix_quality": s.position.map(|p| p.quality.as_str()), ":fix_age": s.position.map(|p| p.age),
        ":satellites": s.position.and_then(|p| p.satellites), ":hdop": s.position.and_then(|p| p.hdop),
        ":speed": s.position.and_then(|p| p.speed), ":course": s.position.and_then(|p| p.course),
        ":heading": s.position.and_then(|p| p.heading), ":time_source": s.time.map(|t| t.source.as_str()),
        ":time_uncertainty": s.time.and_then(|t| t.uncertainty),
        ":encounter": f.map(|f| f.encounter.to_string()),
        ":frame_width": f.map(|f| f.frame.width), ":frame_height": f.map(|f| f.frame.height),
        ":places": f.map(footage::places).transpose()?, ":crops": f.map(footage::crops).transpose()?,
        ":earlier_crops": f.map(|f| f.earlier_crops), ":detector": f.and_then(|f| f.detector).map(f64::from),
        ":config": f.map(|f| f.config.to_string()),
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

/// The sightings that `rest` (WHERE, ORDER BY, LIMIT over `s`) chooses.
pub(super) fn select(
    db: &Connection,
    rest: &str,
    values: impl Params,
) -> Result<Vec<StoredSighting>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM sightings s LEFT JOIN pictures p ON p.sighting = s.id {rest}"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query(values)?;
    let mut found = vec![];
    while let Some(row) = rows.next()? {
        found.push(read(db, row)?);
    }
    Ok(found)
}

/// One sighting.
pub(super) fn one(db: &Connection, id: Uuid) -> Result<Option<StoredSighting>, StoreError> {
    Ok(select(db, "WHERE s.id = ?1", [id.to_string()])?.pop())
}

fn read(db: &Connection, row: &Row<'_>) -> Result<StoredSighting, StoreError> {
    let id: String = row.get(0)?;
    let boat: String = row.get(1)?;
    let verdict = match (
        row.get_ref(7)?.as_str().unwrap_or_default(),
        row.get::<_, Option<String>>(8)?,
    ) {
        ("known", Some(whale)) => Verdict::Known { whale },
        ("new", _) => Verdict::New,
        ("review", _) => Verdict::Review,
        (other, _) => {
            return Err(StoreError::Damaged {
                what: "a verdict",
                value: other.to_owned(),
            });
        }
    };
    let mut candidates = db.prepare_cached(
        "SELECT whale, score, photo FROM candidates WHERE sighting = ?1 ORDER BY rank",
    )?;
    let candidates = candidates
        .query_map([&id], |m| {
            Ok(Match {
                whale: m.get(0)?,
                score: m.get::<_, f64>(1)? as f32,
                photo: m.get(2)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    let embedding: Vec<u8> = row.get(10)?;
    let picture = match (row.get(23)?, row.get(24)?, row.get(25)?) {
        (false, _, _) => PictureState::Missing,
        (true, Some(true), Some(true)) => PictureState::Stored,
        (true, Some(true), _) => PictureState::Broken,
        (true, _, _) => PictureState::Mismatched,
    };
    let sighting = Sighting {
        id: id.parse().map_err(|_| StoreError::Damaged {
            what: "an id",
            value: id.clone(),
        })?,
        boat: boat.parse().map_err(|_| StoreError::Damaged {
            what: "a boat's name",
            value: boat.clone(),
        })?,
        sequence: row.get::<_, i64>(2)?.cast_unsigned(),
        camera: row.get(3)?,
        started: Timestamp(row.get(4)?),
        ended: Timestamp(row.get(5)?),
        frames: row.get(6)?,
        verdict,
        candidates,
        embedding: CompactEmbedding {
            scale: row.get::<_, f64>(9)? as f32,
            values: embedding.into_iter().map(u8::cast_signed).collect(),
        },
        picture: PictureInfo {
            sha256: row.get(11)?,
            bytes: row.get(12)?,
            width: row.get(13)?,
            height: row.get(14)?,
        },
        region: PixelBox {
            x0: row.get(15)?,
            y0: row.get(16)?,
            x1: row.get(17)?,
            y1: row.get(18)?,
        },
        bundle: row.get(19)?,
        engine: row.get(20)?,
        chance: row.get::<_, Option<f64>>(22)?.map(|chance| chance as f32),
        position: position(row)?,
        time: time(row)?,
        footage: footage::read(row, 37)?,
    };
    Ok(StoredSighting {
        sighting,
        received: Timestamp(row.get(21)?),
        picture,
    })
}

/// The columns from `latitude` on; a row without a latitude has no position.
fn position(row: &Row<'_>) -> Result<Option<Position>, StoreError> {
    let (Some(latitude), Some(longitude)) = (row.get(26)?, row.get(27)?) else {
        return Ok(None);
    };
    let quality: Option<String> = row.get(28)?;
    let quality = quality.unwrap_or_default();
    Ok(Some(Position {
        latitude,
        longitude,
        quality: FixQuality::parse(&quality).ok_or(StoreError::Damaged {
            what: "a position's quality",
            value: quality,
        })?,
        age: row.get::<_, Option<u32>>(29)?.unwrap_or_default(),
        satellites: row.get(30)?,
        hdop: row.get(31)?,
        speed: row.get(32)?,
        course: row.get(33)?,
        heading: row.get(34)?,
    }))
}

fn time(row: &Row<'_>) -> Result<Option<TimeBasis>, StoreError> {
    let Some(source) = row.get::<_, Option<String>>(35)? else {
        return Ok(None);
    };
    Ok(Some(TimeBasis {
        source: TimeSource::parse(&source).ok_or(StoreError::Damaged {
            what: "a time's source",
            value: source,
        })?,
        uncertainty: row.get(36)?,
    }))
}
