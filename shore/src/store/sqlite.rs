//! The store on SQLite.

use super::boat::{BoatStatus, Gap, MAX_GAPS};
use super::bundle_transfer::{BundleTransfer, RecordedOffer};
use super::error::StoreError;
use super::file_request::{FileRequest, NewFileRequest, RequestOutcome, RequestProgress};
use super::interface::Store;
use super::message::{IncomingMessage, IngestResult};
use super::part_files::PartFiles;
use super::pictures::Pictures;
use super::quarantine::{self, Quarantined};
use super::received_files::ReceivedFiles;
use super::rejected::{RejectedCount, RejectedMessage};
use super::sighting::{Listing, PictureState, Query, StoredBrief, StoredSighting, VerdictKind};
use super::write::{Writer, hex};
use super::{
    briefs, earlier_revisions, file_request_rows, picture_parts, schema, sighting_rows,
    status_reports, transfer_rows,
};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::file_transfer::RequestedFile;
use flukewatch_common::sighting::{BoatId, MessageKind};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

const DATABASE_FILE: &str = "shore.sqlite3";
const LOCK_FILE: &str = "lock";

/// Rows in `DIR/shore.sqlite3`, pictures in `DIR/pictures/`, requested files in `DIR/files/`.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
    pictures: Pictures,
    parts: PartFiles,
    files: ReceivedFiles,
    _lock: Option<File>,
}

impl SqliteStore {
    /// Opens `data` for a station: creates what is missing, and locks other stations out.
    ///
    /// # Errors
    /// When the folder cannot be used, is in use, or was written by another version.
    pub fn open(data: &Path) -> Result<Self, StoreError> {
        let folder = |source| StoreError::Folder {
            folder: data.to_owned(),
            source,
        };
        fs::create_dir_all(data).map_err(folder)?;
        let lock = File::create(data.join(LOCK_FILE)).map_err(folder)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse(data.to_owned())),
            Err(TryLockError::Error(source)) => return Err(folder(source)),
        }
        let file = data.join(DATABASE_FILE);
        let store = Self {
            writer: Mutex::new(schema::open(&file)?),
            reader: Mutex::new(schema::open_read_only(&file)?),
            pictures: Pictures::open(data)?,
            parts: parts_in(data),
            files: ReceivedFiles::in_data(data),
            _lock: Some(lock),
        };
        let wanted = file_request_rows::wanted(&self::lock(&store.reader))?;
        let open: HashSet<Uuid> = wanted.values().flatten().map(|file| file.id).collect();
        store.files.parts().tidy(&open);
        picture_parts::tidy(&self::lock(&store.writer), &store.parts)?;
        Ok(store)
    }

    /// Opens `data` for writing while a station may run on it: each change is a transaction of its own.
    ///
    /// # Errors
    /// When the database is missing, or was written by another version.
    pub fn open_shared(data: &Path) -> Result<Self, StoreError> {
        let read_only = Self::open_read_only(data)?;
        Ok(Self {
            writer: Mutex::new(schema::open(&data.join(DATABASE_FILE))?),
            ..read_only
        })
    }

    /// Opens `data` for reading, also while a station runs on it.
    ///
    /// # Errors
    /// When the database is missing, or was written by another version.
    pub fn open_read_only(data: &Path) -> Result<Self, StoreError> {
        let file = data.join(DATABASE_FILE);
        if !file.is_file() {
            return Err(StoreError::NoData(data.to_owned()));
        }
        Ok(Self {
            writer: Mutex::new(schema::open_read_only(&file)?),
            reader: Mutex::new(schema::open_read_only(&file)?),
            pictures: Pictures::open_read_only(data),
            parts: parts_in(data),
            files: ReceivedFiles::in_data(data),
            _lock: None,
        })
    }
}

