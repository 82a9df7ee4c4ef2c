//! Settings of proxy-anchor.

use super::super::about::{About, need, need_scale};
use serde::{Deserialize, Serialize};

pub(super) const ABOUT: About = About {
    kind: "proxy-anchor",
    formula: "mean_{p in batch} ln(1 + sum_{x of p} e^{-a (cos(x,p) - m)}) + mean_{all p} ln(1 + sum_{x not of p} e^{a (cos(x,p) + m)})",
    source: "Kim et al., Proxy Anchor Loss for Deep Metric Learning, CVPR 2020",
    settings: &[("scale", "a"), ("margin", "m, a cosine")],
};

/// `train::loss::proxy_anchor`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProxyAnchorSettings {
    /// The paper's alpha.
    pub scale: f64,
    /// The paper's delta, a cosine.
    pub margin: f64,
}

impl Default for ProxyAnchorSettings {
    fn default() -> Self {
        Self {
            scale: 32.0,
            margin: 0.1,
        }
    }
}

impl ProxyAnchorSettings {
    pub(super) fn check(&self) -> Result<(), String> {
        need_scale("scale", self.scale)?;
        need(
            (0.0..=1.0).contains(&self.margin),
            "margin",
            "0 to 1",
            self.margin,
        )
    }
}
