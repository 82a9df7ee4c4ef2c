//! Settings of the triplet loss.

use super::super::about::{About, need};
use crate::train::recipe::MinerChoice;
use serde::{Deserialize, Serialize};

pub(super) const ABOUT: About = About {
    kind: "triplet",
    formula: "max(0, d_ap - d_an + m), or ln(1 + e^{d_ap - d_an + m}) if soft, d the Euclidean distance",
    source: "Schroff et al., FaceNet, CVPR 2015; soft: Hermans et al., 2017",
    settings: &[
        ("margin", "m, a distance"),
        (
            "soft",
            "the logistic form, which never stops pulling; the paper has m = 0 with it",
        ),
        ("miner", "which triples of the batch"),
    ],
};

/// `train::loss::triplet`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TripletSettings {
    /// m, a distance.
    pub margin: f64,
    /// The logistic form in place of the hinge.
    pub soft: bool,
    /// Which triples of the batch.
    pub miner: MinerChoice,
}

impl Default for TripletSettings {
    fn default() -> Self {
        Self {
            margin: 0.2,
            soft: false,
            miner: MinerChoice::semi_hard(),
        }
    }
}

impl TripletSettings {
    pub(super) fn check(&self) -> Result<(), String> {
        need(
            (0.0..=2.0).contains(&self.margin),
            "margin",
            "0 to 2 (unit vectors are no farther apart)",
            self.margin,
        )?;
        self.miner.check()
    }
}
