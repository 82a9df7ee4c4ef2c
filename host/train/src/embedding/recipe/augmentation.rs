//! `[augmentation]`: random variations of the photos.

use crate::about::{InvalidSetting, require, require_that};
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
    /// Probability of a mirrored view that counts as the same whale.
    #[serde(default)]
    pub flip: f32,
    /// Smallest part of the photo that a view shows, as a fraction of its area, before the other warps; 1 shows
    /// all of it. With `crop_aspect` 1.333 and 0.08 these are the random resized crops of many recipes.
    #[serde(default = "whole")]
    pub crop_area: f32,
    /// Largest change of such a part's aspect, as a factor.
    #[serde(default = "whole")]
    pub crop_aspect: f32,
    /// Largest change of each colour's brightness and of the saturation, as a fraction; of photos in colour.
    #[serde(default)]
    pub colour: f32,
    /// Largest change of contrast and brightness, as a fraction.
    pub contrast: f32,
    /// Probability of a blur.
    pub blur: f32,
    /// Largest standard deviation of added noise, in grey levels.
    pub noise: f32,
    /// Probability that a rectangle is erased.
    pub erasing: f32,
    /// Probability that a view is reduced first and then enlarged, as a small fluke is.
    #[serde(default)]
    pub reduction: f32,
    /// The smallest width of a reduced view, in pixels; widths up to that of the view are drawn evenly on a
    /// logarithmic scale.
    #[serde(default = "smallest_width")]
    pub reduced_width: u32,
    /// Probability that a view is compressed as a JPEG of quality 30 to 90, at its reduced size.
    #[serde(default)]
    pub jpeg: f32,
}

fn whole() -> f32 {
    1.0
}

fn smallest_width() -> u32 {
    48
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
            .and_then(|()| within("flip", self.flip, 1.0))
            .and_then(|()| {
                let valid = self.crop_area > 0.0 && self.crop_area <= 1.0;
                let expected = "more than 0 and at most 1";
                require(valid, "crop_area", expected, self.crop_area.into())
            })
            .and_then(|()| {
                let valid = (1.0..=4.0).contains(&self.crop_aspect);
                require(valid, "crop_aspect", "1 to 4", self.crop_aspect.into())
            })
            .and_then(|()| within("colour", self.colour, 1.0))
            .and_then(|()| within("contrast", self.contrast, 1.0))
            .and_then(|()| within("blur", self.blur, 1.0))
            .and_then(|()| within("noise", self.noise, 255.0))
            .and_then(|()| within("erasing", self.erasing, 1.0))
            .and_then(|()| within("reduction", self.reduction, 1.0))
            .and_then(|()| {
                let valid = (8..=1024).contains(&self.reduced_width);
                require_that(valid, "reduced_width", self.reduced_width, "8 to 1024")
            })
            .and_then(|()| within("jpeg", self.jpeg, 1.0))
            .map_err(|setting| setting.of("augmentation"))
    }
}
