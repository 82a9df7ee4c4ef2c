//! Settings of proxy-NCA.

use super::super::about::{About, need};
use serde::{Deserialize, Serialize};

pub(super) const ABOUT: About = About {
    kind: "proxy-nca",
    formula: "-ln( e^{-d(x, p_y)^2 / T} / sum_j e^{-d(x, p_j)^2 / T} ), j over all proxies or all but y",
    source: "Movshovitz-Attias et al., ICCV 2017; ProxyNCA++, Teh et al., ECCV 2020",
    settings: &[
        ("temperature", "T; 1 in the first paper, 1/9 in the second"),
        (
            "own_in_sum",
            "the own proxy is in the sum (ProxyNCA++); false is the first paper's loss, which may fall below 0",
        ),
    ],
};

/// `train::loss::proxy_nca`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProxyNcaSettings {
    /// T.
    pub temperature: f64,
    /// The own proxy is in the sum.
    pub own_in_sum: bool,
}

impl Default for ProxyNcaSettings {
    fn default() -> Self {
        Self {
            temperature: 0.11,
            own_in_sum: true,
        }
    }
}

impl ProxyNcaSettings {
    pub(super) fn check(&self) -> Result<(), String> {
        need(
            (0.001..=100.0).contains(&self.temperature),
            "temperature",
            "0.001 to 100",
            self.temperature,
        )
    }
}