impl SqliteStore {
    fn writer<'a>(&'a self, tx: &'a Transaction<'a>, now: Timestamp) -> Writer<'a> {
        Writer {
            tx,
            pictures: &self.pictures,
            parts: &self.parts,
            files: &self.files,
            now,
        }
    }

    /// Stores a batch in one transaction.
    fn write(
        &self,
        db: &mut Connection,
        batch: &[IncomingMessage],
        now: Timestamp,
    ) -> Result<Vec<IngestResult>, StoreError> {
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let writer = self.writer(&tx, now);
        let mut results = Vec::with_capacity(batch.len());
        for message in batch {
            results.push(apply_alone(&tx, &writer, message)?);
        }
        if results
            .iter()
            .any(|result| stored_picture(result).is_some())
        {
            self.pictures.sync()?;
        }
        tx.commit()?;
        for id in results.iter().filter_map(stored_picture) {
            self.parts.discard(id);
        }
        Ok(results)
    }

    /// Stores the pictures whose last part has arrived, in a transaction of their own: to read a JPEG takes time.
    fn complete_pictures(
        &self,
        db: &mut Connection,
        batch: &[IncomingMessage],
        results: &mut [IngestResult],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (mut pictures, mut places) = (vec![], vec![]);
        for (message, result) in batch.iter().zip(results.iter_mut()) {
            if let Some(picture) = picture_parts::assemble(db, &self.parts, message, result)? {
                pictures.push(picture);
                places.push(result);
            }
        }
        if pictures.is_empty() {
            return Ok(());
        }
        for (place, completed) in places.into_iter().zip(self.write(db, &pictures, now)?) {
            if let (IngestResult::Rejected(_), IngestResult::PartStored { id, .. }) =
                (&completed, &*place)
            {
                picture_parts::delete(db, *id)?;
                self.parts.discard(*id);
            }
            *place = completed;
        }
        Ok(())
    }

    /// Ends an open request, and deletes what was received of its file.
    fn end(
        &self,
        tx: &Transaction<'_>,
        mut request: FileRequest,
        progress: RequestProgress,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        request.end(progress, None, now);
        file_request_rows::put(tx, &request)?;
        self.files.parts().discard(request.new.id);
        Ok(())
    }
}

/// The pictures under `data` of which some has arrived.
fn parts_in(data: &Path) -> PartFiles {
    PartFiles::in_folder(data.join("pictures").join("parts"))
}

fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    // A panic half-way leaves an open transaction, which its drop rolls back.
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

fn gaps(db: &Connection, boat: &str) -> Result<(u64, Vec<Gap>), StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT previous + 1 AS first, sequence - 1 AS last FROM \
         (SELECT sequence, lag(sequence, 1, 0) OVER (PARTITION BY epoch ORDER BY sequence) AS previous \
          FROM (SELECT epoch, sequence FROM sightings WHERE boat = ?1 \
                UNION SELECT epoch, sequence FROM briefs WHERE boat = ?1)) \
         WHERE sequence > previous + 1 ORDER BY sequence",
    )?;
    let mut rows = statement.query([boat])?;
    let (mut missing, mut gaps) = (0u64, vec![]);
    while let Some(row) = rows.next()? {
        let gap = Gap {
            first: row.get::<_, i64>("first")?.cast_unsigned(),
            last: row.get::<_, i64>("last")?.cast_unsigned(),
        };
        missing = missing.saturating_add(gap.last - gap.first + 1);
        if gaps.len() < MAX_GAPS {
            gaps.push(gap);
        }
    }
    Ok((missing, gaps))
}

/// The numbers that several sightings of a boat have.
fn repeated(db: &Connection, boat: &str) -> Result<Vec<Gap>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT sequence FROM sightings WHERE boat = ?1 \
         GROUP BY sequence HAVING count(*) > 1 ORDER BY sequence",
    )?;
    let mut rows = statement.query([boat])?;
    let mut ranges: Vec<Gap> = vec![];
    while let Some(row) = rows.next()? {
        let number = row.get::<_, i64>("sequence")?.cast_unsigned();
        let full = ranges.len() == MAX_GAPS;
        match ranges.last_mut() {
            Some(range) if range.last + 1 == number => range.last = number,
            _ if full => break,
            _ => ranges.push(Gap {
                first: number,
                last: number,
            }),
        }
    }
    Ok(ranges)
}

/// The sighting of a picture that was stored.
fn stored_picture(result: &IngestResult) -> Option<Uuid> {
    match result {
        IngestResult::Stored {
            id,
            kind: MessageKind::Picture,
            ..
        } => Some(*id),
        _ => None,
    }
}

/// Applies a message within a savepoint: what concerns it alone does not keep the others from being stored.
fn apply_alone(
    tx: &Transaction<'_>,
    writer: &Writer<'_>,
    message: &IncomingMessage,
) -> Result<IngestResult, StoreError> {
    let run = |sql: &str| -> Result<(), StoreError> {
        tx.prepare_cached(sql)?.execute([])?;
        Ok(())
    };
    run("SAVEPOINT message")?;
    let result = match writer.apply(message) {
        Ok(result) => result,
        Err(error) if error.is_of_one_message() => {
            run("ROLLBACK TO message")?;
            IngestResult::Failed(error.to_string())
        }
        Err(error) => return Err(error),
    };
    run("RELEASE message")?;
    Ok(result)
}

