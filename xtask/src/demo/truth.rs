//! The truth of a camera sequence, as written by `flukewatch synth`.

use serde::Deserialize;
use std::path::PathBuf;

/// A camera sequence.
#[derive(Clone, Debug)]
pub(super) struct Sequence {
    /// The sequence's name, which is also the camera's.
    pub(super) name: String,
    /// The folder of frames.
    pub(super) frames: PathBuf,
    /// The encounters and the frame rate.
    pub(super) truth: SequenceTruth,
}

/// `<sequence>.truth.json`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct SequenceTruth {
    /// Frame rate in frames per second.
    pub(super) frames_per_second: f64,
    /// The encounters, in order.
    pub(super) encounters: Vec<Encounter>,
}

/// One whale before the camera.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Encounter {
    /// First frame with a fluke.
    pub(super) first: u32,
    /// Last frame with a fluke.
    pub(super) last: u32,
    /// The whale's name.
    pub(super) whale: String,
    /// Whether the whale is in the catalogue.
    pub(super) enrolled: bool,
}
