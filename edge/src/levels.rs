//! From when on something is a problem: the service levels of a boat.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The levels, section `[levels]`. The health document repeats them, since its status follows from them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Levels {
    /// A camera without a frame that was searched for this long is critical, in seconds.
    pub blind_seconds: f64,
    /// A live camera of whose frames of the last minute less than this fraction was searched is a warning.
    pub searched_fraction: f64,
    /// A detector that takes longer than this for a frame, on average over the last minute, is a warning, in milliseconds.
    pub detector_milliseconds: f64,
    /// A detector that failed on more frames than this in the last minute is a warning.
    pub detector_errors: u64,
    /// Pictures that do not change for this long are critical, in seconds.
    pub frozen_seconds: f64,
    /// Dark pictures for this long are a warning, in seconds.
    pub dark_seconds: f64,
    /// Blurred pictures for this long are a warning, in seconds.
    pub blurred_seconds: f64,
    /// Pictures are blurred with less than this fraction of the sharpness that the camera had before.
    pub blurred_fraction: f64,
    /// A stage that works on one item for this long is critical, in seconds.
    pub busy_seconds: f64,
    /// More encounters than this that are still to be identified are a warning.
    pub unidentified: u64,
    /// Messages that shore has not acknowledged for this long are a warning, in days of operation.
    pub pending_days: f64,
}

impl Default for Levels {
    fn default() -> Self {
        Self {
            blind_seconds: 10.0,
            searched_fraction: 0.8,
            detector_milliseconds: 250.0,
            detector_errors: 0,
            frozen_seconds: 60.0,
            dark_seconds: 600.0,
            blurred_seconds: 300.0,
            blurred_fraction: 0.5,
            busy_seconds: 20.0,
            unidentified: 50,
            pending_days: 14.0,
        }
    }
}

impl Levels {
    /// After how long pictures are frozen.
    pub fn frozen(&self) -> Duration {
        Duration::from_secs_f64(self.frozen_seconds)
    }

    /// After how long pictures are dark.
    pub fn dark(&self) -> Duration {
        Duration::from_secs_f64(self.dark_seconds)
    }

    /// After how long pictures are blurred.
    pub fn blurred(&self) -> Duration {
        Duration::from_secs_f64(self.blurred_seconds)
    }

    /// Whether a camera is blind whose last frame was searched `milliseconds` ago.
    pub fn is_blind(&self, milliseconds: u64) -> bool {
        milliseconds as f64 >= self.blind_seconds * 1000.0
    }

    /// Whether too few of a camera's frames are searched, of which `fraction` is.
    pub fn is_skipping(&self, fraction: f64) -> bool {
        fraction < self.searched_fraction
    }

    /// Whether a detector is slow that takes `milliseconds` for a frame.
    pub fn is_slow(&self, milliseconds: f64) -> bool {
        milliseconds > self.detector_milliseconds
    }

    /// Whether a stage is stuck that has worked on an item for `milliseconds`.
    pub fn is_stuck(&self, milliseconds: u64) -> bool {
        milliseconds as f64 >= self.busy_seconds * 1000.0
    }

    /// Whether a message is late that waits for `seconds`.
    pub fn is_late(&self, seconds: u64) -> bool {
        seconds as f64 > self.pending_days * 86_400.0
    }
}
