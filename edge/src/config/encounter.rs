//! `[encounter]`

use super::checks::Checks;
use flukewatch_common::footage::MAX_CROPS;
use serde::Deserialize;
use std::time::Duration;

/// Frames without a fluke before its encounter may end: at a low frame rate, one frame that hides
/// it would otherwise split it.
const MIN_GAP_FRAMES: f64 = 3.0;

/// How tracks become encounters, section `[encounter]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EncounterSection {
    /// An encounter ends after this many seconds without its fluke, but not before three frames.
    pub gap_seconds: f64,
    /// An encounter of this length is reported, and a new one begins.
    pub max_seconds: f64,
    /// How many of an encounter's best crops are matched.
    pub best_crops: usize,
    /// A whale that returns within this many minutes continues its encounter, as does a fluke that another
    /// camera sees at once; 0 for neither.
    pub return_minutes: f64,
}

impl Default for EncounterSection {
    fn default() -> Self {
        Self {
            gap_seconds: 0.7,
            max_seconds: 300.0,
            best_crops: 5,
            return_minutes: 10.0,
        }
    }
}

impl EncounterSection {
    /// The gap in milliseconds at a frame rate.
    pub fn gap_millis(&self, frames_per_second: f64) -> i64 {
        let seconds = self.gap_seconds.max(MIN_GAP_FRAMES / frames_per_second);
        (seconds * 1000.0).round() as i64
    }

    /// How long a whale may be away and still continue its encounter.
    pub fn return_within(&self) -> Duration {
        Duration::from_secs_f64(self.return_minutes * 60.0)
    }

    /// The longest encounter in milliseconds.
    pub fn max_millis(&self) -> i64 {
        (self.max_seconds * 1000.0).round() as i64
    }

    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.range("gap_seconds", self.gap_seconds, 0.1, 3600.0);
        checks.range("max_seconds", self.max_seconds, 1.0, 3600.0);
        let crops = self.best_crops as f64;
        checks.range("best_crops", crops, 1.0, MAX_CROPS as f64);
        checks.range("return_minutes", self.return_minutes, 0.0, 240.0);
    }
}
