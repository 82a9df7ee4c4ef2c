//! The messages with which a person on shore gets files that stay aboard: clips and crops of encounters.
//!
//! The station lists all files that it wants of a boat in a [`Command`], with how much of each it has; the broker
//! retains the last one. The boat sends what is missing, chunk by chunk ([`Chunk`]), or says why it cannot. A command
//! is complete in itself and acknowledges what has arrived, so that boat, station and broker may restart at any
//! time: whoever was away receives the next command and continues from there.

use crate::bundle_transfer::{ContentId, MAX_PIECE};
use crate::clock::Timestamp;
use crate::sighting::BoatId;
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// The largest chunk in bytes.
pub const MAX_CHUNK: u32 = MAX_PIECE;
/// How many files may be wanted of a boat at a time.
pub const MAX_REQUESTED_FILES: usize = 8;
/// The largest file that is transferred, in bytes: as large as a clip can get.
pub const MAX_FILE_BYTES: u64 = (1 << 30) + (1 << 26);

/// A file of an encounter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EncounterFile {
    /// The video of the camera's own frames, AVI or Matroska.
    Clip,
    /// The recording: a tar with the crops in colour and what is known of the encounter.
    Crops,
}

impl EncounterFile {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Clip, Self::Crops];

    /// The name in databases, interfaces and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clip => "clip",
            Self::Crops => "crops",
        }
    }
}

/// How much of a file the station has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedBytes {
    /// The file that it has the first bytes of.
    pub content: ContentId,
    /// How many.
    pub bytes: u64,
}

/// A file that the station wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestedFile {
    /// Identifies the request: a file can be requested again.
    pub id: Uuid,
    /// The sighting.
    pub sighting: Uuid,
    /// Which file of its encounter.
    pub file: EncounterFile,
    /// What has arrived of it; `None` before the first chunk.
    pub received: Option<ReceivedBytes>,
    /// The largest file that the station takes, in bytes.
    pub max_bytes: u64,
    /// When the request ends, by the station's clock.
    pub expires: Timestamp,
    /// Whether it is sent even over a link that carries only what is most important.
    pub over_any_link: bool,
}

/// The files that the station wants of a boat: all of them, each time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The boat's name.
    pub boat: BoatId,
    /// When it was made, by the station's clock. A boat ignores one that is older than what it has received.
    pub issued: Timestamp,
    /// The files. A request that is not listed has ended.
    pub files: Vec<RequestedFile>,
}

/// What a boat sends of a requested file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// The boat's name.
    pub boat: BoatId,
    /// The request.
    pub request: Uuid,
    /// Some of the file, or why there is nothing.
    pub content: ChunkContent,
}

/// Some of a file, or why there is nothing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChunkContent {
    /// Bytes of the file.
    Bytes {
        /// The SHA-256 of the whole file.
        file: ContentId,
        /// The size of the whole file.
        total: u64,
        /// Where the bytes begin.
        offset: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The boat cannot send the file.
    Unavailable(UnavailableReason),
}

impl fmt::Debug for ChunkContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes {
                file,
                total,
                offset,
                bytes,
            } => write!(f, "{} of {total} bytes at {offset} of {file}", bytes.len()),
            Self::Unavailable(reason) => write!(f, "unavailable: {reason}"),
        }
    }
}

/// Why a boat cannot send a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnavailableReason {
    /// The boat has no such sighting.
    UnknownSighting,
    /// The encounter was not recorded, or without a clip.
    NotRecorded,
    /// It was deleted within the limits of the boat's configuration.
    Deleted,
    /// It is not aboard, either because it was deleted or because it was never recorded.
    NotAboard,
    /// It is larger than the request permits.
    TooLarge {
        /// Its size in bytes.
        bytes: u64,
    },
    /// The boat's disk cannot read it.
    Unreadable,
}

impl fmt::Display for UnavailableReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownSighting => "the boat has no such sighting in its outbox",
            Self::NotRecorded => "not recorded aboard",
            Self::Deleted => "deleted aboard, within the limits of the boat's configuration",
            Self::NotAboard => "not aboard: deleted, or never recorded",
            Self::TooLarge { bytes } => {
                return write!(f, "{bytes} bytes, more than the request permits");
            }
            Self::Unreadable => "the boat cannot read the file",
        })
    }
}

/// A message about a requested file with values out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFileTransfer {
    /// Too many files at a time.
    #[error("{0} files requested; expected at most {MAX_REQUESTED_FILES}")]
    Files(usize),
    /// No bytes, or too many.
    #[error("chunk of {0} bytes; expected 1 to {MAX_CHUNK}")]
    Chunk(usize),
    /// The file is empty or too large.
    #[error("file of {0} bytes; expected 1 to {MAX_FILE_BYTES}")]
    Total(u64),
    /// The chunk ends behind the end of the file.
    #[error("chunk of {bytes} bytes at {offset} in a file of {total} bytes")]
    Range {
        /// Where it begins.
        offset: u64,
        /// Its size.
        bytes: usize,
        /// The size of the file.
        total: u64,
    },
}

