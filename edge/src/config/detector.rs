//! `[detector]`

use super::checks::Checks;
use flukewatch_common::boat_settings::SettingKey;
use serde::Deserialize;

/// How the detector is used, section `[detector]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectorSection {
    /// Whether the bundle's detector searches frames that come without boxes.
    pub enabled: bool,
    /// The lowest score of a detection; 0 for the bundle's own.
    pub threshold: f64,
    /// The detector runs on one of this many frames in which nothing stands out from the sea; 1 for
    /// each.
    pub detect_every_n_frames: u32,
}

impl Default for DetectorSection {
    fn default() -> Self {
        Self {
            enabled: true,
            threshold: 0.0,
            detect_every_n_frames: 6,
        }
    }
}

impl DetectorSection {
    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.setting(SettingKey::DetectorThreshold, self.threshold);
        let every = f64::from(self.detect_every_n_frames);
        checks.range("detect_every_n_frames", every, 1.0, 1000.0);
    }
}
