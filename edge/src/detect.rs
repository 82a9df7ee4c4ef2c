//! The interface of a detector, and what it gets to see.

use crate::pixels::DecodedImage;
use flukewatch_common::detection::Detection;
use image::RgbImage;

/// The least width of a downscaled frame, in pixels. Flukes narrower than 16 pixels in it cannot be
/// identified anyway.
const MIN_WIDTH: u32 = 960;

/// An error of a detector.
#[derive(Debug, thiserror::Error)]
#[error("detector failed: {0}")]
pub struct DetectError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl DetectError {
    /// Wraps the detector's own error.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

/// Finds flukes in frames.
pub trait Detect: Send {
    /// Replaces `detections` by the flukes in `frame`, in its pixels.
    ///
    /// # Errors
    /// When the detector fails.
    fn detect(
        &mut self,
        frame: &RgbImage,
        detections: &mut Vec<Detection>,
    ) -> Result<(), DetectError>;
}

/// A frame for a detector: large ones are downscaled by whole numbers, in memory that is reused.
#[derive(Debug, Default)]
pub struct DownscaledFrame {
    image: RgbImage,
    step: u32,
}

impl DownscaledFrame {
    /// `frame` as RGB, at least 960 pixels wide unless it is narrower itself.
    pub fn downscale<'a>(&'a mut self, frame: &'a DecodedImage) -> &'a RgbImage {
        let pixels = frame.pixels();
        self.step = (pixels.width() / MIN_WIDTH).max(1);
        match frame {
            DecodedImage::Colour(image) if self.step == 1 => image,
            _ => {
                pixels.downscale(self.step, &mut self.image);
                &self.image
            }
        }
    }

    /// Converts detections in the last downscaled frame to the pixels of the original.
    pub fn upscale_detections(&self, detections: &mut [Detection]) {
        for Detection { region: r, .. } in detections {
            for edge in [&mut r.x0, &mut r.y0, &mut r.x1, &mut r.y1] {
                *edge = edge.saturating_mul(self.step);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_common::pixel_box::PixelBox;

    #[test]
    fn large_frames_are_downscaled_and_boxes_upscaled() {
        for (width, step) in [(960, 1), (1919, 1), (1920, 2), (3840, 4)] {
            let frame = DecodedImage::Colour(RgbImage::new(width, 12).into());
            let mut downscaled = DownscaledFrame::default();
            let size = downscaled.downscale(&frame).dimensions();
            assert_eq!(size, (width / step, 12 / step));
            let region = PixelBox {
                x0: 1,
                y0: 0,
                x1: 3,
                y1: 2,
            };
            let mut detections = [Detection { region, score: 0.5 }];
            downscaled.upscale_detections(&mut detections);
            let edges = [step, 0, 3 * step, 2 * step];
            let r = detections[0].region;
            assert_eq!([r.x0, r.y0, r.x1, r.y1], edges);
        }
    }
}
