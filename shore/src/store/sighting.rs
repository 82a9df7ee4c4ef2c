//! Stored sightings and how they are queried.

use flukewatch_common::clock::Timestamp;
use flukewatch_common::decision::Verdict;
use flukewatch_common::sighting::{BoatId, Sighting};
use uuid::Uuid;

/// The state of a sighting's picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureState {
    /// Not received yet.
    Missing,
    /// Stored, and as the sighting announced it.
    Stored,
    /// Stored as announced, but not a JPEG of a permitted size: never served.
    Unreadable,
    /// The picture received first is not the one announced: never served, and replaced when the
    /// right one arrives.
    Mismatched,
}

impl PictureState {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Stored => "stored",
            Self::Unreadable => "unreadable",
            Self::Mismatched => "mismatched",
        }
    }
}

/// A sighting and what shore knows about it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredSighting {
    /// What the boat sent.
    pub sighting: Sighting,
    /// When it was stored.
    pub received: Timestamp,
    /// The state of its picture.
    pub picture: PictureState,
}

/// What shore knows of a sighting whose details have not arrived, or of a later revision of one.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredBrief {
    /// The sighting's id.
    pub sighting: Uuid,
    /// The boat that recorded it.
    pub boat: BoatId,
    /// Its sequence number.
    pub sequence: u64,
    /// The epoch of the boat's outbox.
    pub epoch: Option<Uuid>,
    /// The sighting's revision.
    pub revision: u32,
    /// When the fluke was first seen.
    pub started: Timestamp,
    /// When it was last seen.
    pub ended: Timestamp,
    /// Frames with the fluke.
    pub frames: u32,
    /// The verdict.
    pub verdict: VerdictKind,
    /// The whale where it is known; its name may be cut off.
    pub whale: Option<String>,
    /// The probability that the first candidate is right, 0 to 1.
    pub probability: Option<f32>,
    /// Latitude and longitude of the boat in degrees.
    pub position: Option<(f64, f64)>,
    /// When it was stored.
    pub received: Timestamp,
}

/// A verdict without the whale, to filter by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerdictKind {
    /// An enrolled whale.
    Known,
    /// A whale that is not in the catalogue.
    New,
    /// Undecided: a person has to look at it.
    Review,
    /// Recorded, and not identified by any model.
    Unidentified,
}

impl VerdictKind {
    /// The kind of a verdict.
    pub fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Known { .. } => Self::Known,
            Verdict::New => Self::New,
            Verdict::Review => Self::Review,
            Verdict::Unidentified { .. } => Self::Unidentified,
        }
    }

    /// `known`, `new`, `review` or `unidentified`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::New => "new",
            Self::Review => "review",
            Self::Unidentified => "unidentified",
        }
    }

    /// The reverse of [`VerdictKind::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Known, Self::New, Self::Review, Self::Unidentified]
            .into_iter()
            .find(|v| v.as_str() == text)
    }
}

/// A query for sightings; results are ordered by start time, newest first.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Only sightings of this boat.
    pub boat: Option<BoatId>,
    /// Only sightings with this verdict.
    pub verdict: Option<VerdictKind>,
    /// Only sightings of this encounter.
    pub encounter: Option<Uuid>,
    /// Number of results to skip.
    pub offset: u64,
    /// Results to return at most.
    pub limit: u64,
}

/// The results of a [`Query`].
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// How many results the query has without offset and limit.
    pub total: u64,
    /// Those within offset and limit.
    pub sightings: Vec<StoredSighting>,
}
