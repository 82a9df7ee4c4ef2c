//! From a frame's picture, however its source has it, to pixels.

use super::convert::{self, PixelError};
use super::jpeg::{self, JpegError};
use super::photo::Photo;
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
    light: Vec<u8>,
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

    /// The pixels of `picture`.
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

    /// What is looked at of `picture`: of a live frame or a film its brightness, of a file its pixels. Where crops are wanted in colours, the
    /// bytes come back with the brightness, for [`Developer::colours`]. Give the photo back with [`Developer::take_back`].
    ///
    /// # Errors
    /// When the picture is damaged or too large.
    pub fn look(
        &mut self,
        picture: FramePicture,
    ) -> Result<(Photo, Option<RawPicture>), PictureError> {
        match picture {
            FramePicture::Raw(raw) => {
                let photo = self.brightness(&raw)?;
                Ok((photo, Some(raw).filter(|_| !self.grey)))
            }
            picture => Ok((Photo::Colour(self.develop(picture)?), None)),
        }
    }

    /// The same picture in colours. Give the photo back with [`Developer::take_back`].
    ///
    /// # Errors
    /// When the picture is damaged or too large.
    pub fn colours(&mut self, raw: &RawPicture) -> Result<Photo, PictureError> {
        Ok(Photo::Colour(self.raw(raw)?))
    }

    /// Takes back the memory of a photo that nobody needs any more.
    pub fn take_back(&mut self, photo: Photo) {
        match photo {
            Photo::Grey { light, .. } => self.light = light,
            Photo::Colour(pixels) => self.pixels = pixels.into_raw(),
        }
    }

    fn brightness(&mut self, raw: &RawPicture) -> Result<Photo, PictureError> {
        let mut light = std::mem::take(&mut self.light);
        let (width, height) = match raw.format {
            RawFormat::Jpeg => {
                let scratch = &mut self.scratch;
                let decoded = survive(|| jpeg::decode_grey(&raw.bytes, &mut light, scratch));
                match decoded {
                    Ok(size) => size,
                    Err(e) => {
                        self.light = light;
                        return Err(e.into());
                    }
                }
            }
            RawFormat::Plain {
                layout,
                shape,
                range,
            } => {
                light = convert::to_grey(layout, &raw.bytes, shape, range, light)?;
                (shape.width, shape.height)
            }
        };
        Ok(Photo::Grey {
            width,
            height,
            light,
        })
    }

    fn raw(&mut self, raw: &RawPicture) -> Result<RgbImage, PictureError> {
        let (grey, reused) = (self.grey, std::mem::take(&mut self.pixels));
        match raw.format {
            RawFormat::Jpeg => {
                let scratch = &mut self.scratch;
                Ok(survive(|| jpeg::decode(&raw.bytes, grey, reused, scratch))?)
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

/// What `decode` gives. The decoder is not ours and the bytes come over a cable in the rain: should it panic, the frame is a broken one and no
/// more.
fn survive<T>(decode: impl FnOnce() -> Result<T, JpegError>) -> Result<T, JpegError> {
    let died = || JpegError::Broken("the decoder gave up".into());
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err(died()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::{Layout, Range, Shape};

    fn yuyv() -> FramePicture {
        let shape = Shape {
            width: 4,
            height: 2,
            stride: 8,
        };
        FramePicture::Raw(RawPicture {
            bytes: (0..16).map(|i| 40 + i * 12).collect::<Vec<u8>>().into(),
            format: RawFormat::Plain {
                layout: Layout::Yuyv,
                shape,
                range: Range::Full,
            },
        })
    }

    #[test]
    fn live_frames_are_looked_at_in_grey_and_have_colours_where_they_are_wanted() {
        for grey in [false, true] {
            let mut developer = Developer::new(grey);
            let (photo, raw) = developer.look(yuyv()).unwrap();
            assert_eq!((photo.pixels().channels(), raw.is_none()), (1, grey));
            if let Some(raw) = raw {
                let colours = developer.colours(&raw).unwrap();
                let same = Developer::new(false).develop(yuyv()).unwrap();
                assert_eq!(colours.pixels().row(0, 1), &same.as_raw()[12..]);
                developer.take_back(colours);
            }
            developer.take_back(photo);
            assert_eq!(
                (developer.light.len(), developer.pixels.len()),
                (8, if grey { 0 } else { 24 })
            );
        }
    }

    #[test]
    fn what_cannot_be_decoded_costs_no_memory_but_the_frame() {
        let mut developer = Developer::new(true);
        let (photo, _) = developer.look(yuyv()).unwrap();
        developer.take_back(photo);
        let broken = FramePicture::Raw(RawPicture {
            bytes: vec![0xff, 0xd8, 0xff].into(),
            format: RawFormat::Jpeg,
        });
        assert!(developer.look(broken).is_err());
        assert!(!developer.light.is_empty());
    }
}
