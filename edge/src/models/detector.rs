//! A bundle's detector.

use crate::detect::{Detect, DetectError};
use flukewatch_common::bundle::Bundle;
use flukewatch_common::detection::Detection;
use flukewatch_inference::detector::{Detector, DetectorError};
use image::RgbImage;

/// Opens the bundle's detector; `None` where it has none. A `threshold` of 0 leaves the bundle's
/// own.
///
/// # Errors
/// When the detector cannot be run.
pub fn open_detector(bundle: &Bundle, threshold: f32) -> Result<Option<Detector>, DetectorError> {
    let detector = Detector::open(bundle)?;
    Ok(detector.map(|d| {
        if threshold > 0.0 {
            d.with_threshold(threshold)
        } else {
            d
        }
    }))
}

/// Says what finds flukes with `bundle`, for people.
///
/// # Errors
/// When the detector cannot be run.
pub fn describe_detector(bundle: &Bundle, enabled: bool) -> Result<&'static str, DetectorError> {
    Ok(if !enabled {
        "disabled: a frame without boxes counts as one fluke"
    } else if open_detector(bundle, 0.0)?.is_some() {
        "bundle's detector searches frames without boxes"
    } else {
        "none in the bundle: a frame without boxes counts as one fluke"
    })
}

impl Detect for Detector {
    fn detect(&mut self, frame: &RgbImage, found: &mut Vec<Detection>) -> Result<(), DetectError> {
        Self::detect(self, frame, found).map_err(DetectError::new)
    }
}
