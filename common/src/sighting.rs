//! A sighting: one encounter with one whale, or a part of it between two dives, as a boat reports
//! it.

use crate::catalogue::Match;
use crate::clock::Timestamp;
use crate::decision::Verdict;
use crate::embedding::CompactEmbedding;
use crate::footage::Footage;
use crate::matching_regions::MatchingRegions;
use crate::message_digest::MessageDigest;
use crate::pixel_box::PixelBox;
use crate::position::{Position, TimeBasis};
use crate::relative_position::RelativePosition;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The name of a boat: 1 to 32 of `a-z`, `0-9` and `-`, so that it is valid in an MQTT topic and a
/// file name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BoatId(String);

/// The error of a text that is not a valid boat name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid boat name '{0}'; expected 1 to 32 of the characters a-z, 0-9 and -")]
pub struct InvalidBoatId(pub String);

impl BoatId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BoatId {
    type Err = InvalidBoatId;
    fn from_str(s: &str) -> Result<Self, InvalidBoatId> {
        let good = (1..=32).contains(&s.len())
            && s.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if good {
            Ok(Self(s.to_owned()))
        } else {
            Err(InvalidBoatId(s.chars().take(64).collect()))
        }
    }
}

impl TryFrom<String> for BoatId {
    type Error = InvalidBoatId;
    fn try_from(s: String) -> Result<Self, InvalidBoatId> {
        s.parse()
    }
}

impl From<BoatId> for String {
    fn from(b: BoatId) -> String {
        b.0
    }
}

impl fmt::Display for BoatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One encounter with one whale, or the part of it between two dives; [`Footage::encounter`] says
/// which sightings belong together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sighting {
    /// A UUIDv7, made on the boat; the same sighting never has two.
    pub id: Uuid,
    /// The boat that recorded it.
    pub boat: BoatId,
    /// The number of the sighting on its boat, from 1 without a gap, so that shore notices a
    /// missing one.
    pub sequence: u64,
    /// The name of the camera.
    pub camera: String,
    /// When the first frame with the fluke was taken.
    pub started: Timestamp,
    /// When the last frame with the fluke was taken.
    pub ended: Timestamp,
    /// The number of frames with the fluke.
    pub frames: u32,
    /// The verdict of the boat. [`Verdict::Unidentified`] since version 7 of the message.
    pub verdict: Verdict,
    /// The candidate whales, best first, each once; at most [`MAX_CANDIDATES`].
    pub candidates: Vec<Match>,
    /// The encounter's embedding, so that shore can match again against a larger catalogue; without
    /// numbers where it is unidentified.
    pub embedding: CompactEmbedding,
    /// The best picture: the crop of the fluke.
    pub picture: PictureInfo,
    /// The box of the fluke in the frame that the picture was cropped from.
    pub region: PixelBox,
    /// The id of the bundle that was used ([`crate::bundle::Bundle::id`]); empty where it is unidentified.
    pub bundle: String,
    /// The engine that ran the model, e.g. `tract 0.23.9 f32`; empty where it is unidentified.
    pub engine: String,
    /// The probability that the first candidate is right, in 0..=1; `None` where the bundle has no
    /// calibrator. Since version 2 of the message.
    pub probability: Option<f32>,
    /// The position of the boat; `None` where it is unknown. Since version 3 of the message.
    pub position: Option<Position>,
    /// The time source of [`Sighting::started`] and [`Sighting::ended`]; `None` before version 3 of
    /// the message.
    pub time: Option<TimeBasis>,
    /// The encounter, boxes and crops behind the verdict; `None` before version 4 of the message.
    pub footage: Option<Footage>,
    /// The epoch of the boat's outbox, which [`Sighting::sequence`] counts in: a new one begins where
    /// an outbox is replaced. `None` before version 5 of the message.
    pub epoch: Option<Uuid>,
    /// 0 as the boat accepted it. A higher number replaces all lower ones; id, boat, epoch, sequence
    /// number and picture stay. Since version 5 of the message.
    pub revision: u32,
    /// Which regions of the picture match the candidates' photos; `None` where the bundle has no local
    /// matching. Since version 6 of the message.
    pub regions: Option<MatchingRegions>,
    /// Where the whale was relative to the boat when the picture was taken; `None` where the camera's
    /// mount is unknown. Since version 8 of the message.
    pub relative_position: Option<RelativePosition>,
}

