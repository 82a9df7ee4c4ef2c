//! A large picture in parts, so that a link that ends costs one part and not the whole picture.
//!
//! The boat sends one part of a picture at a time, on the topic of pictures. Shore appends a part that begins where
//! its bytes end, and answers how many bytes it has from the beginning on; the boat continues from there. Once shore
//! has the whole file and its SHA-256 fits, it acknowledges the picture as if it had come in one message.

use crate::bundle_transfer::ContentId;
use crate::file_transfer::MAX_CHUNK;
use crate::message_digest::MessageDigest;
use crate::sighting::{Acknowledged, BoatId, MessageKind, Picture};
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// The largest file that is sent in parts, in bytes: as large as a message, in which it must be possible to send it, too.
pub const MAX_PARTED_BYTES: u32 = 256 * 1024;
/// What the message with a part holds besides its bytes, envelope included, at most, in bytes.
pub const PART_OVERHEAD: u64 = 11 + 33 + 17 + 32 + 3 * 3 + 33;

/// Some bytes of the picture of a sighting.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PicturePart {
    /// The boat that took the picture.
    pub boat: BoatId,
    /// The id of the sighting that the picture belongs to.
    pub sighting: Uuid,
    /// The SHA-256 of the whole JPEG file.
    pub file: ContentId,
    /// The size of the whole JPEG file in bytes.
    pub total: u32,
    /// Where the bytes begin.
    pub offset: u32,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// As [`Picture::original`].
    pub original: Option<[u8; 32]>,
}

/// A part with values out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPicturePart {
    /// No bytes, or too many.
    #[error("part of {0} bytes; expected 1 to {MAX_CHUNK}")]
    Bytes(usize),
    /// The picture is too large.
    #[error("picture of {0} bytes; expected at most {MAX_PARTED_BYTES}")]
    Total(u32),
    /// The part ends behind the end of the picture.
    #[error("part of {bytes} bytes at {offset} in a picture of {total} bytes")]
    Range {
        /// Where it begins.
        offset: u32,
        /// Its size.
        bytes: usize,
        /// The size of the picture.
        total: u32,
    },
}

impl PicturePart {
    /// The part of `picture`, whose file is `file`, from `offset` on, of at most `max_bytes`; `None` where nothing is
    /// left, or the picture is too large.
    pub fn of(picture: &Picture, file: ContentId, offset: u32, max_bytes: u32) -> Option<Self> {
        let total = u32::try_from(picture.jpeg.len()).ok()?;
        let rest = picture.jpeg.get(offset as usize..)?;
        let length = rest.len().min(max_bytes.min(MAX_CHUNK) as usize);
        let part = Self {
            boat: picture.boat.clone(),
            sighting: picture.sighting,
            file,
            total,
            offset,
            bytes: rest.get(..length)?.to_vec(),
            original: picture.original,
        };
        part.validate().ok().map(|()| part)
    }

    /// Checks sizes and offset.
    ///
    /// # Errors
    /// When one of them is impossible.
    pub fn validate(&self) -> Result<(), InvalidPicturePart> {
        let (bytes, total) = (self.bytes.len(), self.total);
        if total > MAX_PARTED_BYTES {
            return Err(InvalidPicturePart::Total(total));
        }
        if bytes == 0 || bytes > MAX_CHUNK as usize {
            return Err(InvalidPicturePart::Bytes(bytes));
        }
        if u64::from(self.offset) + bytes as u64 > u64::from(total) {
            return Err(InvalidPicturePart::Range {
                offset: self.offset,
                bytes,
                total,
            });
        }
        Ok(())
    }

    /// Where the bytes of a valid part end.
    pub fn end(&self) -> u32 {
        self.offset + self.bytes.len() as u32
    }
}

impl fmt::Debug for PicturePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, offset, total) = (self.bytes.len(), self.offset, self.total);
        write!(
            f,
            "{bytes} of {total} bytes at {offset} of picture {}",
            self.sighting
        )
    }
}

/// The answer to the part of `sighting`'s picture whose message has this digest: shore has the first `received` bytes
/// of the file.
pub fn answer(sighting: Uuid, received: u32, part: MessageDigest) -> Acknowledged {
    Acknowledged {
        sighting,
        kind: MessageKind::PicturePart,
        revision: received,
        message: Some(part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{self, Message};

    fn picture(bytes: usize) -> Picture {
        Picture {
            sighting: Uuid::from_u128(u128::MAX),
            boat: "a".repeat(32).parse().unwrap(),
            jpeg: (0..bytes).map(|n| n as u8).collect(),
            original: Some([7; 32]),
        }
    }

    #[test]
    fn a_part_survives_its_envelope_and_is_small() {
        let picture = picture(250_000);
        let file = ContentId::of(&picture.jpeg);
        let part = PicturePart::of(&picture, file, 131_072, MAX_CHUNK).unwrap();
        assert_eq!(part.end(), 131_072 + MAX_CHUNK);
        let bytes = wire::encode(&part).unwrap();
        assert_eq!(bytes.len() as u64, u64::from(MAX_CHUNK) + PART_OVERHEAD);
        assert_eq!(wire::kind(&bytes), Some(PicturePart::KIND));
        assert_eq!(wire::decode(&bytes), Ok(part));
    }

    #[test]
    fn the_parts_make_the_picture() {
        let picture = picture(20_001);
        let file = ContentId::of(&picture.jpeg);
        let mut jpeg = vec![];
        while let Some(part) = PicturePart::of(&picture, file, jpeg.len() as u32, 1000) {
            assert_eq!(part.offset as usize, jpeg.len());
            jpeg.extend(part.bytes);
        }
        assert!(jpeg == picture.jpeg);
        assert_eq!(PicturePart::of(&picture, file, 20_002, 1000), None);
        assert_eq!(PicturePart::of(&picture, file, 0, 0), None);
    }

    #[test]
    fn impossible_sizes_and_offsets_are_invalid() {
        let largest = MAX_CHUNK as usize;
        for (total, offset, bytes, expected) in [
            (9, 0, 9, Ok(())),
            (9, 8, 1, Ok(())),
            (MAX_PARTED_BYTES, 0, largest, Ok(())),
            (9, 0, 0, Err(InvalidPicturePart::Bytes(0))),
            (0, 0, 0, Err(InvalidPicturePart::Bytes(0))),
            (
                MAX_PARTED_BYTES,
                0,
                largest + 1,
                Err(InvalidPicturePart::Bytes(largest + 1)),
            ),
            (
                MAX_PARTED_BYTES + 1,
                0,
                1,
                Err(InvalidPicturePart::Total(MAX_PARTED_BYTES + 1)),
            ),
            (
                9,
                8,
                2,
                Err(InvalidPicturePart::Range {
                    offset: 8,
                    bytes: 2,
                    total: 9,
                }),
            ),
            (
                9,
                u32::MAX,
                1,
                Err(InvalidPicturePart::Range {
                    offset: u32::MAX,
                    bytes: 1,
                    total: 9,
                }),
            ),
        ] {
            let part = PicturePart {
                boat: "balaena".parse().unwrap(),
                sighting: Uuid::from_u128(1),
                file: ContentId::of(b"a picture"),
                total,
                offset,
                bytes: vec![0; bytes],
                original: None,
            };
            assert_eq!(part.validate(), expected, "{part:?}");
        }
    }
}
