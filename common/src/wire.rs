//! The envelope: the header of every message, with kind, version and checksum.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `FLKW` |
//! | 1 | kind: 1 sighting, 2 picture, 3 ack, 4 presence, 5 status, 6 bundle offer, 7 content request, 8 content piece, 9 transfer report, 10 brief, 11 settings, 12 command, 13 chunk, 14 picture part |
//! | 2 | version of that kind's payload, little-endian; now 5 to 8 for a sighting, 1 or 2 for a picture, 1 to 6 for an ack, 1 to 3 for a status, 1 for the others |
//! | 4 | CRC-32 (IEEE) of the payload, little-endian |
//! | rest | the payload in [postcard](https://postcard.jamesmunns.com/wire-format) |
//!
//! ```
//! use flukewatch_common::sighting::Ack;
//! use flukewatch_common::wire;
//! let ack = Ack { boat: "balaena".parse().unwrap(), stored: vec![], rejected: vec![] };
//! let bytes = wire::encode(&ack)?;
//! assert_eq!(wire::decode::<Ack>(&bytes)?, ack);
//! # Ok::<(), wire::WireError>(())
//! ```

use crate::boat_settings::BoatSettings;
use crate::brief::Brief;
use crate::bundle_transfer::{BundleOffer, ContentPiece, ContentRequest, TransferReport};
use crate::decision::Verdict;
use crate::file_transfer::{Chunk, Command};
use crate::picture_part::{MAX_PARTED_BYTES, PicturePart};
use crate::presence::Presence;
use crate::sighting::{Ack, Acknowledged, BoatId, MessageKind, Picture, Rejected, Sighting};
use crate::status_report::StatusReport;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

/// The size limit of a message in bytes, envelope included. A sighting is about 2 kB, a picture at
/// most 200 kB.
pub const MAX_MESSAGE: usize = 256 * 1024;
const _: () = assert!(MAX_PARTED_BYTES as usize == MAX_MESSAGE);

const MAGIC: [u8; 4] = *b"FLKW";
const HEADER: usize = 11;

/// Errors of encoding or decoding a message.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WireError {
    /// The message exceeds [`MAX_MESSAGE`].
    #[error("the message is {0} bytes, more than the {MAX_MESSAGE} allowed")]
    TooLarge(usize),
    /// The bytes are shorter than the envelope.
    #[error("the message is truncated: {0} bytes; the envelope alone has {HEADER}")]
    Truncated(usize),
    /// The bytes are not a Flukewatch message.
    #[error("not a Flukewatch message: it does not start with FLKW")]
    Foreign,
    /// The message is of another kind than expected.
    #[error("message of kind {got}; expected a {wanted}")]
    WrongKind {
        /// The number of the kind in the envelope.
        got: u8,
        /// The name of the expected kind.
        wanted: &'static str,
    },
    /// Written by a newer Flukewatch.
    #[error(
        "{kind} version {got} is newer than this program, which reads up to {known}: update the program"
    )]
    Newer {
        /// The name of the kind.
        kind: &'static str,
        /// The version in the envelope.
        got: u16,
        /// The newest supported version.
        known: u16,
    },
    /// The checksum does not match.
    #[error("the message is damaged: its checksum does not match")]
    Checksum,
    /// The payload is not a valid message of its kind.
    #[error("invalid payload of a {0} message")]
    Payload(&'static str),
}

/// A message that can be sent in an envelope.
pub trait Message: Serialize + DeserializeOwned {
    /// The kind's number in the envelope.
    const KIND: u8;
    /// The kind's name, for display.
    const NAME: &'static str;
    /// The newest version that can be read.
    const VERSION: u16;

    /// The version that is written: the oldest that can express this message.
    fn version(&self) -> u16 {
        Self::VERSION
    }

    /// Appends the payload in [`Message::version`]; `None` if it cannot be written.
    fn write(&self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        postcard::to_extend(self, bytes).ok()
    }

    /// Decodes the payload of a version up to [`Message::VERSION`]; `None` if it is invalid.
    fn read(payload: &[u8], _version: u16) -> Option<Self> {
        whole(payload)
    }
}

/// Decodes a payload; `None` if it is invalid or followed by other bytes.
fn whole<M: DeserializeOwned>(payload: &[u8]) -> Option<M> {
    match postcard::take_from_bytes(payload) {
        Ok((message, [])) => Some(message),
        _ => None,
    }
}

impl Message for Sighting {
    const KIND: u8 = 1;
    const NAME: &'static str = "sighting";
    const VERSION: u16 = 8;

    /// Version 5 has no matching regions, version 6 no unidentified encounters, version 7 no position
    /// of the whale relative to the boat. A station that knows none of them can read other sightings.
    fn version(&self) -> u16 {
        if self.relative_position.is_some() {
            8
        } else if matches!(self.verdict, Verdict::Unidentified { .. }) {
            7
        } else if self.regions.is_some() {
            6
        } else {
            5
        }
    }