impl Command {
    /// Checks the number of files.
    ///
    /// # Errors
    /// When there are too many.
    pub fn validate(&self) -> Result<(), InvalidFileTransfer> {
        match self.files.len() {
            0..=MAX_REQUESTED_FILES => Ok(()),
            files => Err(InvalidFileTransfer::Files(files)),
        }
    }
}

impl Chunk {
    /// Checks sizes and offset.
    ///
    /// # Errors
    /// When one of them is impossible.
    pub fn validate(&self) -> Result<(), InvalidFileTransfer> {
        let ChunkContent::Bytes {
            total,
            offset,
            ref bytes,
            ..
        } = self.content
        else {
            return Ok(());
        };
        let length = bytes.len();
        if total == 0 || total > MAX_FILE_BYTES {
            return Err(InvalidFileTransfer::Total(total));
        }
        if length == 0 || length > MAX_CHUNK as usize {
            return Err(InvalidFileTransfer::Chunk(length));
        }
        let end = offset.checked_add(length as u64);
        if end.is_none_or(|end| end > total) {
            return Err(InvalidFileTransfer::Range {
                offset,
                bytes: length,
                total,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    fn chunk(total: u64, offset: u64, bytes: usize) -> Chunk {
        Chunk {
            boat: "balaena".parse().unwrap(),
            request: Uuid::from_u128(7),
            content: ChunkContent::Bytes {
                file: ContentId::of(b"clip"),
                total,
                offset,
                bytes: vec![1; bytes],
            },
        }
    }

    fn requested(number: u128) -> RequestedFile {
        RequestedFile {
            id: Uuid::from_u128(number),
            sighting: Uuid::from_u128(1),
            file: EncounterFile::Clip,
            received: Some(ReceivedBytes {
                content: ContentId::of(b"clip"),
                bytes: 1 << 30,
            }),
            max_bytes: MAX_FILE_BYTES,
            expires: Timestamp(1_795_450_800_000),
            over_any_link: false,
        }
    }

    #[test]
    fn messages_survive_their_envelope_and_are_small() {
        let largest = MAX_CHUNK as usize;
        let chunk = chunk(MAX_FILE_BYTES, 1 << 29, largest);
        let bytes = wire::encode(&chunk).unwrap();
        assert!(bytes.len() < largest + 100, "{}", bytes.len());
        assert_eq!(wire::decode(&bytes), Ok(chunk));
        let command = Command {
            boat: "balaena".parse().unwrap(),
            issued: Timestamp(1_795_450_800_000),
            files: vec![requested(7)],
        };
        let bytes = wire::encode(&command).unwrap();
        assert!(bytes.len() < 130, "{}", bytes.len());
        assert_eq!(wire::decode(&bytes), Ok(command));
    }

    #[test]
    fn impossible_sizes_and_offsets_are_invalid() {
        let largest = MAX_CHUNK as usize;
        for (total, offset, bytes, expected) in [
            (9, 0, 9, Ok(())),
            (9, 8, 1, Ok(())),
            (MAX_FILE_BYTES, 0, largest, Ok(())),
            (0, 0, 0, Err(InvalidFileTransfer::Total(0))),
            (
                MAX_FILE_BYTES + 1,
                0,
                1,
                Err(InvalidFileTransfer::Total(MAX_FILE_BYTES + 1)),
            ),
            (9, 0, 0, Err(InvalidFileTransfer::Chunk(0))),
            (
                1 << 20,
                0,
                largest + 1,
                Err(InvalidFileTransfer::Chunk(largest + 1)),
            ),
            (
                9,
                8,
                2,
                Err(InvalidFileTransfer::Range {
                    offset: 8,
                    bytes: 2,
                    total: 9,
                }),
            ),
            (
                9,
                u64::MAX,
                1,
                Err(InvalidFileTransfer::Range {
                    offset: u64::MAX,
                    bytes: 1,
                    total: 9,
                }),
            ),
        ] {
            let validated = chunk(total, offset, bytes).validate();
            assert_eq!(validated, expected, "{total} {offset} {bytes}");
        }
    }

    #[test]
    fn the_number_of_files_is_bounded() {
        let command = |files: usize| Command {
            boat: "balaena".parse().unwrap(),
            issued: Timestamp(0),
            files: (0..files as u128).map(requested).collect(),
        };
        let most = MAX_REQUESTED_FILES;
        assert_eq!(command(most).validate(), Ok(()));
        let too_many = Err(InvalidFileTransfer::Files(most + 1));
        assert_eq!(command(most + 1).validate(), too_many);
    }
}
