//! Encodes the crop of a sighting as a JPEG that fits a message.

use image::codecs::jpeg::JpegEncoder;
use image::{RgbImage, imageops};

/// The largest file, in bytes, so that its message stays below 200 kB.
pub const MAX_JPEG: usize = 199_000;
/// The longest side, in pixels.
const MAX_SIDE: u32 = 1600;
/// Tried in this order before the image is downscaled.
const QUALITIES: [u8; 3] = [85, 72, 58];

/// A JPEG file and its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jpeg {
    /// The encoded bytes, at most [`MAX_JPEG`] in a sighting.
    pub file: Vec<u8>,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// Encodes `pixels` as a JPEG of at most `limit` bytes: at quality 85 where that fits, then at lower
/// quality, then with fewer pixels.
///
/// # Errors
/// When the image cannot be encoded, or does not fit at any size.
pub fn encode_within(pixels: &RgbImage, limit: usize) -> Result<Jpeg, CropJpegError> {
    let longest = pixels.width().max(pixels.height());
    let mut scale = (f64::from(MAX_SIDE) / f64::from(longest.max(1))).min(1.0);
    loop {
        let side = |s: u32| ((f64::from(s) * scale).round() as u32).max(1);
        let (width, height) = (side(pixels.width()), side(pixels.height()));
        let downscaled;
        let image = if (width, height) == pixels.dimensions() {
            pixels
        } else {
            downscaled = imageops::resize(pixels, width, height, imageops::FilterType::Triangle);
            &downscaled
        };
        for quality in QUALITIES {
            let file = encode(image, quality)?;
            if file.len() <= limit {
                return Ok(Jpeg {
                    file,
                    width,
                    height,
                });
            }
        }
        if width.max(height) < 32 {
            return Err(CropJpegError::LimitTooLow(limit));
        }
        scale *= 0.75;
    }
}

/// Encodes `pixels` as a JPEG of the given quality, from 1 to 100, at their size.
///
/// # Errors
/// When the image cannot be encoded.
pub fn encode(pixels: &RgbImage, quality: u8) -> Result<Vec<u8>, CropJpegError> {
    let mut file = vec![];
    JpegEncoder::new_with_quality(&mut file, quality).encode_image(pixels)?;
    Ok(file)
}

/// A crop that cannot be encoded.
#[derive(Debug, thiserror::Error)]
pub enum CropJpegError {
    /// The JPEG encoder failed.
    #[error("cannot encode JPEG: {0}")]
    Encode(#[from] image::ImageError),
    /// The limit is too low for any image.
    #[error("cannot encode a JPEG within {0} bytes")]
    LimitTooLow(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(width: u32, height: u32) -> RgbImage {
        let mut state = 1u32;
        RgbImage::from_fn(width, height, |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            image::Rgb([(state >> 24) as u8, (state >> 16) as u8, (state >> 8) as u8])
        })
    }

    #[test]
    fn a_small_image_keeps_its_size() {
        let jpeg = encode_within(&noise(100, 50), MAX_JPEG).unwrap();
        assert_eq!((jpeg.width, jpeg.height), (100, 50));
        assert_eq!(image::load_from_memory(&jpeg.file).unwrap().width(), 100);
    }

    #[test]
    fn noise_is_made_to_fit() {
        let jpeg = encode_within(&noise(1000, 500), MAX_JPEG).unwrap();
        assert!(jpeg.file.len() <= MAX_JPEG);
        assert!((300..1000).contains(&jpeg.width), "width {}", jpeg.width);
        let decoded = image::load_from_memory(&jpeg.file).unwrap();
        assert_eq!(
            (decoded.width(), decoded.height()),
            (jpeg.width, jpeg.height)
        );
    }

    #[test]
    fn an_impossible_limit_is_an_error() {
        assert!(matches!(
            encode_within(&noise(64, 64), 10),
            Err(CropJpegError::LimitTooLow(10))
        ));
    }
}
