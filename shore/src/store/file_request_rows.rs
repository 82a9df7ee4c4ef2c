//! Requests of files, as rows.

use super::error::StoreError;
use super::file_request::{
    FileRequest, MAX_LISTED_REQUESTS, MAX_OPEN_BYTES, NewFileRequest, RequestOutcome,
    RequestProgress,
};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::file_transfer::{EncounterFile, MAX_REQUESTED_FILES, RequestedFile};
use flukewatch_common::sighting::BoatId;
use rusqlite::{Connection, Params, Row, named_params, params};
use std::collections::BTreeMap;
use uuid::Uuid;

const PUT: &str = "INSERT OR REPLACE INTO file_requests (request, boat, sighting, file, max_bytes, \
     over_any_link, requested_at, expires_at, progress, sha256, total, received, reason, ended_at) \
     VALUES (:request, :boat, :sighting, :file, :max_bytes, \
     :over_any_link, :requested_at, :expires_at, :progress, :sha256, :total, :received, :reason, :ended_at)";

/// Adds a request, unless there is one like it or the boat has too many. `is_here` says whether the file of a complete
/// one is still there.
pub(super) fn add(
    db: &Connection,
    new: &NewFileRequest,
    now: Timestamp,
    is_here: impl Fn(&FileRequest) -> bool,
) -> Result<RequestOutcome, StoreError> {
    let clauses = "WHERE sighting = ?1 AND file = ?2 AND progress IN ('open', 'complete')";
    let values = params![new.sighting.to_string(), new.file.as_str()];
    for same in select(db, clauses, values)? {
        if same.is_open() {
            return Ok(RequestOutcome::AlreadyOpen(same.new.id));
        }
        if is_here(&same) {
            return Ok(RequestOutcome::AlreadyReceived(same.new.id));
        }
    }
    let clauses = "WHERE boat = ?1 AND progress = 'open'";
    let open = select(db, clauses, [new.boat.as_str()])?;
    let bytes: u64 = open.iter().map(|request| request.new.max_bytes).sum();
    if open.len() >= MAX_REQUESTED_FILES {
        return Ok(RequestOutcome::TooManyOpen);
    }
    if bytes.saturating_add(new.max_bytes) > MAX_OPEN_BYTES {
        return Ok(RequestOutcome::TooManyBytes(bytes));
    }
    put(db, &FileRequest::new(new.clone(), now))?;
    Ok(RequestOutcome::Requested)
}

/// The request with this id.
pub(super) fn by_id(db: &Connection, id: Uuid) -> Result<Option<FileRequest>, StoreError> {
    let found = select(db, "WHERE request = ?1", [id.to_string()])?;
    Ok(found.into_iter().next())
}

/// The latest requests, newest first; with `sighting` only its.
pub(super) fn list(
    db: &Connection,
    sighting: Option<Uuid>,
) -> Result<Vec<FileRequest>, StoreError> {
    let sighting = sighting.map(|id| id.to_string());
    let clauses =
        "WHERE ?1 IS NULL OR sighting = ?1 ORDER BY requested_at DESC, request DESC LIMIT ?2";
    select(db, clauses, params![sighting, MAX_LISTED_REQUESTS as i64])
}

/// The open requests that have expired at `now`.
pub(super) fn expired(db: &Connection, now: Timestamp) -> Result<Vec<FileRequest>, StoreError> {
    let clauses = "WHERE progress = 'open' AND expires_at <= ?1";
    select(db, clauses, [now.0])
}

/// What is wanted of each boat that anything was ever requested of.
pub(super) fn wanted(db: &Connection) -> Result<BTreeMap<BoatId, Vec<RequestedFile>>, StoreError> {
    let mut wanted = BTreeMap::new();
    let mut statement = db.prepare_cached("SELECT DISTINCT boat FROM file_requests")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        wanted.insert(boat(row)?, vec![]);
    }
    let clauses = "WHERE progress = 'open' ORDER BY requested_at, request";
    for open in select(db, clauses, [])? {
        let files: &mut Vec<RequestedFile> = wanted.entry(open.new.boat.clone()).or_default();
        files.push(open.to_boat());
    }
    Ok(wanted)
}

