//! Rows of new messages.

use super::key::{Key, part_number};
use flukewatch_common::clock::Timestamp;
use rusqlite::{Transaction, params};

/// The content of a row.
#[derive(Clone, Copy)]
pub(super) enum Content<'a> {
    Message(&'a [u8]),
    Picture {
        file: &'a str,
        jpeg: &'a [u8],
        sha256: [u8; 32],
    },
}

impl<'a> Content<'a> {
    fn message(&self) -> Option<&'a [u8]> {
        if let Self::Message(message) = self {
            Some(message)
        } else {
            None
        }
    }

    fn file(&self) -> Option<&'a str> {
        if let Self::Picture { file, .. } = self {
            Some(file)
        } else {
            None
        }
    }

    fn sha256(&self) -> Option<&[u8]> {
        if let Self::Picture { sha256, .. } = self {
            Some(sha256)
        } else {
            None
        }
    }

    fn bytes(&self) -> i64 {
        match self {
            Self::Message(message) => message.len() as i64,
            Self::Picture { jpeg, .. } => jpeg.len() as i64,
        }
    }
}

/// Adds a pending message; one that is `held` is not sent yet.
pub(super) fn enqueue(
    transaction: &Transaction<'_>,
    key: Key,
    content: Content<'_>,
    held: bool,
) -> rusqlite::Result<usize> {
    // Sightings first: a slow link carries them before any picture.
    let priority = part_number(key.part);
    transaction.execute(
        "INSERT INTO pending (sighting, part, priority, bytes, message, picture, sha256, held) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            key.sighting.as_bytes().as_slice(),
            part_number(key.part),
            priority,
            content.bytes(),
            content.message(),
            content.file(),
            content.sha256(),
            held
        ],
    )
}

/// Adds a message that can never be sent.
pub(super) fn dead_letter(
    transaction: &Transaction<'_>,
    key: Key,
    content: Content<'_>,
    reason: &str,
    now: Timestamp,
) -> rusqlite::Result<usize> {
    tracing::error!(sighting = %key.sighting, part = ?key.part, reason, "message stored as dead letter");
    transaction.execute(
        "INSERT INTO dead_letter (sighting, part, bytes, message, picture, sha256, reason, moved_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            key.sighting.as_bytes().as_slice(),
            part_number(key.part),
            content.bytes(),
            content.message(),
            content.file(),
            content.sha256(),
            reason,
            now.0
        ],
    )
}
