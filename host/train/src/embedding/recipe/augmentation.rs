//! `[augmentation]`: random variations of the photos.

use crate::about::{InvalidSetting, require};
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

impl Augmentation {
    /// Checks the values.
    ///
    /// # Errors
    /// Names the setting and its range.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        let within = |key: &str, value: f32, most: f32| {
            let expected = format!("0 to {most}");
            require((0.0..=most).contains(&value), key, &expected, value.into())
        };
        let below = |key: &str, value: f32, limit: f32, why: &str| {
            let expected = format!("at least 0 and less than {limit}{why}");
            require((0.0..limit).contains(&value), key, &expected, value.into())
        };
        within("rotation", self.rotation, 180.0)
            .and_then(|()| within("shear", self.shear, 1.0))
            .and_then(|()| below("scale", self.scale, 1.0, ""))
            .and_then(|()| within("shift", self.shift, 1.0))
            .and_then(|()| {
                let why = ": at 0.5 a corner would be infinitely far away";
                below("perspective", self.perspective, 0.5, why)
            })
            .and_then(|()| within("contrast", self.contrast, 1.0))
            .and_then(|()| within("blur", self.blur, 1.0))
            .and_then(|()| within("noise", self.noise, 255.0))
            .and_then(|()| within("erasing", self.erasing, 1.0))
            .map_err(|setting| setting.of("augmentation"))
    }
}
