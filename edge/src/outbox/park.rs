//! Parks a message that the broker or shore does not take, and queues a reduced copy of a picture.

use super::error::OutboxError;
use super::key::{Key, part_number};
use super::queue::{Queue, to_dead_letters};
use crate::crop_jpeg::encode_within;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::prepare;
use flukewatch_common::sighting::{MessageKind, Picture};
use flukewatch_common::wire;
use rusqlite::{OptionalExtension, TransactionBehavior, params};

/// The smallest limit of a reduced copy, in bytes: below it a fluke cannot be recognised.
const MIN_REDUCED: usize = 8_000;

/// The columns of a pending picture.
struct Row {
    /// The encoded message, of a reduced copy.
    message: Option<Vec<u8>>,
    file: Option<String>,
    sha256: Option<Vec<u8>>,
}

impl Queue {
    /// Moves a pending message to the dead letters because of its size. In place of a picture, a copy
    /// of at most half of its bytes becomes pending; in place of such a copy, a smaller one.
    ///
    /// # Errors
    /// When database or disk fail; then the message is still pending.
    pub fn park(&mut self, key: Key, reason: &str, now: Timestamp) -> Result<(), OutboxError> {
        let row = match key.part {
            MessageKind::Sighting | MessageKind::PicturePart => None,
            MessageKind::Brief => {
                return self.give_up_briefs(&[(key, reason.to_owned())]).map(drop);
            }
            MessageKind::Picture => self.pending_picture(key)?,
        };
        let Some(row) = row else {
            return self.move_to_dead_letters(key, reason, now);
        };
        let reduced = self.reduced(key, &row)?;
        let reason = match &reduced {
            Some(copy) => format!("{reason}; sending a reduced copy of {} bytes", copy.len()),
            None => reason.to_owned(),
        };
        let folder = self.folder().to_owned();
        let failed = OutboxError::database(&folder);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&failed)?;
        if row.message.is_none() {
            to_dead_letters(&transaction, key, &reason, now).map_err(&failed)?;
        } else {
            tracing::warn!(sighting = %key.sighting, reason, "reduced picture not sent");
            let copy = "DELETE FROM pending WHERE sighting = ? AND part = ?";
            let id = key.sighting.as_bytes().as_slice();
            transaction
                .execute(copy, params![id, part_number(key.part)])
                .map_err(&failed)?;
        }
        if let Some(copy) = reduced {
            let queue = "INSERT INTO pending (sighting, part, priority, bytes, message) VALUES (?1, ?2, ?2, ?3, ?4)";
            let id = key.sighting.as_bytes().as_slice();
            transaction
                .execute(
                    queue,
                    params![id, part_number(key.part), copy.len() as i64, copy],
                )
                .map_err(&failed)?;
        }
        transaction.commit().map_err(&failed)
    }

    fn pending_picture(&self, key: Key) -> Result<Option<Row>, OutboxError> {
        let query = "SELECT message, picture, sha256 FROM pending WHERE sighting = ? AND part = ?";
        let id = key.sighting.as_bytes().as_slice();
        self.connection
            .prepare_cached(query)
            .and_then(|mut s| {
                s.query_row(params![id, part_number(key.part)], |r| {
                    Ok(Row {
                        message: r.get(0)?,
                        file: r.get(1)?,
                        sha256: r.get(2)?,
                    })
                })
                .optional()
            })
            .map_err(OutboxError::database(self.folder()))
    }

    /// The message with a copy of at most half of the bytes; `None` where it would be too small, or the
    /// picture cannot be read.
    fn reduced(&self, key: Key, row: &Row) -> Result<Option<Vec<u8>>, OutboxError> {
        let picture = match (&row.message, &row.file, &row.sha256) {
            (Some(message), ..) => wire::decode(message).ok(),
            (None, Some(file), Some(sha256)) => self.pictures.read(file)?.map(|jpeg| Picture {
                sighting: key.sighting,
                boat: self.boat().clone(),
                jpeg,
                original: sha256[..].try_into().ok(),
            }),
            _ => None,
        };
        let Some(
            picture @ Picture {
                original: Some(_), ..
            },
        ) = picture
        else {
            return Ok(None);
        };
        let limit = picture.jpeg.len() / 2;
        if limit < MIN_REDUCED {
            return Ok(None);
        }
        let Ok(pixels) = prepare::decode(&picture.jpeg) else {
            return Ok(None);
        };
        let Ok(copy) = encode_within(&pixels, limit) else {
            return Ok(None);
        };
        let reduced = Picture {
            jpeg: copy.file,
            ..picture
        };
        Ok(wire::encode(&reduced).ok())
    }
}

#[cfg(test)]
mod tests;
