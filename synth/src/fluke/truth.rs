//! The truth of a population next to its pictures: JSON files.

use serde::{Deserialize, Serialize};

/// `truth.json`: the whole population. Written last, so that a folder with it is complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PopulationTruth {
    /// The seed of the population.
    pub seed: u64,
    /// All whales, by number.
    pub whales: Vec<WhaleTruth>,
    /// The names of the sequences: `sequences/<name>` holds frames, `sequences/<name>.truth.json`
    /// their truth.
    pub sequences: Vec<String>,
}

/// One whale of a population.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhaleTruth {
    /// The whale's name, e.g. `SYN-0004`.
    pub name: String,
    /// Whether the whale is in the catalogue.
    pub enrolled: bool,
    /// Number of its photos in the catalogue.
    pub catalogue_photos: u32,
    /// Number of its photos among the queries.
    pub query_photos: u32,
    /// Number of its encounters with a camera.
    pub encounters: u32,
}

/// `<sequence>.truth.json`: the content of a camera sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SequenceTruth {
    /// Frames per second.
    pub frames_per_second: f32,
    /// The encounters, in order.
    pub encounters: Vec<Encounter>,
}

/// One encounter of a camera with a whale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encounter {
    /// Number of the first frame with a box.
    pub first: u32,
    /// Number of the last frame with a box.
    pub last: u32,
    /// The name of the whale.
    pub whale: String,
    /// Whether the whale is in the catalogue.
    pub enrolled: bool,
}
