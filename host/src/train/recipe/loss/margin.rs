//! Settings of the margin loss.

use super::super::about::{About, need};
use crate::train::recipe::MinerChoice;
use serde::{Deserialize, Serialize};

pub(super) const ABOUT: About = About {
    kind: "margin",
    formula: "max(0, alpha + d_ap - beta) + max(0, alpha + beta - d_an) + nu beta, d the Euclidean distance",
    source: "Wu et al., Sampling Matters in Deep Embedding Learning, ICCV 2017",
    settings: &[
        ("alpha", "the separation that is asked for, a distance"),
        ("beta", "the boundary between same and other, a distance"),
        ("learn_beta", "beta is learned, from that start"),
        ("per_class", "each whale has a beta of its own"),
        ("nu", "how hard a learned beta is pressed down"),
        ("miner", "which triples of the batch"),
    ],
};

/// `train::loss::margin`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MarginSettings {
    /// The separation that is asked for.
    pub alpha: f64,
    /// The boundary between the same and another whale, as a distance.
    pub beta: f64,
    /// Whether beta is learned.
    pub learn_beta: bool,
    /// Whether each class has a beta of its own.
    pub per_class: bool,
    /// The weight of beta itself in the loss.
    pub nu: f64,
    /// Which triples of the batch.
    pub miner: MinerChoice,
}

impl Default for MarginSettings {
    fn default() -> Self {
        Self {
            alpha: 0.2,
            beta: 1.2,
            learn_beta: true,
            per_class: false,
            nu: 0.0,
            miner: MinerChoice::DistanceWeighted {},
        }
    }
}

impl MarginSettings {
    pub(super) fn check(&self) -> Result<(), String> {
        need(
            (0.0..=2.0).contains(&self.alpha),
            "alpha",
            "0 to 2",
            self.alpha,
        )?;
        need(
            self.beta > 0.0 && self.beta < 2.0,
            "beta",
            "between 0 and 2 (unit vectors are no farther apart)",
            self.beta,
        )?;
        need(self.nu >= 0.0, "nu", "0 or more", self.nu)?;
        if !self.learn_beta && self.per_class {
            return Err(
                "per_class gives each whale a beta to learn: it needs learn_beta = true".into(),
            );
        }
        if !self.learn_beta && self.nu > 0.0 {
            return Err("nu presses on a beta that is learned: it needs learn_beta = true".into());
        }
        self.miner.check()
    }
}
