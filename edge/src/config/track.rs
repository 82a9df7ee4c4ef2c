//! `[track]`

use super::{Fault, range, within};
use serde::Deserialize;

/// `[track]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrackSection {
    /// A fluke must be found in so many frames..
    pub hits: u32,
    /// ..of so many in a row.
    pub of_frames: u32,
    /// Or once with this score.
    pub sure: f64,
}

impl Default for TrackSection {
    fn default() -> Self {
        Self {
            hits: 3,
            of_frames: 5,
            sure: 0.95,
        }
    }
}

impl TrackSection {
    /// What makes no sense in it.
    pub(super) fn faults(&self) -> Vec<Fault> {
        let (hits, frames) = (f64::from(self.hits), f64::from(self.of_frames));
        let checked = [
            ("track.hits", hits, 1.0, frames.clamp(1.0, 32.0)),
            ("track.of_frames", frames, 1.0, 32.0),
            ("track.sure", self.sure, 0.01, 1.0),
        ];
        let wrong = checked
            .into_iter()
            .filter(|(_, value, low, high)| !within(*value, *low, *high));
        wrong
            .map(|(key, value, low, high)| Fault::of(key, range(value, low, high)))
            .collect()
    }
}
