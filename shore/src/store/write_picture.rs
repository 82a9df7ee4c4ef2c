//! Writing a picture, or a part of one, inside a transaction.

use super::error::StoreError;
use super::message::{IngestResult, RejectReason, Rejection};
use super::picture_parts::{self, PartedPicture};
use super::sighting::StoredSighting;
use super::sighting_rows;
use super::write::{Writer, hex};
use flukewatch_common::picture_part::PicturePart;
use flukewatch_common::sighting::{BoatId, MessageKind, Picture};
use rusqlite::{OptionalExtension, params};
use uuid::Uuid;

/// What a message says of a picture.
struct AnnouncedPicture<'a> {
    sighting: Uuid,
    boat: &'a BoatId,
    /// SHA-256 of the picture; of a reduced copy, of the picture that it stands for.
    sha256: &'a [u8; 32],
    /// The size of the file.
    bytes: u64,
    is_reduced: bool,
}

/// What a picture is to the station.
enum Standing {
    /// This one is stored, or a larger copy of it.
    Stored {
        /// Whether the stored file has the same size.
        is_same_size: bool,
    },
    /// It is to be stored.
    Wanted,
    Rejected(Rejection),
}

impl Writer<'_> {
    pub(super) fn store_picture(
        &self,
        picture: &Picture,
        sha256: &[u8; 32],
        readable: bool,
    ) -> Result<IngestResult, StoreError> {
        let id = picture.sighting;
        let announced = AnnouncedPicture {
            sighting: id,
            boat: &picture.boat,
            sha256: picture.original.as_ref().unwrap_or(sha256),
            bytes: picture.jpeg.len() as u64,
            is_reduced: picture.original.is_some(),
        };
        match self.standing(&announced)? {
            Standing::Rejected(rejection) => Ok(IngestResult::Rejected(rejection)),
            Standing::Stored { is_same_size } => {
                if is_same_size && !self.pictures.exists(id) {
                    self.pictures.write(id, &picture.jpeg)?;
                }
                picture_parts::delete(self.tx, id)?;
                Ok(stored(&announced, true))
            }
            Standing::Wanted => {
                self.pictures.write(id, &picture.jpeg)?;
                self.tx
                    .prepare_cached(
                        "INSERT OR REPLACE INTO pictures VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    )?
                    .execute(params![
                        id.to_string(),
                        picture.boat.as_str(),
                        announced.sha256,
                        announced.bytes.cast_signed(),
                        readable,
                        self.now.0
                    ])?;
                picture_parts::delete(self.tx, id)?;
                Ok(stored(&announced, false))
            }
        }
    }

    /// Appends a part that begins where the bytes end that are there; another one changes nothing. A part of another
    /// file begins again where it is the first one.
    pub(super) fn store_part(&self, part: &PicturePart) -> Result<IngestResult, StoreError> {
        let id = part.sighting;
        let sha256 = <[u8; 32]>::from(part.file);
        let announced = AnnouncedPicture {
            sighting: id,
            boat: &part.boat,
            sha256: part.original.as_ref().unwrap_or(&sha256),
            bytes: u64::from(part.total),
            is_reduced: part.original.is_some(),
        };
        match self.standing(&announced)? {
            Standing::Rejected(rejection) => return Ok(IngestResult::Rejected(rejection)),
            Standing::Stored { is_same_size } if !is_same_size || self.pictures.exists(id) => {
                return Ok(stored(&announced, true));
            }
            Standing::Stored { .. } | Standing::Wanted => {}
        }
        let has = |received| IngestResult::PartStored {
            boat: part.boat.clone(),
            id,
            received,
            total: part.total,
        };
        let before = picture_parts::get(self.tx, id)?;
        let received = match before.filter(|before| before.is_of(part)) {
            Some(before) => before.received,
            // Its beginning is not there.
            None if part.offset > 0 => return Ok(has(0)),
            None => match picture_parts::begin(self.tx, self.parts, part, self.now)? {
                Ok(()) => 0,
                Err(rejection) => return Ok(IngestResult::Rejected(rejection)),
            },
        };
        if part.offset != received {
            return Ok(has(received));
        }
        if !self.parts.append(id, u64::from(received), &part.bytes)? {
            picture_parts::delete(self.tx, id)?;
            return Ok(has(0));
        }
        let after = PartedPicture::after(part);
        picture_parts::put(self.tx, id, &after, self.now)?;
        Ok(has(after.received))
    }

    /// Compares a picture with what is known of its sighting, and with what is stored.
    fn standing(&self, picture: &AnnouncedPicture<'_>) -> Result<Standing, StoreError> {
        let (id, bytes) = (picture.sighting, picture.bytes);
        let rejected = |reason, detail| Ok(Standing::Rejected(Rejection { reason, detail }));
        let sighting = sighting_rows::by_id(self.tx, id)?;
        if let Some(StoredSighting { sighting, .. }) = &sighting {
            if sighting.boat != *picture.boat {
                let detail = format!(
                    "picture from boat {} for a sighting of boat {}",
                    picture.boat, sighting.boat
                );
                return rejected(RejectReason::WrongBoat, detail);
            }
            let announced_bytes = u64::from(sighting.picture.bytes);
            let fits = if picture.is_reduced {
                bytes < announced_bytes
            } else {
                bytes == announced_bytes
            };
            if sighting.picture.sha256 != *picture.sha256 || !fits {
                let detail = format!(
                    "picture of {id} has {bytes} bytes and SHA-256 {}, but its sighting announced {announced_bytes} bytes and {}",
                    hex(picture.sha256),
                    hex(&sighting.picture.sha256)
                );
                return rejected(RejectReason::PictureMismatch, detail);
            }
        }
        let existing: Option<([u8; 32], String, i64)> = self
            .tx
            .prepare_cached("SELECT sha256, boat, bytes FROM pictures WHERE sighting = ?1")?
            .query_row([id.to_string()], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let Some((digest, boat, existing_bytes)) = existing else {
            return Ok(Standing::Wanted);
        };
        let existing_bytes = existing_bytes.unsigned_abs();
        let is_same = digest == *picture.sha256 && boat == picture.boat.as_str();
        if is_same && existing_bytes >= bytes {
            let is_same_size = existing_bytes == bytes;
            Ok(Standing::Stored { is_same_size })
        } else if is_same || sighting.is_some() {
            // The whole picture, or a larger copy, after a reduced one; or the stored picture is not what the
            // sighting announced, and this one is.
            Ok(Standing::Wanted)
        } else {
            let detail = format!("a different picture of {id} is already stored");
            rejected(RejectReason::Conflict, detail)
        }
    }
}

fn stored(picture: &AnnouncedPicture<'_>, duplicate: bool) -> IngestResult {
    IngestResult::Stored {
        boat: picture.boat.clone(),
        id: picture.sighting,
        kind: MessageKind::Picture,
        revision: 0,
        duplicate,
    }
}
