//! What arrives, and what becomes of it.

use flukewatch_common::sighting::{BoatId, Part, Picture, Sighting};
use std::fmt;
use uuid::Uuid;

/// How much of a refused message is kept, in bytes.
pub const KEPT_HEAD: usize = 256;

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Where it was published.
    pub topic: String,
    /// How large it was.
    pub bytes: u64,
    /// Its first [`KEPT_HEAD`] bytes.
    pub head: Vec<u8>,
    /// SHA-256 of all of it (of the head, where the rest was never read), so that a repetition is known.
    pub digest: [u8; 32],
}

/// A message that can be stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A sighting that makes sense.
    Sighting(Box<Sighting>),
    /// A picture, and whether it is a JPEG that can be shown.
    Picture {
        /// The message.
        picture: Picture,
        /// SHA-256 of the JPEG file.
        sha256: [u8; 32],
        /// Whether it decodes to a sane size.
        readable: bool,
    },
}

/// Why a message is not stored. Never receipted, so that nothing is forgotten on a boat by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Larger than any message may be.
    TooLarge,
    /// A topic that names no boat or no part.
    Topic,
    /// Not Flukewatch's bytes.
    Foreign,
    /// Flukewatch's, but cut off or changed on the way.
    Damaged,
    /// Another kind of message than its topic says.
    WrongKind,
    /// Of a version that this program does not know yet.
    Newer,
    /// The boat inside is not the boat of the topic or of the sighting.
    WrongBoat,
    /// Whole, but with numbers or names that no boat sends.
    Senseless,
    /// A picture that is not the one its sighting announced.
    WrongPicture,
    /// Another content under an id that is taken.
    Conflict,
}

impl Reason {
    /// The word that it is counted and listed under.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::Topic => "topic",
            Self::Foreign => "foreign",
            Self::Damaged => "damaged",
            Self::WrongKind => "wrong-kind",
            Self::Newer => "newer-version",
            Self::WrongBoat => "wrong-boat",
            Self::Senseless => "senseless",
            Self::WrongPicture => "wrong-picture",
            Self::Conflict => "conflict",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why, for counting and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In a word.
    pub reason: Reason,
    /// In a sentence.
    pub detail: String,
}

/// A message and what it turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrival {
    /// The message as it came.
    pub origin: Origin,
    /// What can be stored, or why nothing can.
    pub content: Result<Content, Refusal>,
}

/// What became of an arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// On disk, now or since earlier: to be receipted.
    Stored {
        /// Whose.
        boat: BoatId,
        /// Of which sighting.
        id: Uuid,
        /// Which part.
        part: Part,
        /// Whether it was there before.
        again: bool,
    },
    /// Listed under the refused; no receipt.
    Refused(Refusal),
}
