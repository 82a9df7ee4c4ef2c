//! The quality of a crop for identification.
//!
//! The constants come from 1,123 photos of held-out individuals. Top-1 accuracy of the shipped model is
//! 0.82 for all, 0.72 for the least sharp twentieth, 0.68 for the smallest tenth, 0.73 below an aspect
//! ratio of 2 and 0.72 above 4.4, and 0.76 for the tenth with the least contrast. White sky and white
//! skin in a box do no harm. By fifths of the product it is 0.72, 0.83, 0.84, 0.88, 0.84 (of sharpness
//! times size alone 0.78, 0.79, 0.85, 0.87, 0.82). For individuals with three photos or more it is 0.86
//! with the best one and 0.80 with the worst (0.85 and 0.85).

use crate::pixels::Pixels;
use flukewatch_common::footage::CropQuality;
use flukewatch_common::pixel_box::PixelBox;

/// Crops are measured at this longest side, in pixels: finer detail is noise.
const MEASURED_SIDE: u32 = 160;
/// The mean absolute Laplacian of brightness that gives a sharpness of 0.5.
const HALF_SHARP: f32 = 12.0;
/// The side, as a fraction of the model's input side, that gives a size of 0.5.
const HALF_SIDE: f32 = 0.5;
/// The aspect ratios of a fluke that shows its whole underside.
const FRONTAL_ASPECT: (f32, f32) = (2.0, 4.4);
/// The least brightness of an overexposed pixel.
const OVEREXPOSED: usize = 250;
/// The largest brightness of a black pixel.
const BLACK: usize = 6;
/// The fraction of black or overexposed pixels that costs nothing: flukes are dark and skies are white.
const TOLERATED: f32 = 0.3;
/// The range of brightness between the 2nd and 98th percentile below which contrast is low, as in haze
/// or at night.
const FULL_RANGE: f32 = 100.0;

/// The quality of a crop, each part from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// Sharpness, from the mean absolute Laplacian of brightness.
    pub sharpness: f32,
    /// Size relative to the model's input.
    pub size: f32,
    /// How frontal the fluke is by its aspect ratio: seen edge-on it is narrow, lying down it is flat.
    pub angle: f32,
    /// Exposure and contrast together.
    pub exposure: f32,
}

impl Quality {
    /// The product of all parts.
    pub fn total(&self) -> f32 {
        self.sharpness * self.size * self.angle * self.exposure
    }

    /// The quality in a sighting, of a crop taken `after` milliseconds after its start.
    pub fn compact(&self, after: u32) -> CropQuality {
        let per_cent = |part: f32| (part.clamp(0.0, 1.0) * 100.0).round() as u8;
        CropQuality {
            after,
            sharpness: per_cent(self.sharpness),
            size: per_cent(self.size),
            angle: per_cent(self.angle),
            exposure: per_cent(self.exposure),
        }
    }
}

/// The largest total that a box may have, whatever its pixels.
pub fn upper_bound(region: PixelBox, input_side: f32) -> f32 {
    size(region, input_side) * angle(region)
}

fn size(region: PixelBox, input_side: f32) -> f32 {
    let side = (region.area() as f32).sqrt();
    side / (side + HALF_SIDE * input_side).max(1.0)
}

fn angle(region: PixelBox) -> f32 {
    let aspect = region.width() as f32 / region.height().max(1) as f32;
    let (min, max) = FRONTAL_ASPECT;
    (aspect / min).min(max / aspect.max(0.01)).clamp(0.0, 1.0)
}

/// Measures crops in memory that it reuses.
#[derive(Debug)]
pub struct Assessor {
    input_side: f32,
    grey: Vec<u8>,
}

impl Assessor {
    /// For a model with an input of `input_side` squared pixels.
    pub fn new(input_side: f32) -> Self {
        Self {
            input_side,
            grey: vec![],
        }
    }

    /// The side of the model's input.
    pub fn input_side(&self) -> f32 {
        self.input_side
    }

