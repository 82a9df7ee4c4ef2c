//! The envelope: what every message starts with, so that it is never misread.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `FLKW` |
//! | 1 | kind: 1 sighting, 2 picture, 3 ack |
//! | 2 | version of that kind's payload, little-endian; now 4 for a sighting, 1 for the others |
//! | 4 | CRC-32 (IEEE) of the payload, little-endian |
//! | rest | the payload in [postcard](https://postcard.jamesmunns.com/wire-format) |
//!
//! ```
//! use flukewatch_common::sighting::Ack;
//! use flukewatch_common::wire;
//! let ack = Ack { boat: "balaena".parse().unwrap(), stored: vec![] };
//! let bytes = wire::encode(&ack)?;
//! assert_eq!(wire::decode::<Ack>(&bytes)?, ack);
//! # Ok::<(), wire::WireError>(())
//! ```

use crate::sighting::{Ack, Picture, Sighting};
use serde::{Serialize, de::DeserializeOwned};

/// The largest message that is sent or read, envelope included. A sighting is about 2 kB, a picture at most 200 kB.
pub const MAX_MESSAGE: usize = 256 * 1024;

const MAGIC: [u8; 4] = *b"FLKW";
const HEADER: usize = 11;

/// Why bytes are no message, or no message that this version reads.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WireError {
    /// Over [`MAX_MESSAGE`].
    #[error("the message is {0} bytes, more than the {MAX_MESSAGE} allowed")]
    TooLarge(usize),
    /// Shorter than the envelope.
    #[error("the message is cut off: {0} bytes, where the envelope alone takes {HEADER}")]
    Truncated(usize),
    /// Not Flukewatch's.
    #[error("not a Flukewatch message: it does not start with FLKW")]
    Foreign,
    /// Another kind than the reader expects.
    #[error("a message of kind {got} came where a {wanted} was expected")]
    WrongKind {
        /// The kind's number.
        got: u8,
        /// The name of the expected kind.
        wanted: &'static str,
    },
    /// Written by a newer Flukewatch.
    #[error(
        "a {kind} of version {got} came, but this program reads versions up to {known}: update it"
    )]
    Newer {
        /// The kind's name.
        kind: &'static str,
        /// The version in the envelope.
        got: u16,
        /// The newest that is read.
        known: u16,
    },
    /// Damaged on the way.
    #[error("the message is damaged: its checksum does not match")]
    Checksum,
    /// Whole, but not what it says.
    #[error("the message's payload is no {0}")]
    Payload(&'static str),
}

/// What may travel in an envelope.
pub trait Message: Serialize + DeserializeOwned {
    /// The kind's number in the envelope.
    const KIND: u8;
    /// The kind's name, for people.
    const NAME: &'static str;
    /// The version that is written, and the newest that is read.
    const VERSION: u16;

    /// Reads the payload of a version up to [`Message::VERSION`]; `None` where it is none.
    fn read(payload: &[u8], _version: u16) -> Option<Self> {
        whole(payload)
    }
}

/// A payload, and nothing after it.
fn whole<M: DeserializeOwned>(payload: &[u8]) -> Option<M> {
    match postcard::take_from_bytes(payload) {
        Ok((message, [])) => Some(message),
        _ => None,
    }
}

impl Message for Sighting {
    const KIND: u8 = 1;
    const NAME: &'static str = "sighting";
    const VERSION: u16 = 4;

    fn read(payload: &[u8], version: u16) -> Option<Self> {
        // Version 1 ends before the probability, version 2 before position and time, version 3 before the footage. What is absent is one
        // byte, 0: with these behind, an old payload is a new one.
        let absent: &[u8] = match version {
            1 => &[0; 4],
            2 => &[0; 3],
            3 => &[0; 1],
            _ => return whole(payload),
        };
        whole(&[payload, absent].concat())
    }
}

impl Message for Picture {
    const KIND: u8 = 2;
    const NAME: &'static str = "picture";
    const VERSION: u16 = 1;
}

impl Message for Ack {
    const KIND: u8 = 3;
    const NAME: &'static str = "ack";
    const VERSION: u16 = 1;
}

/// Puts a message in its envelope.
///
/// # Errors
/// [`WireError::TooLarge`] when it exceeds [`MAX_MESSAGE`]; [`WireError::Payload`] when it cannot be written.
pub fn encode<M: Message>(message: &M) -> Result<Vec<u8>, WireError> {
    let mut bytes = Vec::with_capacity(2048);
    bytes.extend_from_slice(&MAGIC);
    bytes.push(M::KIND);
    bytes.extend_from_slice(&M::VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    let mut bytes = postcard::to_extend(message, bytes).map_err(|_| WireError::Payload(M::NAME))?;
    let sum = crc32fast::hash(&bytes[HEADER..]);
    bytes[7..HEADER].copy_from_slice(&sum.to_le_bytes());
    if bytes.len() > MAX_MESSAGE {
        Err(WireError::TooLarge(bytes.len()))
    } else {
        Ok(bytes)
    }
}

/// Takes a message out of its envelope.
///
/// # Errors
/// For anything but one whole, undamaged message of kind `M` and a version that this program knows.
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
