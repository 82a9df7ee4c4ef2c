//! What the outbox remembers of a sighting so that its times can be corrected.

use crate::time::{MonotonicTimestamp, Timing};
use flukewatch_common::position::TimeSource;
use serde::{Deserialize, Serialize};

/// When a sighting was taken by the monotonic clock, and how its UTC times were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The timestamp of the first frame with the fluke.
    pub started: MonotonicTimestamp,
    /// How that timestamp is known.
    pub timing: Timing,
    /// The clock that gave the UTC times; a replay has one, too.
    pub clock: TimeSource,
}

impl Taken {
    /// The form in the database.
    pub(super) fn to_json(self) -> String {
        serde_json::to_string(&self).expect("numbers and names of variants")
    }
}
