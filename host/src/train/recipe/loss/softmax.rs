//! Settings of the softmax classifier.

use super::super::about::{About, need_scale};
use serde::{Deserialize, Serialize};

pub(super) const ABOUT: About = About {
    kind: "softmax",
    formula: "-ln( e^{z_y} / sum_j e^{z_j} ), z_j = s cos t_j (cosine) or s w_j.x + b_j (linear)",
    source: "Zhai and Wu, Classification is a Strong Baseline for Deep Metric Learning, BMVC 2019 (cosine)",
    settings: &[
        (
            "scale",
            "s; 20 with cosine, 1 for a plain linear classifier",
        ),
        (
            "cosine",
            "rows of unit length and no bias; false is a linear classifier",
        ),
    ],
};

/// `train::loss::softmax`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SoftmaxSettings {
    /// s.
    pub scale: f64,
    /// Rows of unit length and no bias.
    pub cosine: bool,
}

impl Default for SoftmaxSettings {
    fn default() -> Self {
        Self {
            scale: 20.0,
            cosine: true,
        }
    }
}

impl SoftmaxSettings {
    pub(super) fn check(&self) -> Result<(), String> {
        need_scale("scale", self.scale)
    }
}
