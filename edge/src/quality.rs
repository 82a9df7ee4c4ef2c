//! How much a crop of a fluke can tell.

use image::imageops::{self, FilterType};
use image::{GrayImage, RgbImage};

/// Sharpness is measured on a crop reduced to this longest side, in pixels: finer grain is noise, not trailing edge.
const MEASURED_SIDE: u32 = 160;

/// Sharpness times size: the mean absolute Laplacian of the crop's grey values, at most [`MEASURED_SIDE`] pixels long, times the
/// square root of its area in pixels. Only good for ranking the crops of one encounter.
pub fn quality(crop: &RgbImage) -> f64 {
    let area = f64::from(crop.width()) * f64::from(crop.height());
    sharpness(&reduced(crop)) * area.sqrt()
}

fn reduced(crop: &RgbImage) -> GrayImage {
    let grey = imageops::grayscale(crop);
    let longest = grey.width().max(grey.height());
    if longest <= MEASURED_SIDE {
        return grey;
    }
    let side =
        |s: u32| ((u64::from(s) * u64::from(MEASURED_SIDE)) / u64::from(longest)).max(1) as u32;
    imageops::resize(
        &grey,
        side(grey.width()),
        side(grey.height()),
        FilterType::Triangle,
    )
}

fn sharpness(grey: &GrayImage) -> f64 {
    let (width, height) = grey.dimensions();
    if width < 3 || height < 3 {
        return 0.0;
    }
    let at = |x: u32, y: u32| i32::from(grey.get_pixel(x, y).0[0]);
    let mut sum = 0u64;
    for y in 1..height - 1 {
        for x in 1..width - 1 {
            let around = at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1);
            sum += u64::from((4 * at(x, y) - around).unsigned_abs());
        }
    }
    sum as f64 / (f64::from(width - 2) * f64::from(height - 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripes(width: u32, height: u32, period: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, _| {
            image::Rgb(
                [if (x / period).is_multiple_of(2) {
                    30
                } else {
                    220
                }; 3],
            )
        })
    }

    #[test]
    fn a_sharp_crop_beats_a_blurred_one() {
        let sharp = stripes(120, 60, 10);
        let blurred = imageops::blur(&sharp, 4.0);
        assert!(quality(&sharp) > 2.0 * quality(&blurred));
    }

    #[test]
    fn a_large_crop_beats_a_small_one_of_the_same_scene() {
        let large = stripes(600, 300, 50);
        let small = imageops::resize(&large, 60, 30, FilterType::Triangle);
        assert!(quality(&large) > quality(&small));
    }

    #[test]
    fn a_crop_without_detail_or_almost_without_pixels_is_worth_nothing() {
        assert_eq!(
            quality(&RgbImage::from_pixel(400, 200, image::Rgb([90; 3]))),
            0.0
        );
        assert_eq!(quality(&RgbImage::new(1, 1)), 0.0);
    }
}
