//! `[augmentation]`: random variations of the photos.

use serde::{Deserialize, Serialize};

/// How much photos are varied; 0 disables a variation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    /// Largest rotation, in degrees, in pixels of the view.
    pub rotation: f32,
    /// Largest horizontal shear: how far the upper edge moves against the lower one, as a fraction of the
    /// width.
    pub shear: f32,
    /// Largest change of width and height, as a fraction; independent of each other.
    pub scale: f32,
    /// Largest translation, as a fraction of a side.
    pub shift: f32,
    /// Largest displacement of a corner, as a fraction of a side.
    pub perspective: f32,
    /// Largest change of contrast and brightness, as a fraction.
    pub contrast: f32,
    /// Probability of a blur.
    pub blur: f32,
    /// Largest standard deviation of added noise, in grey levels.
    pub noise: f32,
    /// Probability that a rectangle is erased.
    pub erasing: f32,
}
