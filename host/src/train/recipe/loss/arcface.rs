//! Settings of ArcFace.

use super::super::about::{About, need, need_scale};
use serde::{Deserialize, Serialize};
use std::f64::consts::FRAC_PI_2;

pub(super) const ABOUT: About = About {
    kind: "arcface",
    formula: "-ln( e^{s cos(t_y + m)} / (e^{s cos(t_y + m)} + sum_{j != y} e^{s cos t_j}) ), t_j the angle to the nearest centre of class j",
    source: "Deng et al., ArcFace, CVPR 2019; Sub-center ArcFace, ECCV 2020",
    settings: &[
        ("scale", "s"),
        ("margin", "m, in radians"),
        (
            "sub_centres",
            "centres a class; 1 is plain ArcFace, 3 forgives wrong labels and whales of several looks",
        ),
    ],
};

/// `train::loss::arcface`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ArcFaceSettings {
    /// s.
    pub scale: f64,
    /// m, in radians.
    pub margin: f64,
    /// Centres a class.
    pub sub_centres: usize,
}

impl Default for ArcFaceSettings {
    fn default() -> Self {
        Self {
            scale: 32.0,
            margin: 0.3,
            sub_centres: 1,
        }
    }
}

impl ArcFaceSettings {
    pub(super) fn check(&self) -> Result<(), String> {
        need_scale("scale", self.scale)?;
        need(
            (0.0..=FRAC_PI_2).contains(&self.margin),
            "margin",
            "0 to 1.57 (radians, a quarter turn)",
            self.margin,
        )?;
        need(
            (1..=16).contains(&self.sub_centres),
            "sub_centres",
            "1 to 16",
            self.sub_centres as f64,
        )
    }
}
