//! What is true of a population, beside its pictures: JSON files.

use flukewatch_common::pixel_box::PixelBox;
use serde::{Deserialize, Serialize};

/// `truth.json`: the whole population. It is written last, so that a folder with it is complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PopulationTruth {
    /// The seed that drew it.
    pub seed: u64,
    /// Every whale, by number.
    pub whales: Vec<WhaleTruth>,
    /// The names of the sequences: `sequences/<name>` holds frames, `sequences/<name>.truth.json` their truth.
    pub sequences: Vec<String>,
}

/// One whale of a population.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhaleTruth {
    /// Its name.
    pub name: String,
    /// Whether the catalogue holds it.
    pub enrolled: bool,
    /// Its photos in the catalogue.
    pub catalogue_photos: u32,
    /// Its photos among the queries.
    pub query_photos: u32,
    /// How often a camera meets it.
    pub encounters: u32,
}

/// `<sequence>.truth.json`: what a camera sequence shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SequenceTruth {
    /// The rate at which the frames follow each other.
    pub frames_per_second: f32,
    /// The encounters, in order.
    pub encounters: Vec<Encounter>,
}

/// One whale before the camera.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encounter {
    /// The first frame with a box.
    pub first: u32,
    /// The last frame with a box.
    pub last: u32,
    /// The whale's name.
    pub whale: String,
    /// Whether the catalogue holds it.
    pub enrolled: bool,
}

/// `<frame>.json`: where flukes are in a frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sidecar {
    /// One box a fluke; none on the open sea.
    pub boxes: Vec<PixelBox>,
}
