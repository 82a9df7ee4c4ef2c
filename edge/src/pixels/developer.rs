//! From a frame's picture, however its source has it, to pixels.

use super::convert::{self, PixelError};
use super::jpeg::{self, JpegError};
use crate::frame::{FramePicture, RawFormat, RawPicture};
use flukewatch_common::prepare::{self, PrepareError};
use image::RgbImage;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Why a frame has no pixels.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// A picture file.
    #[error(transparent)]
    File(#[from] PrepareError),
    /// Uncompressed bytes.
    #[error(transparent)]
    Pixels(#[from] PixelError),
    /// A JPEG of a camera or film.
    #[error(transparent)]
    Jpeg(#[from] JpegError),
}

/// Makes pixels of frames, and uses their memory again.
#[derive(Debug, Default)]
pub struct Developer {
    grey: bool,
    pixels: Vec<u8>,
    scratch: Vec<u8>,
}

impl Developer {
    /// With `grey`, live frames and films are decoded to their brightness alone.
    pub fn new(grey: bool) -> Self {
        Self {
            grey,
            ..Self::default()
        }
    }

    /// The pixels of `picture`. Give them back with [`Developer::recycle`].
    ///
    /// # Errors
    /// When the picture is damaged or too large.
    pub fn develop(&mut self, picture: FramePicture) -> Result<RgbImage, PictureError> {
        match picture {
            FramePicture::Encoded(file) => Ok(prepare::decode(&file)?),
            FramePicture::Pixels(pixels) => Ok(pixels),
            FramePicture::Raw(raw) => self.raw(&raw),
        }
    }

    /// Takes back the memory of pixels that nobody needs any more.
    pub fn recycle(&mut self, pixels: RgbImage) {
        self.pixels = pixels.into_raw();
    }

    fn raw(&mut self, raw: &RawPicture) -> Result<RgbImage, PictureError> {
        let (grey, reused) = (self.grey, std::mem::take(&mut self.pixels));
        match raw.format {
            RawFormat::Jpeg => {
                let scratch = &mut self.scratch;
                // The decoder is not ours and the bytes come over a cable in the rain: should it panic, the frame is a broken one
                // and no more.
                let decoded = catch_unwind(AssertUnwindSafe(|| {
                    jpeg::decode(&raw.bytes, grey, reused, scratch)
                }));
                let died = || JpegError::Broken("the decoder gave up".into());
                Ok(decoded.unwrap_or_else(|_| Err(died()))?)
            }
            RawFormat::Plain {
                layout,
                shape,
                range,
            } => Ok(convert::to_rgb(
                layout, &raw.bytes, shape, range, grey, reused,
            )?),
        }
    }
}
