//! The store on SQLite.

use super::arrival::{Arrival, Content, Origin, Outcome, Reason, Refusal};
use super::pictures::Pictures;
use super::{
    BoatStatus, Gap, Listing, MAX_GAPS, PictureState, Query, RefusedCount, RefusedMessage, Store,
    StoreError, StoredSighting, rows, schema,
};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::{BoatId, Part, Picture, Sighting};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// How many refused messages are kept; the counts go on.
pub const KEPT_REFUSED: i64 = 1000;

const FILE: &str = "shore.sqlite3";

/// Rows in `DIR/shore.sqlite3`, pictures in `DIR/pictures/`.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
    pictures: Pictures,
    _lock: Option<File>,
}

impl SqliteStore {
    /// Opens `data` for a station: makes what is not there, and keeps other stations out.
    ///
    /// # Errors
    /// When the folder cannot be used, is in use, or was written by a newer program.
    pub fn open(data: &Path) -> Result<Self, StoreError> {
        let folder = |source| StoreError::Folder {
            folder: data.to_owned(),
            source,
        };
        fs::create_dir_all(data).map_err(folder)?;
        let lock = File::create(data.join("lock")).map_err(folder)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse(data.to_owned())),
            Err(TryLockError::Error(source)) => return Err(folder(source)),
        }
        let file = data.join(FILE);
        Ok(Self {
            writer: Mutex::new(schema::open(&file)?),
            reader: Mutex::new(schema::open_to_read(&file)?),
            pictures: Pictures::open(data)?,
            _lock: Some(lock),
        })
    }

    /// Opens `data` to look at it, beside a station that may be running.
    ///
    /// # Errors
    /// When there is nothing, or it was written by a newer program.
    pub fn look(data: &Path) -> Result<Self, StoreError> {
        let file = data.join(FILE);
        if !file.is_file() {
            return Err(StoreError::NoData(data.to_owned()));
        }
        Ok(Self {
            writer: Mutex::new(schema::open_to_read(&file)?),
            reader: Mutex::new(schema::open_to_read(&file)?),
            pictures: Pictures::at(data),
            _lock: None,
        })
    }

    fn take(
        &self,
        tx: &Transaction<'_>,
        arrival: &Arrival,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let outcome = match &arrival.content {
            Ok(Content::Sighting(sighting)) => take_sighting(tx, sighting, now)?,
            Ok(Content::Picture {
                picture,
                sha256,
                readable,
            }) => self.take_picture(tx, picture, sha256, *readable, now)?,
            Err(refusal) => Outcome::Refused(refusal.clone()),
        };
        match &outcome {
            Outcome::Stored { boat, .. } => heard(tx, boat, now)?,
            Outcome::Refused(refusal) => refuse(tx, &arrival.origin, refusal, now)?,
        }
        Ok(outcome)
    }

    fn take_picture(
        &self,
        tx: &Transaction<'_>,
        picture: &Picture,
        sha256: &[u8; 32],
        readable: bool,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let id = picture.sighting;
        let stored = |again| Outcome::Stored {
            boat: picture.boat.clone(),
            id,
            part: Part::Picture,
            again,
        };
        let sighting = rows::one(tx, id)?;
        if let Some(StoredSighting { sighting, .. }) = &sighting {
            if sighting.boat != picture.boat {
                let detail = format!(
                    "a picture from {} for a sighting of {}",
                    picture.boat, sighting.boat
                );
                return Ok(refused(Reason::WrongBoat, detail));
            }
            if sighting.picture.sha256 != *sha256
                || sighting.picture.bytes as usize != picture.jpeg.len()
            {
                let detail = format!(
                    "the picture of {id} has {} bytes and SHA-256 {}, but its sighting announced {} bytes and {}",
                    picture.jpeg.len(),
                    hex(sha256),
                    sighting.picture.bytes,
                    hex(&sighting.picture.sha256)
                );
                return Ok(refused(Reason::WrongPicture, detail));
            }
        }
        let before: Option<([u8; 32], String)> = tx
            .prepare_cached("SELECT sha256, boat FROM pictures WHERE sighting = ?1")?
            .query_row([id.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        match before {
            Some((had, boat)) if had == *sha256 && boat == picture.boat.as_str() => {
                if !self.pictures.holds(id) {
                    self.pictures.write(id, &picture.jpeg)?;
                }
                return Ok(stored(true));
            }
            // What is there is not what the sighting announced, and this is: it takes the place.
            Some(_) if sighting.is_some() => {}
            Some(_) => {
                return Ok(refused(
                    Reason::Conflict,
                    format!("another picture of {id} came before"),
                ));
            }
            None => {}
        }
        self.pictures.write(id, &picture.jpeg)?;
        tx.prepare_cached("INSERT OR REPLACE INTO pictures VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![
                id.to_string(),
                picture.boat.as_str(),
                sha256,
                picture.jpeg.len() as i64,
                readable,
                now.0
            ])?;
        Ok(stored(false))
    }
}