    fn write(&self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        let mut bytes = postcard::to_extend(self, bytes).ok()?;
        // An absent field is one byte: the relative position the last one, the regions the one before.
        let absent = match self.version() {
            ..6 => 2,
            6 | 7 => 1,
            8.. => 0,
        };
        bytes.truncate(bytes.len() - absent);
        Some(bytes)
    }

    fn read(payload: &[u8], version: u16) -> Option<Self> {
        // Version 1 ends before the probability, version 2 before position and time, version 3
        // before the footage, version 4 before epoch and revision, version 5 before the matching
        // regions, versions 6 and 7 before the relative position. An absent field is one byte, 0, and so
        // is the revision 0: with these appended, an old payload is a new one.
        let absent: &[u8] = match version {
            1 => &[0; 8],
            2 => &[0; 7],
            3 => &[0; 5],
            4 => &[0; 4],
            5 => &[0; 2],
            6 | 7 => &[0],
            _ => return whole(payload),
        };
        whole(&[payload, absent].concat())
    }
}

impl Message for Picture {
    const KIND: u8 = 2;
    const NAME: &'static str = "picture";
    const VERSION: u16 = 2;

    /// Version 1 has no reduced copies.
    fn version(&self) -> u16 {
        if self.original.is_none() { 1 } else { 2 }
    }

    fn write(&self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        if self.version() > 1 {
            return postcard::to_extend(self, bytes).ok();
        }
        postcard::to_extend(&(self.sighting, &self.boat, &self.jpeg), bytes).ok()
    }

    fn read(payload: &[u8], version: u16) -> Option<Self> {
        if version > 1 {
            return whole(payload);
        }
        let (sighting, boat, jpeg) = whole(payload)?;
        Some(Self {
            sighting,
            boat,
            jpeg,
            original: None,
        })
    }
}

impl Message for Ack {
    const KIND: u8 = 3;
    const NAME: &'static str = "ack";
    const VERSION: u16 = 6;

    /// Version 1 has no revisions, version 2 no rejected messages, version 3 no digests of stored ones, version
    /// 4 no briefs, version 5 no parts of pictures. Boats that know none of them can read other acks.
    fn version(&self) -> u16 {
        let is_of = |kind: MessageKind| {
            self.stored.iter().any(|a| a.kind == kind)
                || self.rejected.iter().any(|r| r.kind == kind)
        };
        if is_of(MessageKind::PicturePart) {
            6
        } else if is_of(MessageKind::Brief) {
            5
        } else if self.stored.iter().any(|a| a.message.is_some()) {
            4
        } else if !self.rejected.is_empty() {
            3
        } else if self.stored.iter().any(|a| a.revision > 0) {
            2
        } else {
            1
        }
    }

    fn write(&self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        let stored = self.stored.iter();
        let revisions = || -> UnboundAcks {
            stored
                .clone()
                .map(|a| (a.sighting, a.kind, a.revision))
                .collect()
        };
        match self.version() {
            1 => {
                let stored: FirstAcks = stored.map(|a| (a.sighting, a.kind)).collect();
                postcard::to_extend(&(&self.boat, stored), bytes).ok()
            }
            2 => postcard::to_extend(&(&self.boat, revisions()), bytes).ok(),
            3 => postcard::to_extend(&(&self.boat, revisions(), &self.rejected), bytes).ok(),
            _ => postcard::to_extend(self, bytes).ok(),
        }
    }

    fn read(payload: &[u8], version: u16) -> Option<Self> {
        let (boat, stored, rejected): (BoatId, UnboundAcks, Vec<Rejected>) = match version {
            1 => {
                let (boat, stored): (BoatId, FirstAcks) = whole(payload)?;
                let stored = stored.into_iter().map(|(id, kind)| (id, kind, 0));
                (boat, stored.collect(), vec![])
            }
            2 => {
                let (boat, stored) = whole(payload)?;
                (boat, stored, vec![])
            }
            3 => whole(payload)?,
            _ => return whole(payload),
        };
        let acknowledged = |(sighting, kind, revision)| Acknowledged {
            sighting,
            kind,
            revision,
            message: None,
        };
        Some(Self {
            boat,
            stored: stored.into_iter().map(acknowledged).collect(),
            rejected,
        })
    }
}

impl Message for Presence {
    const KIND: u8 = 4;
    const NAME: &'static str = "presence";
    const VERSION: u16 = 1;
}

impl Message for StatusReport {
    const KIND: u8 = 5;
    const NAME: &'static str = "status";
    const VERSION: u16 = 3;

    /// Version 1 has no link, as in harbour, and version 2 no settings from shore. Stations that know
    /// neither can read other reports.
    fn version(&self) -> u16 {
        match &self.condition {
            Some(condition) if condition.settings.is_some() => 3,
            Some(condition) if condition.link.is_some() => 2,
            _ => 1,
        }
    }

