//! `[track]`

use super::checks::Checks;
use crate::track::TrackRules;
use flukewatch_common::boat_settings::SettingKey;
use flukewatch_inference::detector::MIN_WIDTH_FRACTION;
use serde::Deserialize;

/// When detections are confirmed as a track, section `[track]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrackSection {
    /// A track is confirmed after this many detections ..
    pub min_detections: u32,
    /// .. within this many consecutive frames ..
    pub window_frames: u32,
    /// .. and this many seconds after its first detection.
    pub min_seconds: f64,
    /// A single detection of this score confirms a track.
    pub confirm_score: f64,
    /// Detections that are narrower than this fraction of the frame's width are ignored.
    pub min_width_fraction: f64,
}

impl Default for TrackSection {
    fn default() -> Self {
        Self {
            min_detections: 3,
            window_frames: 5,
            min_seconds: 0.3,
            confirm_score: 0.95,
            min_width_fraction: MIN_WIDTH_FRACTION,
        }
    }
}

impl TrackSection {
    /// The tracker's rules for detections from the score `threshold` on.
    pub fn rules(&self, threshold: f32) -> TrackRules {
        TrackRules {
            threshold,
            confirm_score: self.confirm_score as f32,
            min_hits: self.min_detections,
            window: self.window_frames,
            min_width_fraction: self.min_width_fraction as f32,
            min_age: (self.min_seconds * 1000.0).round() as i64,
            ..TrackRules::default()
        }
    }

    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        let (detections, window) = (
            f64::from(self.min_detections),
            f64::from(self.window_frames),
        );
        checks.range("min_detections", detections, 1.0, window.clamp(1.0, 32.0));
        checks.range("window_frames", window, 1.0, 32.0);
        checks.range("min_seconds", self.min_seconds, 0.0, 10.0);
        checks.setting(SettingKey::ConfirmScore, self.confirm_score);
        checks.setting(SettingKey::MinWidthFraction, self.min_width_fraction);
    }
}
