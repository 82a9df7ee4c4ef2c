//! A frame: one picture of a camera, with its time and the boxes of the flukes in it.

use flukewatch_common::clock::Timestamp;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::prepare::{self, PrepareError};
use image::RgbImage;

/// One picture of a camera.
#[derive(Clone, Debug)]
pub struct Frame {
    /// What logs call it: a file's name, a camera's frame number.
    pub name: String,
    /// When it was taken.
    pub taken: Timestamp,
    /// The picture; decoded only where somebody looks into it.
    pub picture: FramePicture,
    /// The flukes in it; `None` where nobody has looked for them, so that the whole frame counts as one.
    pub boxes: Option<Vec<PixelBox>>,
}

/// A picture as its source has it.
#[derive(Clone, Debug)]
pub enum FramePicture {
    /// A JPEG or PNG file.
    Encoded(Vec<u8>),
    /// Pixels, 8-bit RGB.
    Pixels(RgbImage),
}

impl FramePicture {
    /// The pixels.
    ///
    /// # Errors
    /// When an encoded picture is broken or too large.
    pub fn into_pixels(self) -> Result<RgbImage, PrepareError> {
        match self {
            Self::Encoded(file) => prepare::decode(&file),
            Self::Pixels(pixels) => Ok(pixels),
        }
    }
}
