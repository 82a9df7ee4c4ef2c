//! Settings of the N-pair loss.

use super::super::about::{About, need_scale};
use serde::{Deserialize, Serialize};

pub(super) const ABOUT: About = About {
    kind: "n-pair",
    formula: "ln(1 + sum_n e^{s (cos_an - cos_ap)}), n over every photo of another whale in the batch",
    source: "Sohn, Improved Deep Metric Learning with Multi-class N-pair Loss Objective, NIPS 2016",
    settings: &[(
        "scale",
        "s, which the paper leaves to the embeddings' length",
    )],
};

/// `train::loss::n_pair`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NPairSettings {
    /// s.
    pub scale: f64,
}

impl Default for NPairSettings {
    fn default() -> Self {
        Self { scale: 16.0 }
    }
}

impl NPairSettings {
    pub(super) fn check(&self) -> Result<(), String> {
        need_scale("scale", self.scale)
    }
}