fn held(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    // A panic half way leaves an open transaction, which its drop has rolled back.
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refused(reason: Reason, detail: String) -> Outcome {
    Outcome::Refused(Refusal { reason, detail })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn take_sighting(
    tx: &Transaction<'_>,
    sighting: &Sighting,
    now: Timestamp,
) -> Result<Outcome, StoreError> {
    let id = sighting.id;
    let stored = |again| Outcome::Stored {
        boat: sighting.boat.clone(),
        id,
        part: Part::Sighting,
        again,
    };
    match rows::one(tx, id)? {
        None => {
            rows::insert(tx, sighting, now)?;
            Ok(stored(false))
        }
        Some(before) if before.sighting == *sighting => Ok(stored(true)),
        Some(_) => Ok(refused(
            Reason::Conflict,
            format!("another sighting with the id {id} came before"),
        )),
    }
}

fn heard(tx: &Transaction<'_>, boat: &BoatId, now: Timestamp) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO boats VALUES (?1, ?2, ?2) ON CONFLICT DO UPDATE SET last_seen = ?2",
    )?
    .execute(params![boat.as_str(), now.0])?;
    Ok(())
}

fn refuse(
    tx: &Transaction<'_>,
    origin: &Origin,
    refusal: &Refusal,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO refused (reason, detail, topic, bytes, head, digest, times, first_seen, last_seen) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?7) \
         ON CONFLICT (digest, topic, reason) DO UPDATE SET times = times + 1, last_seen = ?7",
    )?
    .execute(params![
        refusal.reason.as_str(),
        refusal.detail,
        origin.topic,
        origin.bytes.cast_signed(),
        origin.head,
        origin.digest,
        now.0
    ])?;
    tx.prepare_cached(
        "INSERT INTO refused_totals VALUES (?1, 1) ON CONFLICT DO UPDATE SET total = total + 1",
    )?
    .execute([refusal.reason.as_str()])?;
    tx.prepare_cached(
        "DELETE FROM refused WHERE number IN \
         (SELECT number FROM refused ORDER BY last_seen DESC, number DESC LIMIT -1 OFFSET ?1)",
    )?
    .execute([KEPT_REFUSED])?;
    Ok(())
}

fn gaps(db: &Connection, boat: &str) -> Result<(u64, Vec<Gap>), StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT before + 1, sequence - 1 FROM \
         (SELECT sequence, lag(sequence, 1, 0) OVER (ORDER BY sequence) AS before \
          FROM (SELECT DISTINCT sequence FROM sightings WHERE boat = ?1)) \
         WHERE sequence > before + 1 ORDER BY sequence",
    )?;
    let mut rows = statement.query([boat])?;
    let (mut missing, mut listed) = (0u64, vec![]);
    while let Some(row) = rows.next()? {
        let gap = Gap {
            first: row.get::<_, i64>(0)?.cast_unsigned(),
            last: row.get::<_, i64>(1)?.cast_unsigned(),
        };
        missing = missing.saturating_add(gap.last - gap.first + 1);
        if listed.len() < MAX_GAPS {
            listed.push(gap);
        }
    }
    Ok((missing, listed))
}

impl Store for SqliteStore {
    fn accept(&self, batch: &[Arrival], now: Timestamp) -> Result<Vec<Outcome>, StoreError> {
        let mut db = held(&self.writer);
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let outcomes = batch
            .iter()
            .map(|a| self.take(&tx, a, now))
            .collect::<Result<Vec<_>, _>>()?;
        if outcomes.iter().any(|o| {
            matches!(
                o,
                Outcome::Stored {
                    part: Part::Picture,
                    ..
                }
            )
        }) {
            self.pictures.sync()?;
        }
        tx.commit()?;
        Ok(outcomes)
    }

