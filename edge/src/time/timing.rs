//! How well the timestamp of a frame is known.

use flukewatch_common::position::TimeSource;
use serde::{Deserialize, Serialize};

/// How the timestamp of a frame is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Timing {
    /// From the camera's driver.
    Driver,
    /// From its arrival, where the driver does not use the monotonic clock.
    Arrival,
    /// From the arrival of its first byte from a pipeline, which may have delayed it by the given
    /// milliseconds.
    Pipeline(u32),
    /// From the frame rate of a replay.
    #[default]
    Replay,
}

impl Timing {
    /// Its contribution to the uncertainty of a time, in milliseconds: exposure and transfer.
    pub fn uncertainty(self) -> u32 {
        match self {
            Self::Driver | Self::Replay => 20,
            Self::Arrival => 200,
            Self::Pipeline(delay) => delay,
        }
    }

    /// The time source that replaces the clock's: the dates of a replay are not real.
    pub fn source(self) -> Option<TimeSource> {
        (self == Self::Replay).then_some(TimeSource::Replay)
    }
}
