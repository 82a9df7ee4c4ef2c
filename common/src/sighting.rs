//! A sighting: one encounter with one whale, or a whale's return in it, as a boat reports it.

use crate::catalogue::Match;
use crate::clock::Timestamp;
use crate::decision::Verdict;
use crate::embedding::CompactEmbedding;
use crate::footage::Footage;
use crate::pixel_box::PixelBox;
use crate::position::{Position, TimeBasis};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The name of a boat: 1 to 32 of `a-z`, `0-9` and `-`, so that it may stand in an MQTT topic and a file name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BoatId(String);

/// Why a text is no boat's name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is no boat's name: use 1 to 32 of the characters a-z, 0-9 and -")]
pub struct InvalidBoatId(pub String);

impl BoatId {
    /// The name.
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

/// One encounter with one whale, or the part of it between two dives: [`Footage::encounter`] tells which belong together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sighting {
    /// A UUIDv7, made on the boat; the same sighting never has two.
    pub id: Uuid,
    /// Who saw it.
    pub boat: BoatId,
    /// Counts the boat's sightings from 1 without a gap, so that shore can tell that one is missing.
    pub sequence: u64,
    /// Which of the boat's cameras.
    pub camera: String,
    /// When the first frame with the fluke was taken.
    pub started: Timestamp,
    /// When the last one was.
    pub ended: Timestamp,
    /// Frames with the fluke.
    pub frames: u32,
    /// What the boat says.
    pub verdict: Verdict,
    /// The whales that it may be, best first, each once; at most [`MAX_CANDIDATES`].
    pub candidates: Vec<Match>,
    /// The encounter's embedding, so that shore can match again against a larger catalogue.
    pub embedding: CompactEmbedding,
    /// The best picture: the crop of the fluke.
    pub picture: PictureInfo,
    /// Where the fluke was in the frame that the picture is cut from.
    pub region: PixelBox,
    /// Which bundle decided ([`crate::bundle::Bundle::id`]).
    pub bundle: String,
    /// Which engine ran the model, as `tract 0.23.9 f32`.
    pub engine: String,
    /// The probability that the first candidate is right, in 0..=1; `None` where the bundle has no curve for it. Since version 2 of the
    /// message.
    pub probability: Option<f32>,
    /// Where the boat was; `None` where it did not know. Since version 3 of the message.
    pub position: Option<Position>,
    /// Whose clock [`Sighting::started`] and [`Sighting::ended`] are of; `None` before version 3 of the message.
    pub time: Option<TimeBasis>,
    /// What it rests on: encounter, places, crops; `None` before version 4 of the message.
    pub footage: Option<Footage>,
}

/// How many candidates a sighting carries at most.
pub const MAX_CANDIDATES: usize = 5;

/// What the picture of a sighting must be when it arrives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PictureInfo {
    /// SHA-256 of the JPEG file.
    pub sha256: [u8; 32],
    /// Its size.
    pub bytes: u32,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// The picture of a sighting; it follows the sighting in a message of its own, so that a thin link carries identities first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// The sighting that it belongs to.
    pub sighting: Uuid,
    /// Whose boat.
    pub boat: BoatId,
    /// The JPEG file, as [`PictureInfo`] announced it.
    pub jpeg: Vec<u8>,
}

/// Which message of a sighting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MessageKind {
    /// The sighting itself.
    Sighting,
    /// Its picture.
    Picture,
}

/// Shore's word that messages are stored for good; only on it may a boat forget them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Whose messages.
    pub boat: BoatId,
    /// Which: sighting and part.
    pub stored: Vec<(Uuid, MessageKind)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boats_have_plain_names() {
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
