//! Decodes a frame's image, whatever its source provides.

use super::convert::{self, PixelError};
use super::decoded_image::DecodedImage;
use super::jpeg::{self, JpegError};
use crate::buffers::{BufferPool, PooledImage};
use crate::frame::{FrameImage, RawFormat, RawImage};
use flukewatch_common::prepare::{self, PrepareError};
use image::RgbImage;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// An image that cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// An image file is damaged or too large.
    #[error(transparent)]
    File(#[from] PrepareError),
    /// An uncompressed image is invalid.
    #[error(transparent)]
    Pixels(#[from] PixelError),
    /// The JPEG of a camera or video.
    #[error(transparent)]
    Jpeg(#[from] JpegError),
}

/// A frame that is decoded for detection.
#[derive(Debug)]
pub struct DecodedFrame {
    /// What is analysed: luma of a camera or video, RGB of a file.
    pub image: DecodedImage,
    origin: Origin,
}

/// What a frame was decoded from.
#[derive(Debug)]
enum Origin {
    /// The bytes of a camera or video, from which colour may be decoded or not.
    Raw { raw: RawImage, colour: bool },
    /// Pixels, or an image file, whose data are checked when it is decoded.
    Checked,
}

impl DecodedFrame {
    /// The source's bytes, for [`Decoder::decode_colour`]; `None` where `image` is all there is.
    pub fn colour_source(&self) -> Option<&RawImage> {
        match &self.origin {
            Origin::Raw { raw, colour: true } => Some(raw),
            _ => None,
        }
    }

    /// Checks a JPEG's data, see [`jpeg::check`]. A frame that fails must not be identified.
    ///
    /// # Errors
    /// Where they are damaged.
    pub fn check(&self) -> Result<(), DecodeError> {
        match &self.origin {
            Origin::Raw { raw, .. } if raw.format == RawFormat::Jpeg => {
                Ok(jpeg::check(&raw.bytes)?)
            }
            _ => Ok(()),
        }
    }
}

/// Decodes frames in memory that it reuses.
#[derive(Debug, Default)]
pub struct Decoder {
    grey: bool,
    rgb: BufferPool,
    luma: BufferPool,
    scratch: Vec<u8>,
}

impl Decoder {
    /// With `grey`, cameras and videos are decoded to luma only.
    pub fn new(grey: bool) -> Self {
        Self {
            grey,
            ..Self::default()
        }
    }

    /// Decodes `image` for detection: a camera's or video's image to luma, a file to RGB.
    ///
    /// # Errors
    /// When the image is damaged or too large.
    pub fn decode(&mut self, image: FrameImage) -> Result<DecodedFrame, DecodeError> {
        Ok(match image {
            FrameImage::Raw(raw) => DecodedFrame {
                image: self.luma(&raw)?,
                origin: Origin::Raw {
                    raw,
                    colour: !self.grey,
                },
            },
            FrameImage::Encoded(file) => DecodedFrame {
                image: DecodedImage::Colour(prepare::decode(&file)?.into()),
                origin: Origin::Checked,
            },
            FrameImage::Pixels(pixels) => DecodedFrame {
                image: DecodedImage::Colour(pixels.into()),
                origin: Origin::Checked,
            },
        })
    }

    /// Decodes `raw` to RGB, which a grey decoder makes of luma.
    ///
    /// # Errors
    /// When the image is damaged or too large.
    pub fn decode_colour(&mut self, raw: &RawImage) -> Result<DecodedImage, DecodeError> {
        Ok(DecodedImage::Colour(self.rgb(raw)?))
    }

    /// Decodes `image` to RGB in newly allocated memory.
    ///
    /// # Errors
    /// When the image is damaged or too large.
    pub fn decode_rgb(&mut self, image: FrameImage) -> Result<RgbImage, DecodeError> {
        match image {
            FrameImage::Encoded(file) => Ok(prepare::decode(&file)?),
            FrameImage::Pixels(pixels) => Ok(pixels),
            FrameImage::Raw(raw) => Ok(self.rgb(&raw)?.into_inner()),
        }
    }

    fn luma(&mut self, raw: &RawImage) -> Result<DecodedImage, DecodeError> {
        let mut luma = self.luma.take_uncleared();
        let (width, height) = match raw.format {
            RawFormat::Jpeg => {
                let scratch = &mut self.scratch;
                catch_panic(|| jpeg::decode_grey(&raw.bytes, &mut luma, scratch))?
            }
            RawFormat::Uncompressed {
                layout,
                shape,
                range,
            } => {
                convert::to_grey(layout, &raw.bytes, shape, range, &mut luma)?;
                (shape.width, shape.height)
            }
        };
        Ok(DecodedImage::Grey {
            width,
            height,
            luma,
        })
    }

    fn rgb(&mut self, raw: &RawImage) -> Result<PooledImage, DecodeError> {
        let (grey, scratch) = (self.grey, &mut self.scratch);
        PooledImage::decode(&self.rgb, |memory| match raw.format {
            RawFormat::Jpeg => Ok(catch_panic(|| {
                jpeg::decode(&raw.bytes, grey, memory, scratch)
            })?),
            RawFormat::Uncompressed {
                layout,
                shape,
                range,
            } => Ok(convert::to_rgb(
                layout, &raw.bytes, shape, range, grey, memory,
            )?),
        })
    }
}

/// Turns a panic of `decode` into an error: the decoder is third-party code that reads bytes from
/// damaged cables, and a bad frame must cost that frame only.
fn catch_panic<T>(decode: impl FnOnce() -> Result<T, JpegError>) -> Result<T, JpegError> {
    let panicked = || JpegError::Damaged("the decoder panicked".into());
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err(panicked()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixel_format::{ColourRange, PixelLayout, Shape};

    fn yuyv() -> FrameImage {
        let shape = Shape {
            width: 4,
            height: 2,
            stride: 8,
        };
        FrameImage::Raw(RawImage {
            bytes: (0..16).map(|i| 40 + i * 12).collect::<Vec<u8>>().into(),
            format: RawFormat::Uncompressed {
                layout: PixelLayout::Yuyv,
                shape,
                range: ColourRange::Full,
            },
        })
    }

    #[test]
    fn camera_frames_are_decoded_to_luma_and_to_colour_on_demand() {
        for grey in [false, true] {
            let mut decoder = Decoder::new(grey);
            let frame = decoder.decode(yuyv()).unwrap();
            let raw = frame.colour_source();
            assert_eq!((frame.image.pixels().channels(), raw.is_none()), (1, grey));
            if let Some(raw) = raw {
                let colour = decoder.decode_colour(raw).unwrap();
                let same = Decoder::new(false).decode_rgb(yuyv()).unwrap();
                assert_eq!(colour.pixels().row(0, 1), &same.as_raw()[12..]);
            }
            drop(frame);
            let (luma, rgb) = (decoder.luma.take_uncleared(), decoder.rgb.take_uncleared());
            assert_eq!((luma.len(), rgb.len()), (8, if grey { 0 } else { 24 }));
        }
    }

    #[test]
    fn damage_inside_a_jpeg_is_found_in_each_kind_of_frame() {
        let mut whole = vec![];
        let shades = |x: u32, y: u32| image::Rgb([(x * 9) as u8, (y * 5) as u8, (x * y) as u8]);
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut whole, 95)
            .encode_image(&RgbImage::from_fn(64, 48, shades))
            .unwrap();
        let half = [&whole[..whole.len() * 2 / 3], b"\xff\xd9"].concat();
        for (file, sound) in [(whole, true), (half, false)] {
            let raw = FrameImage::Raw(RawImage {
                bytes: file.clone().into(),
                format: RawFormat::Jpeg,
            });
            let frame = Decoder::new(true).decode(raw).unwrap();
            assert_eq!(frame.check().is_ok(), sound);
            // Files are checked when they are decoded.
            let decoded = Decoder::new(false).decode(FrameImage::Encoded(file));
            assert_eq!(decoded.is_ok(), sound);
        }
        let frame = Decoder::new(false).decode(yuyv()).unwrap();
        assert!(frame.check().is_ok(), "nothing to check");
    }

    #[test]
    fn a_damaged_image_returns_its_memory() {
        let mut decoder = Decoder::new(true);
        drop(decoder.decode(yuyv()).unwrap());
        let broken = FrameImage::Raw(RawImage {
            bytes: vec![0xff, 0xd8, 0xff].into(),
            format: RawFormat::Jpeg,
        });
        assert!(decoder.decode(broken).is_err());
        assert!(!decoder.luma.take_uncleared().is_empty());
    }
}
