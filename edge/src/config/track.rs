//! `[track]`

use super::{Fault, range, within};
use crate::track::TrackRules;
use flukewatch_common::detector::NARROWEST;
use serde::Deserialize;

/// `[track]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrackSection {
    /// A fluke must be found in so many frames..
    pub hits: u32,
    /// ..of so many in a row..
    pub of_frames: u32,
    /// ..and so many seconds after it was found first.
    pub lasts_seconds: f64,
    /// Or once with this score.
    pub sure: f64,
    /// A box that is less wide than this share of the frame is passed over.
    pub narrowest: f64,
}

impl Default for TrackSection {
    fn default() -> Self {
        Self {
            hits: 3,
            of_frames: 5,
            lasts_seconds: 0.3,
            sure: 0.95,
            narrowest: NARROWEST,
        }
    }
}

impl TrackSection {
    /// These rules for boxes that begin a track from the score `threshold` on; the gap is the encounter's.
    pub fn rules(&self, threshold: f32) -> TrackRules {
        TrackRules {
            threshold,
            sure: self.sure as f32,
            hits: self.hits,
            of_frames: self.of_frames,
            narrowest: self.narrowest as f32,
            lasts: (self.lasts_seconds * 1000.0).round() as i64,
            ..TrackRules::default()
        }
    }

    /// What makes no sense in it.
    pub(super) fn faults(&self) -> Vec<Fault> {
        let (hits, frames) = (f64::from(self.hits), f64::from(self.of_frames));
        let checked = [
            ("track.hits", hits, 1.0, frames.clamp(1.0, 32.0)),
            ("track.of_frames", frames, 1.0, 32.0),
            ("track.lasts_seconds", self.lasts_seconds, 0.0, 10.0),
            ("track.sure", self.sure, 0.01, 1.0),
            ("track.narrowest", self.narrowest, 0.0, 0.5),
        ];
        let wrong = checked
            .into_iter()
            .filter(|(_, value, low, high)| !within(*value, *low, *high));
        wrong
            .map(|(key, value, low, high)| Fault::of(key, range(value, low, high)))
            .collect()
    }
}
