//! The detector of a bundle.

use crate::detect::{Detect, DetectError};
use flukewatch_common::bundle::Bundle;
use flukewatch_common::detection::Detection;
use flukewatch_common::detector::{Detector, DetectorError};
use image::RgbImage;

/// What finds flukes in frames that come without boxes; `None` where `bundle` has no detector. Boxes count from `threshold` on, or from the bundle's
/// own where that is 0.
///
/// # Errors
/// When the bundle's detector cannot be run.
pub fn detector(bundle: &Bundle, threshold: f32) -> Result<Option<Detector>, DetectorError> {
    let detector = Detector::open(bundle)?;
    Ok(detector.map(|d| {
        if threshold > 0.0 {
            d.with_threshold(threshold)
        } else {
            d
        }
    }))
}

impl Detect for Detector {
    fn detect(&mut self, frame: &RgbImage, found: &mut Vec<Detection>) -> Result<(), DetectError> {
        Self::detect(self, frame, found).map_err(DetectError::new)
    }
}
