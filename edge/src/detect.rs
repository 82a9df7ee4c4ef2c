//! What finds flukes in a frame.

use flukewatch_common::detection::Detection;
use image::RgbImage;

/// Why a frame could not be searched.
#[derive(Debug, thiserror::Error)]
#[error("the detector fails: {0}")]
pub struct DetectError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl DetectError {
    /// A detector's own error.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

/// Finds flukes in frames.
pub trait Detect: Send {
    /// Puts what it takes for flukes into `found`, which it empties first; boxes in pixels of `frame`.
    ///
    /// # Errors
    /// When the frame could not be searched.
    fn detect(&mut self, frame: &RgbImage, found: &mut Vec<Detection>) -> Result<(), DetectError>;
}
