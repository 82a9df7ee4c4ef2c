//! What the camera really sees, as `flukewatch synth` wrote it down.

use serde::Deserialize;
use std::path::PathBuf;

/// A camera sequence.
#[derive(Clone, Debug)]
pub(super) struct Sequence {
    /// Its name; the demo gives the camera the same one.
    pub(super) name: String,
    /// The folder of frames.
    pub(super) frames: PathBuf,
    /// What is true of it.
    pub(super) truth: SequenceTruth,
}

/// `<sequence>.truth.json`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct SequenceTruth {
    /// The frames' rate.
    pub(super) frames_per_second: f64,
    /// The encounters, in order.
    pub(super) encounters: Vec<Encounter>,
}

/// One whale before the camera.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Encounter {
    /// The first frame with a fluke.
    pub(super) first: u32,
    /// The last one.
    pub(super) last: u32,
    /// The whale.
    pub(super) whale: String,
    /// Whether the catalogue holds it.
    pub(super) enrolled: bool,
}
