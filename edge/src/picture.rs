//! The picture that a sighting carries: a JPEG that fits a message.

use image::codecs::jpeg::JpegEncoder;
use image::{RgbImage, imageops};

/// The largest picture file, in bytes, so that its message stays within 200 kB.
pub const MAX_JPEG: usize = 199_000;
/// The longest side of a picture, in pixels.
const MAX_SIDE: u32 = 1600;
/// Tried in this order before the picture is made smaller.
const QUALITIES: [u8; 3] = [85, 72, 58];

/// A JPEG file and its size in pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jpeg {
    /// The file.
    pub file: Vec<u8>,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// `pixels` as a JPEG of at most `limit` bytes: quality 85 where that fits, then less, then fewer pixels.
///
/// # Errors
/// When the picture cannot be encoded, or not even a tiny one fits.
pub fn fit(pixels: &RgbImage, limit: usize) -> Result<Jpeg, PictureError> {
    let longest = pixels.width().max(pixels.height());
    let mut scale = (f64::from(MAX_SIDE) / f64::from(longest.max(1))).min(1.0);
    loop {
        let side = |s: u32| ((f64::from(s) * scale).round() as u32).max(1);
        let (width, height) = (side(pixels.width()), side(pixels.height()));
        let reduced;
        let picture = if (width, height) == pixels.dimensions() {
            pixels
        } else {
            reduced = imageops::resize(pixels, width, height, imageops::FilterType::Triangle);
            &reduced
        };
        for quality in QUALITIES {
            let mut file = vec![];
            JpegEncoder::new_with_quality(&mut file, quality).encode_image(picture)?;
            if file.len() <= limit {
                return Ok(Jpeg {
                    file,
                    width,
                    height,
                });
            }
        }
        if width.max(height) < 32 {
            return Err(PictureError::NeverFits(limit));
        }
        scale *= 0.75;
    }
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The encoder failed.
    #[error("the picture cannot be written as JPEG: {0}")]
    Encode(#[from] image::ImageError),
    /// The limit is too low for any picture.
    #[error("no picture fits in {0} bytes")]
    NeverFits(usize),
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
    fn a_small_picture_keeps_its_size() {
        let jpeg = fit(&noise(100, 50), MAX_JPEG).unwrap();
        assert_eq!((jpeg.width, jpeg.height), (100, 50));
        assert_eq!(image::load_from_memory(&jpeg.file).unwrap().width(), 100);
    }

    #[test]
    fn the_worst_picture_is_made_to_fit() {
        let jpeg = fit(&noise(1000, 500), MAX_JPEG).unwrap();
        assert!(jpeg.file.len() <= MAX_JPEG);
        assert!(
            (300..1000).contains(&jpeg.width),
            "{} pixels across",
            jpeg.width
        );
        let picture = image::load_from_memory(&jpeg.file).unwrap();
        assert_eq!(
            (picture.width(), picture.height()),
            (jpeg.width, jpeg.height)
        );
    }

    #[test]
    fn what_never_fits_is_refused() {
        assert!(matches!(
            fit(&noise(64, 64), 10),
            Err(PictureError::NeverFits(10))
        ));
    }
}
