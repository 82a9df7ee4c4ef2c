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
    /// The score from which a box may be a fluke; 0 for the bundle's own.
    pub threshold: f64,
    /// Of so many frames in which nothing stands out of the sea, one is looked at nevertheless; 1 for each.
    pub every: u32,
}

impl Default for DetectorSection {
    fn default() -> Self {
        Self {
            enabled: true,
            threshold: 0.0,
            every: 6,
        }
    }
}

impl DetectorSection {
    /// What makes no sense in it.
    pub(super) fn faults(&self) -> Vec<Fault> {
        let mut faults = vec![];
        let (threshold, every) = (self.threshold, f64::from(self.every));
        if !within(threshold, 0.0, 1.0) {
            faults.push(Fault::of("detector.threshold", range(threshold, 0.0, 1.0)));
        }
        if !within(every, 1.0, 1000.0) {
            faults.push(Fault::of("detector.every", range(every, 1.0, 1000.0)));
        }
        faults
    }
}