impl Sighting {
    /// Whether `other` is a revision of the same sighting: what a revision may not change is equal.
    pub fn is_revision_of(&self, other: &Self) -> bool {
        (
            self.id,
            &self.boat,
            self.epoch,
            self.sequence,
            &self.picture,
        ) == (
            other.id,
            &other.boat,
            other.epoch,
            other.sequence,
            &other.picture,
        )
    }
}

/// The most candidates of a sighting.
pub const MAX_CANDIDATES: usize = 5;

/// The limit of a reason in words, e.g. of [`Verdict::Unidentified`], in bytes.
pub const MAX_REASON_BYTES: usize = 256;

/// The announcement of the picture of a sighting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PictureInfo {
    /// SHA-256 of the JPEG file.
    pub sha256: [u8; 32],
    /// The size of the JPEG file in bytes.
    pub bytes: u32,
    /// The width of the picture in pixels.
    pub width: u32,
    /// The height of the picture in pixels.
    pub height: u32,
}

/// The picture of a sighting, a separate message after the sighting, so that a slow link carries
/// identities first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// The id of the sighting that it belongs to.
    pub sighting: Uuid,
    /// The boat that took it.
    pub boat: BoatId,
    /// The JPEG file that [`PictureInfo`] announced, or a reduced copy.
    pub jpeg: Vec<u8>,
    /// Of a reduced copy: the SHA-256 of the announced file, which a broker does not take because of its
    /// size. Since version 2 of the message.
    pub original: Option<[u8; 32]>,
}

/// The kinds of message that a sighting is sent in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MessageKind {
    /// The message with the [`Sighting`].
    Sighting,
    /// The message with the [`Picture`].
    Picture,
    /// The message with the [`Brief`](crate::brief::Brief) of a sighting. Since version 5 of an ack.
    Brief,
    /// A message with a [`PicturePart`](crate::picture_part::PicturePart). Since version 6 of an ack.
    PicturePart,
}

/// An acknowledgement from shore that messages are stored durably; a boat deletes a message only
/// after its ack. The same message says which ones shore rejects; a boat keeps these, and stops sending
/// them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The boat that sent the messages.
    pub boat: BoatId,
    /// The stored messages.
    pub stored: Vec<Acknowledged>,
    /// The rejected messages. Since version 3 of the message.
    pub rejected: Vec<Rejected>,
}

/// A message that shore has stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// The id of the sighting, which stands for its sequence number.
    pub sighting: Uuid,
    /// The kind of message.
    pub kind: MessageKind,
    /// The stored [`Sighting::revision`]; 0 for a picture; for a part of one the bytes of the picture that shore has from
    /// its beginning on. Since version 2 of the message.
    pub revision: u32,
    /// The digest of the message that was stored, so that an acknowledgement cannot delete other content.
    /// Since version 4 of the message; a signed acknowledgement has it, and so has that of a part of a picture.
    pub message: Option<MessageDigest>,
}

/// A message that shore has rejected, and would reject again. Shore may not be able to decode it, so
/// its bytes identify it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// The kind of message that its topic says.
    pub kind: MessageKind,
    /// The digest of its bytes.
    pub message: MessageDigest,
    /// Why, in words; at most [`MAX_REASON_BYTES`].
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boat_names_are_plain() {
        assert_eq!(
            "song-of-the-whale".parse::<BoatId>().unwrap().as_str(),
            "song-of-the-whale"
        );
        for bad in [
            "",
            "Ocean",
            "a/b",
            "+",
            "#",
            "ä",
            "123456789012345678901234567890123",
        ] {
            assert!(bad.parse::<BoatId>().is_err(), "{bad}");
        }
    }
}
