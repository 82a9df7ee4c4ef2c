//! The pictures of which only the first bytes have arrived, as rows.

use super::error::StoreError;
use super::message::{Content, IncomingMessage, IngestResult, RejectReason, Rejection};
use super::part_files::PartFiles;
use super::sighting_rows;
use crate::picture_check::is_displayable;
use flukewatch_common::bundle_transfer::ContentId;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::picture_part::PicturePart;
use flukewatch_common::sighting::Picture;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashSet;
use uuid::Uuid;

/// The limit of the pictures of a boat that have begun to arrive, in bytes.
pub const MAX_PARTED_BYTES_OF_BOAT: u64 = 256 << 20;
/// A smaller picture counts as one of so many bytes: it takes a file.
const MIN_COUNTED_BYTES: i64 = 4096;
/// Of a picture of which nothing has arrived for so long, what is there is deleted, in milliseconds.
const MAX_AGE_MILLIS: i64 = 30 * 24 * 3_600_000;
/// How many of these are deleted when another picture begins.
const MAX_SWEPT: i64 = 20;

/// How much of a picture is there.
pub(super) struct PartedPicture {
    pub(super) boat: String,
    pub(super) file: ContentId,
    /// The size of the whole file in bytes.
    pub(super) total: u32,
    /// The bytes that are there, from the beginning on.
    pub(super) received: u32,
}

impl PartedPicture {
    /// What is there after `part`.
    pub(super) fn after(part: &PicturePart) -> Self {
        Self {
            boat: part.boat.as_str().to_owned(),
            file: part.file,
            total: part.total,
            received: part.end(),
        }
    }

    /// Whether `part` is of this file.
    pub(super) fn is_of(&self, part: &PicturePart) -> bool {
        (self.boat.as_str(), self.file, self.total) == (part.boat.as_str(), part.file, part.total)
    }
}

pub(super) fn get(db: &Connection, sighting: Uuid) -> Result<Option<PartedPicture>, StoreError> {
    let query = "SELECT boat, sha256, total, received FROM picture_parts WHERE sighting = ?1";
    let parted = db
        .prepare_cached(query)?
        .query_row([sighting.to_string()], |row| {
            Ok(PartedPicture {
                boat: row.get(0)?,
                file: row.get::<_, [u8; 32]>(1)?.into(),
                total: row.get(2)?,
                received: row.get(3)?,
            })
        })
        .optional()?;
    Ok(parted)
}

pub(super) fn put(
    db: &Connection,
    sighting: Uuid,
    picture: &PartedPicture,
    now: Timestamp,
) -> Result<(), StoreError> {
    db.prepare_cached("INSERT OR REPLACE INTO picture_parts VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![
            sighting.to_string(),
            picture.boat,
            <[u8; 32]>::from(picture.file),
            picture.total,
            picture.received,
            now.0
        ])?;
    Ok(())
}

pub(super) fn delete(db: &Connection, sighting: Uuid) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM picture_parts WHERE sighting = ?1")?
        .execute([sighting.to_string()])?;
    Ok(())
}

/// Checks whether the picture of `part`, its first one, may begin to arrive; deletes what has lain here for too long.
pub(super) fn begin(
    db: &Connection,
    files: &PartFiles,
    part: &PicturePart,
    now: Timestamp,
) -> Result<Result<(), Rejection>, StoreError> {
    sweep(db, files, now)?;
    let (id, boat) = (part.sighting, part.boat.as_str());
    let is_of_other = get(db, id)?.is_some_and(|before| before.boat != boat);
    if is_of_other && sighting_rows::by_id(db, id)?.is_none() {
        return Ok(Err(Rejection {
            reason: RejectReason::Conflict,
            detail: format!("another boat sends a picture of {id}"),
        }));
    }
    let query = "SELECT coalesce(sum(max(total, ?3)), 0) FROM picture_parts WHERE boat = ?1 AND sighting != ?2";
    let others: i64 = db
        .prepare_cached(query)?
        .query_row(params![boat, id.to_string(), MIN_COUNTED_BYTES], |row| {
            row.get(0)
        })?;
    if others.unsigned_abs() + u64::from(part.total) > MAX_PARTED_BYTES_OF_BOAT {
        let most = MAX_PARTED_BYTES_OF_BOAT >> 20;
        return Ok(Err(Rejection {
            reason: RejectReason::Invalid,
            detail: format!("more than {most} MiB of pictures of {boat} have arrived in part"),
        }));
    }
    Ok(Ok(()))
}

/// Deletes some of what has not grown for too long.
fn sweep(db: &Connection, files: &PartFiles, now: Timestamp) -> Result<(), StoreError> {
    let query = "DELETE FROM picture_parts WHERE sighting IN \
                 (SELECT sighting FROM picture_parts WHERE updated < ?1 ORDER BY updated LIMIT ?2) \
                 RETURNING sighting";
    let oldest = now.plus_millis(-MAX_AGE_MILLIS).0;
    let mut statement = db.prepare_cached(query)?;
    let mut rows = statement.query(params![oldest, MAX_SWEPT])?;
    while let Some(row) = rows.next()? {
        let sighting: String = row.get(0)?;
        if let Ok(id) = sighting.parse() {
            tracing::info!(%sighting, "deleting the first bytes of a picture that never arrived");
            files.discard(id);
        }
    }
    Ok(())
}

/// Deletes the files of no row, and what is there of pictures that are stored.
pub(super) fn tidy(db: &Connection, files: &PartFiles) -> Result<(), StoreError> {
    db.execute(
        "DELETE FROM picture_parts WHERE EXISTS (SELECT 1 FROM pictures p WHERE p.sighting = picture_parts.sighting \
         AND p.boat = picture_parts.boat AND p.sha256 = picture_parts.sha256 AND p.bytes >= picture_parts.total)",
        [],
    )?;
    let mut statement = db.prepare("SELECT sighting FROM picture_parts")?;
    let mut rows = statement.query([])?;
    let mut open = HashSet::new();
    while let Some(row) = rows.next()? {
        open.extend(row.get::<_, String>(0)?.parse::<Uuid>().ok());
    }
    files.tidy(&open);
    Ok(())
}

/// The picture whose last part arrived with `message`, as a message to be stored; `None` where it is incomplete.
pub(super) fn assemble(
    db: &Connection,
    files: &PartFiles,
    message: &IncomingMessage,
    result: &mut IngestResult,
) -> Result<Option<IncomingMessage>, StoreError> {
    let (
        Ok(Content::PicturePart(part)),
        IngestResult::PartStored {
            received, total, ..
        },
    ) = (&message.content, result)
    else {
        return Ok(None);
    };
    if received < total {
        return Ok(None);
    }
    let Some(jpeg) = files.read(part.sighting, u64::from(*total))? else {
        // The disk has lost it.
        delete(db, part.sighting)?;
        *received = 0;
        return Ok(None);
    };
    let content = if ContentId::of(&jpeg) == part.file {
        Ok(Content::Picture {
            readable: is_displayable(&jpeg),
            sha256: part.file.into(),
            picture: Picture {
                sighting: part.sighting,
                boat: part.boat.clone(),
                jpeg,
                original: part.original,
            },
        })
    } else {
        Err(Rejection {
            reason: RejectReason::PictureMismatch,
            detail: format!(
                "the parts of the picture of {} are not {}",
                part.sighting, part.file
            ),
        })
    };
    Ok(Some(IncomingMessage {
        meta: message.meta.clone(),
        content,
    }))
}
