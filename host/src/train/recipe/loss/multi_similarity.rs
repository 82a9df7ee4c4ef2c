//! Settings of the multi-similarity loss.

use super::super::about::{About, need, need_scale};
use serde::{Deserialize, Serialize};

pub(super) const ABOUT: About = About {
    kind: "multi-similarity",
    formula: "ln(1 + sum_p e^{-alpha (S_ap - lambda)}) / alpha + ln(1 + sum_n e^{beta (S_an - lambda)}) / beta, over pairs with S_an > min S_ap - epsilon, S_ap < max S_an + epsilon",
    source: "Wang et al., Multi-Similarity Loss with General Pair Weighting, CVPR 2019",
    settings: &[
        ("alpha", "weight of positives' similarity"),
        ("beta", "weight of negatives' similarity"),
        ("lambda", "the cosine between same and other"),
        (
            "epsilon",
            "how much easier than the hardest opposite a pair may be, a cosine",
        ),
    ],
};

/// `train::loss::multi_similarity`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MultiSimilaritySettings {
    /// Of positives.
    pub alpha: f64,
    /// Of negatives.
    pub beta: f64,
    /// The cosine between same and other.
    pub lambda: f64,
    /// How much easier than the hardest opposite a pair may be, as a cosine.
    pub epsilon: f64,
}

impl Default for MultiSimilaritySettings {
    fn default() -> Self {
        Self {
            alpha: 2.0,
            beta: 50.0,
            lambda: 0.5,
            epsilon: 0.1,
        }
    }
}

impl MultiSimilaritySettings {
    pub(super) fn check(&self) -> Result<(), String> {
        need_scale("alpha", self.alpha)?;
        need_scale("beta", self.beta)?;
        need(
            (-1.0..=1.0).contains(&self.lambda),
            "lambda",
            "-1 to 1",
            self.lambda,
        )?;
        need(
            (0.0..=2.0).contains(&self.epsilon),
            "epsilon",
            "0 to 2",
            self.epsilon,
        )
    }
}
