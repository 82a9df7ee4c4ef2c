//! Incoming messages and the result of storing them.

use super::bundle_transfer::TransferStage;
use super::file_request::FileRequest;
use flukewatch_common::brief::Brief;
use flukewatch_common::bundle_transfer::{ContentRequest, TransferReport};
use flukewatch_common::file_transfer::Chunk;
use flukewatch_common::picture_part::PicturePart;
use flukewatch_common::sighting::{BoatId, MessageKind, Picture, Sighting};
use flukewatch_common::status_report::StatusReport;
use std::fmt;
use uuid::Uuid;

/// How many bytes of a rejected message are kept.
pub const MAX_HEAD_BYTES: usize = 256;

/// What identifies a message, whatever its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageMeta {
    /// The topic that it was published to.
    pub topic: String,
    /// Size of the message in bytes.
    pub bytes: u64,
    /// Its first [`MAX_HEAD_BYTES`] bytes.
    pub head: Vec<u8>,
    /// SHA-256 of the message (of the head, if the rest was never read), to recognise a repeated
    /// one.
    pub digest: [u8; 32],
    /// Whether the broker had retained it: it was sent earlier, perhaps long ago.
    pub retained: bool,
}

/// The content of a valid message.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A sighting within all limits.
    Sighting(Box<Sighting>),
    /// A picture and what was computed from it.
    Picture {
        /// The picture as the boat sent it.
        picture: Picture,
        /// SHA-256 of the JPEG file.
        sha256: [u8; 32],
        /// Whether it decodes to a permitted size.
        readable: bool,
    },
    /// A part of a picture, within all limits.
    PicturePart(PicturePart),
    /// A brief within all limits.
    Brief(Box<Brief>),
    /// A status report within all limits.
    Status(Box<StatusReport>),
    /// A boat's report on a bundle, within all limits.
    Transfer(TransferReport),
    /// A request for a piece of a bundle.
    Request(ContentRequest),
    /// A chunk of a requested file, within all limits.
    Chunk(Chunk),
}

/// Why a message is rejected. The boat is answered so, and keeps the message: it deletes only what is
/// acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectReason {
    /// Over the size limit.
    TooLarge,
    /// Not signed by its boat, or by one without a valid certificate. It is not answered.
    Unauthenticated,
    /// The topic does not name a boat and a message kind.
    UnknownTopic,
    /// Not a Flukewatch message.
    UnknownFormat,
    /// Truncated or altered in transit.
    Corrupt,
    /// Another kind than its topic says.
    WrongKind,
    /// A newer version than this program reads.
    UnsupportedVersion,
    /// The boat in the message differs from the topic's or the sighting's.
    WrongBoat,
    /// Intact, but with values out of range.
    Invalid,
    /// A picture that is not the one its sighting announced.
    PictureMismatch,
    /// Different content under an existing id and revision, or a revision of another sighting.
    Conflict,
}

impl RejectReason {
    /// The name that it is counted and listed under.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Unauthenticated => "unauthenticated",
            Self::UnknownTopic => "unknown_topic",
            Self::UnknownFormat => "unknown_format",
            Self::Corrupt => "corrupt",
            Self::WrongKind => "wrong_kind",
            Self::UnsupportedVersion => "unsupported_version",
            Self::WrongBoat => "wrong_boat",
            Self::Invalid => "invalid",
            Self::PictureMismatch => "picture_mismatch",
            Self::Conflict => "conflict",
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a message is rejected, with details for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The reason that it is counted under.
    pub reason: RejectReason,
    /// The reason in words.
    pub detail: String,
}

/// A message and the result of its validation.
#[derive(Clone, Debug, PartialEq)]
pub struct IncomingMessage {
    /// Topic, size and digest of the message.
    pub meta: MessageMeta,
    /// Its content, or why it is rejected.
    pub content: Result<Content, Rejection>,
}

/// The result of ingesting one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngestResult {
    /// On disk: to be acknowledged.
    Stored {
        /// The boat that sent it.
        boat: BoatId,
        /// The sighting that it belongs to.
        id: Uuid,
        /// The kind of message.
        kind: MessageKind,
        /// The revision of the sighting; 0 for a picture.
        revision: u32,
        /// Whether it had been stored before.
        duplicate: bool,
    },
    /// What a part of a picture brings is on disk, or changes nothing: to be answered with what is there.
    PartStored {
        /// The boat that sent it.
        boat: BoatId,
        /// The sighting of the picture.
        id: Uuid,
        /// The bytes of the picture that are there, from its beginning on.
        received: u32,
        /// The size of the picture in bytes.
        total: u32,
    },
    /// A status report is on disk. It is not acknowledged: the next one replaces it.
    StatusStored,
    /// A report on a bundle is on disk. It is not acknowledged.
    TransferStored {
        /// The boat.
        boat: BoatId,
        /// The offer.
        offer: Uuid,
        /// How far the bundle is.
        stage: TransferStage,
    },
    /// A report on a bundle that the station has not offered to this boat: ignored.
    UnknownOffer {
        /// The boat.
        boat: BoatId,
        /// The offer.
        offer: Uuid,
    },
    /// What a chunk of a requested file brings is on disk; perhaps it was before.
    ChunkStored {
        /// The boat.
        boat: BoatId,
        /// The request after it.
        request: Box<FileRequest>,
    },
    /// A chunk of a file that is not requested of this boat, or not any more: ignored.
    UnknownRequest {
        /// The boat.
        boat: BoatId,
        /// The request that it names.
        request: Uuid,
    },
    /// A request, which is answered and not stored.
    NotStored,
    /// On disk, in quarantine: to be acknowledged.
    Quarantined {
        /// The boat that sent it.
        boat: BoatId,
        /// The sighting.
        id: Uuid,
        /// Its revision.
        revision: u32,
        /// What cannot be right about it.
        reason: String,
    },
    /// Not on disk, for a reason in what is stored already or in its file. It is not answered: the boat sends
    /// it again.
    Failed(String),
    /// Recorded among the rejected messages: to be answered with the reason, never acknowledged.
    Rejected(Rejection),
}