    fn write(&self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        let mut bytes = postcard::to_extend(self, bytes).ok()?;
        if self.condition.is_some() {
            // Each absent field is one byte: the settings the last one, the link the one before.
            let absent = usize::from(Self::VERSION - self.version());
            bytes.truncate(bytes.len() - absent);
        }
        Some(bytes)
    }

    fn read(payload: &[u8], version: u16) -> Option<Self> {
        // With the absent fields appended, an old condition is a new one; a last will has none.
        let absent: &[u8] = match version {
            1 => &[0; 2],
            2 => &[0],
            _ => return whole(payload),
        };
        whole(&[payload, absent].concat()).or_else(|| whole(payload))
    }
}

impl Message for BundleOffer {
    const KIND: u8 = 6;
    const NAME: &'static str = "bundle offer";
    const VERSION: u16 = 1;
}

impl Message for ContentRequest {
    const KIND: u8 = 7;
    const NAME: &'static str = "content request";
    const VERSION: u16 = 1;
}

impl Message for ContentPiece {
    const KIND: u8 = 8;
    const NAME: &'static str = "content piece";
    const VERSION: u16 = 1;
}

impl Message for TransferReport {
    const KIND: u8 = 9;
    const NAME: &'static str = "transfer report";
    const VERSION: u16 = 1;
}

impl Message for Brief {
    const KIND: u8 = 10;
    const NAME: &'static str = "brief";
    const VERSION: u16 = 1;
}

impl Message for BoatSettings {
    const KIND: u8 = 11;
    const NAME: &'static str = "settings";
    const VERSION: u16 = 1;
}

impl Message for Command {
    const KIND: u8 = 12;
    const NAME: &'static str = "command";
    const VERSION: u16 = 1;
}

impl Message for Chunk {
    const KIND: u8 = 13;
    const NAME: &'static str = "chunk";
    const VERSION: u16 = 1;
}

impl Message for PicturePart {
    const KIND: u8 = 14;
    const NAME: &'static str = "picture part";
    const VERSION: u16 = 1;
}

/// The messages of an ack in version 1.
type FirstAcks = Vec<(Uuid, MessageKind)>;

/// The stored messages of an [`Ack`] in versions 2 and 3, which have no digests.
type UnboundAcks = Vec<(Uuid, MessageKind, u32)>;

/// Puts a message in its envelope.
///
/// # Errors
/// [`WireError::TooLarge`] when it exceeds [`MAX_MESSAGE`]; [`WireError::Payload`] when it cannot be written.
pub fn encode<M: Message>(message: &M) -> Result<Vec<u8>, WireError> {
    let mut bytes = Vec::with_capacity(2048);
    bytes.extend_from_slice(&MAGIC);
    bytes.push(M::KIND);
    bytes.extend_from_slice(&message.version().to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    let mut bytes = message.write(bytes).ok_or(WireError::Payload(M::NAME))?;
    let sum = crc32fast::hash(&bytes[HEADER..]);
    bytes[7..HEADER].copy_from_slice(&sum.to_le_bytes());
    if bytes.len() > MAX_MESSAGE {
        Err(WireError::TooLarge(bytes.len()))
    } else {
        Ok(bytes)
    }
}

/// The kind of a message, without looking at its payload; `None` where it is not one.
pub fn kind(bytes: &[u8]) -> Option<u8> {
    let after = bytes.strip_prefix(&MAGIC)?;
    after.first().copied()
}

/// Takes a message out of its envelope.
///
/// # Errors
/// For anything but one complete message of kind `M` in a supported version.
pub fn decode<M: Message>(bytes: &[u8]) -> Result<M, WireError> {
    if bytes.len() > MAX_MESSAGE {
        return Err(WireError::TooLarge(bytes.len()));
    }
    let Some((header, payload)) = bytes.split_at_checked(HEADER) else {
        return Err(if bytes.starts_with(&MAGIC) || bytes.is_empty() {
            WireError::Truncated(bytes.len())
        } else {
            WireError::Foreign
        });
    };
    if header[..4] != MAGIC {
        return Err(WireError::Foreign);
    }
    if header[4] != M::KIND {
        return Err(WireError::WrongKind {
            got: header[4],
            wanted: M::NAME,
        });
    }
    let version = u16::from_le_bytes([header[5], header[6]]);
    if version > M::VERSION {
        return Err(WireError::Newer {
            kind: M::NAME,
            got: version,
            known: M::VERSION,
        });
    }
    if version == 0 {
        return Err(WireError::Payload(M::NAME));
    }
    if u32::from_le_bytes([header[7], header[8], header[9], header[10]]) != crc32fast::hash(payload)
    {
        return Err(WireError::Checksum);
    }
    M::read(payload, version).ok_or(WireError::Payload(M::NAME))
}

#[cfg(test)]
mod tests;
