//! What finds flukes in a frame.

use crate::pixels::Photo;
use flukewatch_common::detection::Detection;
use image::RgbImage;

/// How wide a frame is that a detector sees, at least, in pixels: from twice this width on frames are reduced. A fluke that is narrower than 16
/// pixels then tells nothing anyway.
const WIDTH: u32 = 960;

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

/// Frames as a detector sees them: reduced by whole numbers where they are large, in memory that is kept for the next.
#[derive(Debug, Default)]
pub struct Reduced {
    picture: RgbImage,
    step: u32,
}

impl Reduced {
    /// `photo` in colours (grey ones where it has none), 960 pixels wide or more unless it is narrower itself.
    pub fn of<'a>(&'a mut self, photo: &'a Photo) -> &'a RgbImage {
        let pixels = photo.pixels();
        self.step = (pixels.width() / WIDTH).max(1);
        match photo {
            Photo::Colour(photo) if self.step == 1 => photo,
            _ => {
                pixels.reduce(self.step, &mut self.picture);
                &self.picture
            }
        }
    }

    /// Boxes in the photo that was reduced last, for those that were found in what became of it.
    pub fn in_photo(&self, found: &mut [Detection]) {
        for Detection { region: r, .. } in found {
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
    fn large_frames_are_reduced_and_boxes_are_those_of_the_frame() {
        for (width, step) in [(960, 1), (1919, 1), (1920, 2), (3840, 4)] {
            let photo = Photo::Colour(RgbImage::new(width, 12));
            let mut reduced = Reduced::default();
            assert_eq!(reduced.of(&photo).dimensions(), (width / step, 12 / step));
            let region = PixelBox {
                x0: 1,
                y0: 0,
                x1: 3,
                y1: 2,
            };
            let mut found = [Detection { region, score: 0.5 }];
            reduced.in_photo(&mut found);
            let edges = [step, 0, 3 * step, 2 * step];
            let r = found[0].region;
            assert_eq!([r.x0, r.y0, r.x1, r.y1], edges);
        }
    }
}
