//! A bundle's detector.

use crate::detect::{Detect, DetectError};
use flukewatch_common::bundle::Bundle;
use flukewatch_common::detection::Detection;
use flukewatch_inference::detector::{Detector, DetectorError};
use image::RgbImage;

/// Opens the bundle's detector in tract; `None` where it has none. A `threshold` of 0 leaves the bundle's
/// own.
///
/// # Errors
/// When the detector cannot be run.
pub fn open_detector(bundle: &Bundle, threshold: f32) -> Result<Option<Detector>, DetectorError> {
    let detector = Detector::open(bundle)?;
    Ok(detector.map(|d| at_threshold(d, threshold)))
}

/// `detector` with another threshold; 0 leaves its own.
pub(super) fn at_threshold(detector: Detector, threshold: f32) -> Detector {
    if threshold > 0.0 {
        detector.with_threshold(threshold)
    } else {
        detector
    }
}

/// Says what finds flukes with `bundle`, for people, after a trial in tract.
///
/// # Errors
/// When the detector cannot be run.
pub fn describe_detector(bundle: &Bundle, enabled: bool) -> Result<String, DetectorError> {
    if !enabled {
        return Ok("disabled: a frame without boxes counts as one fluke".into());
    }
    Ok(match open_detector(bundle, 0.0)? {
        Some(detector) => {
            let engine = detector.engine_name();
            format!("{engine}: bundle's detector searches frames without boxes")
        }
        None => "none in the bundle: a frame without boxes counts as one fluke".into(),
    })
}

impl Detect for Detector {
    fn detect(&mut self, frame: &RgbImage, found: &mut Vec<Detection>) -> Result<(), DetectError> {
        Self::detect(self, frame, found).map_err(DetectError::new)
    }
}
