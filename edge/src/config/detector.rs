//! `[detector]`

use super::{Fault, range, within};
use serde::Deserialize;

/// `[detector]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectorSection {
    /// Whether the bundle's detector looks at frames that come without boxes.
    #[serde(rename = "use")]
    pub enabled: bool,
    /// The score from which a box may be a fluke.
    pub threshold: f64,
}

impl Default for DetectorSection {
    fn default() -> Self {
        Self {
            enabled: true,
            threshold: 0.5,
        }
    }
}

impl DetectorSection {
    /// What makes no sense in it.
    pub(super) fn faults(&self) -> Vec<Fault> {
        let threshold = self.threshold;
        if within(threshold, 0.01, 1.0) {
            return vec![];
        }
        let problem = range(threshold, 0.01, 1.0);
        vec![Fault::of("detector.threshold", problem)]
    }
}