    /// The quality of `region` in `frame`. Pixels outside of the frame count as black.
    pub fn assess(&mut self, frame: Pixels<'_>, region: PixelBox) -> Quality {
        let (width, height) = self.downscale(frame, region);
        let sharp = sharpness(&self.grey, width, height);
        Quality {
            sharpness: sharp / (sharp + HALF_SHARP),
            size: size(region, self.input_side),
            angle: angle(region),
            exposure: exposure(&self.grey),
        }
    }

    /// Luma of the region, downscaled to at most [`MEASURED_SIDE`] pixels a side.
    fn downscale(&mut self, frame: Pixels<'_>, region: PixelBox) -> (usize, usize) {
        let step = region
            .width()
            .max(region.height())
            .div_ceil(MEASURED_SIDE)
            .max(1) as usize;
        let (width, height) = (
            region.width() as usize / step,
            region.height() as usize / step,
        );
        self.grey.clear();
        self.grey.resize(width * height, 0);
        if width == 0 || height == 0 {
            return (0, 0);
        }
        let channels = frame.channels();
        let among = (step * step) as u32;
        for (y, out) in self.grey.chunks_exact_mut(width).enumerate() {
            let mut sums = [0u32; MEASURED_SIDE as usize + 1];
            for row in 0..step {
                let row = frame.row(region.x0, region.y0 + (y * step + row) as u32);
                let squares = row.chunks_exact(channels * step);
                for (sum, square) in sums.iter_mut().zip(squares).take(width) {
                    *sum += match channels {
                        1 => square.iter().map(|luma| u32::from(*luma)).sum::<u32>(),
                        _ => square.chunks_exact(3).map(luma).sum::<u32>(),
                    };
                }
            }
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = (sum / among) as u8;
            }
        }
        (width, height)
    }
}

/// Luma by ITU-R BT.601.
fn luma(pixel: &[u8]) -> u32 {
    match *pixel {
        [r, g, b] => (77 * u32::from(r) + 150 * u32::from(g) + 29 * u32::from(b)) >> 8,
        _ => 0,
    }
}

/// The mean absolute Laplacian.
fn sharpness(grey: &[u8], width: usize, height: usize) -> f32 {
    if width < 3 || height < 3 {
        return 0.0;
    }
    let mut sum = 0u64;
    let rows = grey.chunks_exact(width);
    for ((above, row), below) in rows.clone().zip(rows.clone().skip(1)).zip(rows.skip(2)) {
        for ((three, up), down) in row.windows(3).zip(&above[1..]).zip(&below[1..]) {
            if let [left, here, right] = three {
                let around = [left, right, up, down].map(|v| i32::from(*v));
                let edge = 4 * i32::from(*here) - around.iter().sum::<i32>();
                sum += u64::from(edge.unsigned_abs());
            }
        }
    }
    sum as f32 / ((width - 2) * (height - 2)) as f32
}