    fn sightings(&self, query: &Query) -> Result<Listing, StoreError> {
        const CHOSEN: &str = "WHERE (?1 IS NULL OR s.boat = ?1) AND (?2 IS NULL OR s.verdict = ?2) \
             AND (?3 IS NULL OR s.encounter = ?3)";
        let boat = query.boat.as_ref().map(BoatId::as_str);
        let verdict = query.verdict.map(super::VerdictKind::as_str);
        let encounter = query.encounter.map(|e| e.to_string());
        let db = held(&self.reader);
        let total: i64 = db
            .prepare_cached(&format!("SELECT count(*) FROM sightings s {CHOSEN}"))?
            .query_row(params![boat, verdict, encounter], |row| row.get(0))?;
        let part = format!("{CHOSEN} ORDER BY s.started DESC, s.id DESC LIMIT ?4 OFFSET ?5");
        let small = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let (limit, offset) = (small(query.limit), small(query.offset));
        let values = params![boat, verdict, encounter, limit, offset];
        Ok(Listing {
            total: total.cast_unsigned(),
            sightings: rows::select(&db, &part, values)?,
        })
    }

    fn sighting(&self, id: Uuid) -> Result<Option<StoredSighting>, StoreError> {
        rows::one(&held(&self.reader), id)
    }

    fn picture(&self, id: Uuid) -> Result<Option<Vec<u8>>, StoreError> {
        match self.sighting(id)? {
            Some(StoredSighting {
                picture: PictureState::Stored,
                ..
            }) => self.pictures.read(id),
            _ => Ok(None),
        }
    }

    fn boats(&self) -> Result<Vec<BoatStatus>, StoreError> {
        let db = held(&self.reader);
        let mut statement = db.prepare_cached(
            "SELECT b.boat, b.first_seen, b.last_seen, count(s.id), coalesce(max(s.sequence), 0), \
                    count(s.id) - count(DISTINCT s.sequence), \
                    count(s.id) - count(CASE WHEN p.sha256 = s.picture_sha256 AND p.boat = s.boat THEN 1 END), \
                    (SELECT count(*) FROM pictures w WHERE w.boat = b.boat \
                       AND NOT EXISTS (SELECT 1 FROM sightings t WHERE t.id = w.sighting)) \
             FROM boats b LEFT JOIN sightings s ON s.boat = b.boat LEFT JOIN pictures p ON p.sighting = s.id \
             GROUP BY b.boat ORDER BY b.boat",
        )?;
        let mut rows = statement.query([])?;
        let mut boats = vec![];
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            let (missing, gaps) = gaps(&db, &name)?;
            let count = |column: usize| row.get::<_, i64>(column).map(i64::cast_unsigned);
            boats.push(BoatStatus {
                boat: name.parse().map_err(|_| StoreError::Damaged {
                    what: "a boat's name",
                    value: name.clone(),
                })?,
                first_seen: Timestamp(row.get(1)?),
                last_seen: Timestamp(row.get(2)?),
                sightings: count(3)?,
                highest_sequence: count(4)?,
                missing,
                gaps,
                repeated: count(5)?,
                pictures_missing: count(6)?,
                pictures_waiting: count(7)?,
            });
        }
        Ok(boats)
    }

    fn refused(&self, most: usize) -> Result<Vec<RefusedMessage>, StoreError> {
        let db = held(&self.reader);
        let mut statement = db.prepare_cached(
            "SELECT reason, detail, topic, bytes, head, times, first_seen, last_seen FROM refused \
             ORDER BY last_seen DESC, number DESC LIMIT ?1",
        )?;
        let rows = statement.query_map([i64::try_from(most).unwrap_or(i64::MAX)], |row| {
            Ok(RefusedMessage {
                reason: row.get(0)?,
                detail: row.get(1)?,
                topic: row.get(2)?,
                bytes: row.get::<_, i64>(3)?.cast_unsigned(),
                head: hex(&row.get::<_, Vec<u8>>(4)?),
                times: row.get::<_, i64>(5)?.cast_unsigned(),
                first_seen: Timestamp(row.get(6)?),
                last_seen: Timestamp(row.get(7)?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn refused_counts(&self) -> Result<Vec<RefusedCount>, StoreError> {
        let db = held(&self.reader);
        let mut statement =
            db.prepare_cached("SELECT reason, total FROM refused_totals ORDER BY reason")?;
        let rows = statement.query_map([], |row| {
            Ok(RefusedCount {
                reason: row.get(0)?,
                total: row.get::<_, i64>(1)?.cast_unsigned(),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