/// A number as SQLite holds it. The largest one is as good as any larger one for a limit or an
/// offset.
fn clamp(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl Store for SqliteStore {
    fn accept(
        &self,
        batch: &[IncomingMessage],
        now: Timestamp,
    ) -> Result<Vec<IngestResult>, StoreError> {
        let mut db = lock(&self.writer);
        let mut results = self.write(&mut db, batch, now)?;
        self.complete_pictures(&mut db, batch, &mut results, now)?;
        Ok(results)
    }

    fn sightings(&self, query: &Query) -> Result<Listing, StoreError> {
        const WHERE: &str = "WHERE (?1 IS NULL OR s.boat = ?1) AND (?2 IS NULL OR s.verdict = ?2) \
             AND (?3 IS NULL OR s.encounter = ?3)";
        let boat = query.boat.as_ref().map(BoatId::as_str);
        let verdict = query.verdict.map(VerdictKind::as_str);
        let encounter = query.encounter.map(|e| e.to_string());
        let db = lock(&self.reader);
        let total: i64 = db
            .prepare_cached(&format!("SELECT count(*) FROM sightings s {WHERE}"))?
            .query_row(params![boat, verdict, encounter], |row| row.get(0))?;
        let clauses = format!("{WHERE} ORDER BY s.started DESC, s.id DESC LIMIT ?4 OFFSET ?5");
        let (limit, offset) = (clamp(query.limit), clamp(query.offset));
        let values = params![boat, verdict, encounter, limit, offset];
        Ok(Listing {
            total: total.cast_unsigned(),
            sightings: sighting_rows::select(&db, &clauses, values)?,
        })
    }

    fn sighting(&self, id: Uuid) -> Result<Option<StoredSighting>, StoreError> {
        sighting_rows::by_id(&lock(&self.reader), id)
    }

    fn earlier_revisions(&self, id: Uuid) -> Result<Vec<StoredSighting>, StoreError> {
        let db = lock(&self.reader);
        let Some(StoredSighting { picture, .. }) = sighting_rows::by_id(&db, id)? else {
            return Ok(vec![]);
        };
        let earlier = earlier_revisions::all(&db, id)?.into_iter();
        Ok(earlier
            .map(|(sighting, received)| StoredSighting {
                sighting,
                received,
                picture,
            })
            .collect())
    }

    fn briefs(&self, query: &Query) -> Result<Vec<StoredBrief>, StoreError> {
        briefs::all(&lock(&self.reader), query)
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
        let db = lock(&self.reader);
        let mut statement = db.prepare_cached(
            "SELECT b.boat, b.first_seen, b.last_seen, count(s.id) AS sightings, \
                    max(coalesce(max(s.sequence), 0), \
                        coalesce((SELECT max(f.sequence) FROM briefs f WHERE f.boat = b.boat), 0)) \
                        AS last_sequence, \
                    (SELECT count(*) FROM briefs f WHERE f.boat = b.boat \
                       AND NOT EXISTS (SELECT 1 FROM sightings t WHERE t.id = f.sighting)) AS briefs, \
                    count(s.id) - count(DISTINCT s.sequence) AS duplicate_sequences, \
                    count(s.id) - count(DISTINCT coalesce(s.epoch, '') || '/' || s.sequence) \
                        AS duplicates_in_outbox, \
                    count(DISTINCT CASE WHEN s.id IS NOT NULL THEN coalesce(s.epoch, '') END) AS outboxes, \
                    count(s.id) - count(CASE WHEN p.sha256 = s.picture_sha256 AND p.boat = s.boat THEN 1 END) \
                        AS pictures_missing, \
                    (SELECT count(*) FROM pictures w WHERE w.boat = b.boat \
                       AND NOT EXISTS (SELECT 1 FROM sightings t WHERE t.id = w.sighting)) \
                        AS pictures_without_sighting \
             FROM boats b LEFT JOIN sightings s ON s.boat = b.boat LEFT JOIN pictures p ON p.sighting = s.id \
             GROUP BY b.boat ORDER BY b.boat",
        )?;
        let mut rows = statement.query([])?;
        let mut boats = vec![];
        while let Some(row) = rows.next()? {
            let name: String = row.get("boat")?;
            let (missing, gaps) = gaps(&db, &name)?;
            let count = |column: &str| row.get::<_, i64>(column).map(i64::cast_unsigned);
            boats.push(BoatStatus {
                boat: name
                    .parse()
                    .map_err(|_| StoreError::invalid("boat name", &name))?,
                first_seen: Timestamp(row.get("first_seen")?),
                last_seen: Timestamp(row.get("last_seen")?),
                sightings: count("sightings")?,
                briefs: count("briefs")?,
                last_sequence: count("last_sequence")?,
                missing,
                gaps,
                outboxes: count("outboxes")?,
                duplicate_sequences: count("duplicate_sequences")?,
                duplicates_in_outbox: count("duplicates_in_outbox")?,
                repeated: repeated(&db, &name)?,
                pictures_missing: count("pictures_missing")?,
                pictures_without_sighting: count("pictures_without_sighting")?,
                last_report: status_reports::get(&db, &name)?,
                transfers: transfer_rows::of_boat(&db, &name)?,
            });
        }
        Ok(boats)
    }

    fn record_offers(
        &self,
        open: &[RecordedOffer],
        now: Timestamp,
    ) -> Result<Vec<BundleTransfer>, StoreError> {
        let mut db = lock(&self.writer);
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let transfers = transfer_rows::record_offers(&tx, open, now)?;
        tx.commit()?;
        Ok(transfers)
    }

    fn last_transfers(&self) -> Result<Vec<BundleTransfer>, StoreError> {
        transfer_rows::last_of_each(&lock(&self.reader))
    }

    fn request_file(
        &self,
        request: &NewFileRequest,
        now: Timestamp,
    ) -> Result<RequestOutcome, StoreError> {
        let mut db = lock(&self.writer);
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // A person may delete a file, and want it again.
        let is_here = |complete: &FileRequest| {
            let file = complete.content.map(|content| self.files.open(content));
            matches!(file, Some(Ok(Some(_)) | Err(_)))
        };
        let outcome = file_request_rows::add(&tx, request, now, is_here)?;
        tx.commit()?;
        Ok(outcome)
    }

    fn cancel_file_request(&self, id: Uuid, now: Timestamp) -> Result<bool, StoreError> {
        let mut db = lock(&self.writer);
        // No other process appends to the file meanwhile.
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let open = file_request_rows::by_id(&tx, id)?.filter(FileRequest::is_open);
        let was_open = open.is_some();
        if let Some(request) = open {
            self.end(&tx, request, RequestProgress::Cancelled, now)?;
        }
        tx.commit()?;
        Ok(was_open)
    }

    fn file_requests(&self, sighting: Option<Uuid>) -> Result<Vec<FileRequest>, StoreError> {
        file_request_rows::list(&lock(&self.reader), sighting)
    }

    fn received_file(&self, request: Uuid) -> Result<Option<(FileRequest, File)>, StoreError> {
        let known = file_request_rows::by_id(&lock(&self.reader), request)?;
        let Some(request) = known.filter(|r| r.progress == RequestProgress::Complete) else {
            return Ok(None);
        };
        let Some(content) = request.content else {
            return Ok(None);
        };
        Ok(self.files.open(content)?.map(|file| (request, file)))
    }

    fn wanted_files(
        &self,
        now: Timestamp,
    ) -> Result<BTreeMap<BoatId, Vec<RequestedFile>>, StoreError> {
        let expired = file_request_rows::expired(&lock(&self.reader), now)?;
        if !expired.is_empty() {
            let mut db = lock(&self.writer);
            let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for request in file_request_rows::expired(&tx, now)? {
                self.end(&tx, request, RequestProgress::Expired, now)?;
            }
            tx.commit()?;
        }
        file_request_rows::wanted(&lock(&self.reader))
    }

    fn issue_command(&self, boat: &BoatId, now: Timestamp) -> Result<Timestamp, StoreError> {
        file_request_rows::issue(&lock(&self.writer), boat, now)
    }

    fn quarantine(&self) -> Result<Vec<Quarantined>, StoreError> {
        quarantine::all(&lock(&self.reader))
    }

    fn delete_quarantined(&self, sighting: Uuid) -> Result<usize, StoreError> {
        quarantine::delete(&lock(&self.writer), sighting)
    }

    fn release_quarantined(&self, sighting: Uuid, now: Timestamp) -> Result<usize, StoreError> {
        let mut db = lock(&self.writer);
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let writer = self.writer(&tx, now);
        let released = writer.release(sighting)?;
        tx.commit()?;
        Ok(released)
    }

    fn rejected_messages(&self, limit: usize) -> Result<Vec<RejectedMessage>, StoreError> {
        let db = lock(&self.reader);
        let mut statement = db.prepare_cached(
            "SELECT * FROM rejected_messages ORDER BY last_seen DESC, number DESC LIMIT ?1",
        )?;
        let rows = statement.query_map([clamp(limit as u64)], |row| {
            Ok(RejectedMessage {
                reason: row.get("reason")?,
                detail: row.get("detail")?,
                topic: row.get("topic")?,
                bytes: row.get::<_, i64>("bytes")?.cast_unsigned(),
                head: hex(&row.get::<_, Vec<u8>>("head")?),
                count: row.get::<_, i64>("count")?.cast_unsigned(),
                first_seen: Timestamp(row.get("first_seen")?),
                last_seen: Timestamp(row.get("last_seen")?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn rejected_counts(&self) -> Result<Vec<RejectedCount>, StoreError> {
        let db = lock(&self.reader);
        let mut statement =
            db.prepare_cached("SELECT reason, total FROM rejected_totals ORDER BY reason")?;
        let rows = statement.query_map([], |row| {
            Ok(RejectedCount {
                reason: row.get("reason")?,
                total: row.get::<_, i64>("total")?.cast_unsigned(),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