fn exposure(grey: &[u8]) -> f32 {
    let mut histogram = [0u32; 256];
    for value in grey {
        histogram[usize::from(*value)] += 1;
    }
    let all = grey.len().max(1) as f32;
    let share = |values: &[u32]| values.iter().sum::<u32>() as f32 / all;
    let excess = |share: f32| (share - TOLERATED).max(0.0) / (1.0 - TOLERATED);
    let overexposed = excess(share(&histogram[OVEREXPOSED..]));
    let black = excess(share(&histogram[..=BLACK]));
    let end = all * 0.02;
    let beyond = |values: &mut dyn Iterator<Item = &u32>| {
        let mut seen = 0.0;
        values
            .take_while(|count| {
                seen += **count as f32;
                seen < end
            })
            .count()
    };
    let (low, high) = (
        beyond(&mut histogram.iter()),
        beyond(&mut histogram.iter().rev()),
    );
    let range = (255.0 - (low + high) as f32).max(0.0);
    (1.0 - overexposed) * (1.0 - black) * (range / FULL_RANGE).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::RgbImage;
    use image::imageops::{self, FilterType};

    /// The side of 160 x 320 pixels.
    const SIDE: f32 = 226.0;

    fn quality(photo: &RgbImage) -> Quality {
        let whole = PixelBox::whole(photo.width(), photo.height());
        Assessor::new(SIDE).assess(Pixels::of(photo), whole)
    }

    fn stripes(width: u32, height: u32, period: u32) -> RgbImage {
        let shade = |x: u32| {
            if (x / period).is_multiple_of(2) {
                30
            } else {
                220
            }
        };
        RgbImage::from_fn(width, height, |x, _| image::Rgb([shade(x); 3]))
    }

    #[test]
    fn a_sharp_crop_beats_a_blurred_one() {
        let sharp = stripes(120, 60, 10);
        let blurred = imageops::blur(&sharp, 4.0);
        let (sharp, blurred) = (quality(&sharp), quality(&blurred));
        assert!(
            sharp.sharpness > 1.5 * blurred.sharpness,
            "{sharp:?} {blurred:?}"
        );
        assert!(sharp.total() > blurred.total());
    }

    #[test]
    fn a_large_crop_beats_a_small_one_of_the_same_scene() {
        let large = stripes(600, 300, 50);
        let small = imageops::resize(&large, 60, 30, FilterType::Triangle);
        assert!(quality(&large).size > 2.0 * quality(&small).size);
        assert!(quality(&large).total() > quality(&small).total());
    }

    #[test]
    fn a_fluke_seen_edge_on_or_lying_down_has_lower_quality() {
        let facing = quality(&stripes(200, 80, 10));
        assert_eq!(facing.angle, 1.0);
        let edge_on = quality(&stripes(60, 200, 10)).angle;
        let flat = quality(&stripes(400, 30, 10)).angle;
        assert!(edge_on < 0.25 && flat < 0.4, "{edge_on} {flat}");
    }

    #[test]
    fn overexposed_black_and_low_contrast_crops_have_lower_quality() {
        let good = stripes(200, 80, 10);
        assert_eq!(quality(&good).exposure, 1.0);
        let with = |change: fn(u8) -> u8| {
            let pixels = good.as_raw().iter().map(|v| change(*v)).collect();
            quality(&RgbImage::from_raw(200, 80, pixels).unwrap()).exposure
        };
        assert!(with(|v| v.saturating_mul(9)) < 0.1, "overexposed");
        assert!(with(|v| v / 40) < 0.1, "black");
        assert!(with(|v| 100 + v / 20) < 0.3, "fog");
    }

    #[test]
    fn a_crop_without_detail_or_pixels_has_no_quality() {
        let plain = RgbImage::from_pixel(400, 200, image::Rgb([90; 3]));
        assert_eq!(quality(&plain).total(), 0.0);
        assert_eq!(quality(&RgbImage::new(1, 1)).total(), 0.0);
    }

    #[test]
    fn a_region_is_measured_as_if_it_were_cut_out() {
        let photo = RgbImage::from_fn(500, 400, |x, y| {
            image::Rgb([
                (x * 7 % 256) as u8,
                (y * 5 % 256) as u8,
                (x * y % 256) as u8,
            ])
        });
        for region in [(20, 30, 180, 100), (3, 2, 493, 399), (400, 390, 500, 400)] {
            let (x0, y0, x1, y1) = region;
            let region = PixelBox { x0, y0, x1, y1 };
            let cut = imageops::crop_imm(&photo, x0, y0, region.width(), region.height());
            let there = Assessor::new(SIDE).assess(Pixels::of(&photo), region);
            assert_eq!(there, quality(&cut.to_image()));
            assert!(there.total() <= upper_bound(region, SIDE));
        }
        let outside = PixelBox {
            x0: 490,
            y0: 390,
            x1: 900,
            y1: 900,
        };
        Assessor::new(SIDE).assess(Pixels::of(&photo), outside);
    }

    #[test]
    fn a_sighting_has_quality_in_per_cent() {
        let q = Quality {
            sharpness: 0.624,
            size: 1.2,
            angle: -0.1,
            exposure: f32::NAN,
        };
        let c = q.compact(7);
        let parts = (c.after, c.sharpness, c.size, c.angle, c.exposure);
        assert_eq!(parts, (7, 62, 100, 0, 0));
    }
}
