//! How messages are identified, in the program and in the database.

use flukewatch_common::sighting::MessageKind;
use uuid::Uuid;

/// Identifies a message: a sighting's id, the kind of message and the revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Id of the sighting that it belongs to.
    pub sighting: Uuid,
    /// The kind of message.
    pub part: MessageKind,
    /// The revision of the sighting; 0 for a picture.
    pub revision: u32,
}

pub(super) fn part_number(part: MessageKind) -> i64 {
    match part {
        MessageKind::Sighting => 0,
        MessageKind::Picture => 1,
        // Made of the row of its sighting, and in no row itself.
        MessageKind::Brief => 2,
        // Of a picture, which is in a row as a whole.
        MessageKind::PicturePart => 3,
    }
}

pub(super) fn part(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<MessageKind> {
    match row.get(column)? {
        0 => Ok(MessageKind::Sighting),
        1 => Ok(MessageKind::Picture),
        other => Err(rusqlite::Error::IntegralValueOutOfRange(column, other)),
    }
}

pub(super) fn uuid(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Uuid> {
    let bytes: [u8; 16] = row.get(column)?;
    Ok(Uuid::from_bytes(bytes))
}