/// The time of a new command to `boat`: `now`, or later than the one before.
pub(super) fn issue(
    db: &Connection,
    boat: &BoatId,
    now: Timestamp,
) -> Result<Timestamp, StoreError> {
    let issued = db
        .prepare_cached(
            "INSERT INTO commands VALUES (?1, ?2) \
             ON CONFLICT DO UPDATE SET issued = max(issued + 1, ?2) RETURNING issued",
        )?
        .query_row(params![boat.as_str(), now.0], |row| row.get(0))?;
    Ok(Timestamp(issued))
}

/// Writes a request.
pub(super) fn put(db: &Connection, request: &FileRequest) -> Result<(), StoreError> {
    let new = &request.new;
    db.prepare_cached(PUT)?.execute(named_params! {
        ":request": new.id.to_string(),
        ":boat": new.boat.as_str(),
        ":sighting": new.sighting.to_string(),
        ":file": new.file.as_str(),
        ":max_bytes": new.max_bytes.cast_signed(),
        ":over_any_link": new.over_any_link,
        ":requested_at": request.requested_at.0,
        ":expires_at": new.expires_at.0,
        ":progress": request.progress.as_str(),
        ":sha256": request.content.map(<[u8; 32]>::from),
        ":total": request.total.map(u64::cast_signed),
        ":received": request.received.cast_signed(),
        ":reason": request.reason,
        ":ended_at": request.ended_at.map(|at| at.0),
    })?;
    Ok(())
}

fn select(
    db: &Connection,
    clauses: &str,
    values: impl Params,
) -> Result<Vec<FileRequest>, StoreError> {
    let mut statement = db.prepare_cached(&format!("SELECT * FROM file_requests {clauses}"))?;
    let mut rows = statement.query(values)?;
    let mut requests = vec![];
    while let Some(row) = rows.next()? {
        requests.push(request(row)?);
    }
    Ok(requests)
}

fn boat(row: &Row<'_>) -> Result<BoatId, StoreError> {
    let name: String = row.get("boat")?;
    let parsed = name.parse();
    parsed.map_err(|_| StoreError::invalid("boat name", name))
}

fn request(row: &Row<'_>) -> Result<FileRequest, StoreError> {
    let id = |column| -> Result<Uuid, StoreError> {
        let text: String = row.get(column)?;
        let parsed = text.parse();
        parsed.map_err(|_| StoreError::invalid("id of a requested file", text))
    };
    let file: String = row.get("file")?;
    let known = EncounterFile::ALL.into_iter().find(|f| f.as_str() == file);
    let progress: String = row.get("progress")?;
    let sha256: Option<[u8; 32]> = row.get("sha256")?;
    Ok(FileRequest {
        new: NewFileRequest {
            id: id("request")?,
            boat: boat(row)?,
            sighting: id("sighting")?,
            file: known.ok_or_else(|| StoreError::invalid("file of an encounter", file))?,
            max_bytes: row.get::<_, i64>("max_bytes")?.cast_unsigned(),
            expires_at: Timestamp(row.get("expires_at")?),
            over_any_link: row.get("over_any_link")?,
        },
        requested_at: Timestamp(row.get("requested_at")?),
        progress: RequestProgress::parse(&progress)
            .ok_or_else(|| StoreError::invalid("progress of a request", progress))?,
        content: sha256.map(Into::into),
        total: row.get::<_, Option<i64>>("total")?.map(i64::cast_unsigned),
        received: row.get::<_, i64>("received")?.cast_unsigned(),
        reason: row.get("reason")?,
        ended_at: row.get::<_, Option<i64>>("ended_at")?.map(Timestamp),
    })
}
