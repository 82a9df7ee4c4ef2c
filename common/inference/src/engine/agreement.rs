//! Compares two engines: the cosines between their embeddings of images drawn from a seed.

use super::{Engine, EngineError};
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::prepare::{Preparation, PrepareError};
use image::{Rgb, RgbImage};
use ndarray::Array3;

/// The number of images that are compared.
pub const IMAGES: u32 = 8;
/// The lowest accepted cosine between an int8 engine and tract with all quantisation of the file:
/// they differ in the order of sums, and a sum near a rounding boundary may be rounded either way.
pub const MIN_COSINE_SAME_PRECISION: f32 = 0.98;
/// The lowest accepted cosine between the quantised model and the one whose activations stay
/// floats.
pub const MIN_COSINE_OTHER_PRECISION: f32 = 0.95;

/// How well two engines agree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// The lowest cosine of any image; -1 if one is NaN.
    pub lowest: f32,
    /// The mean cosine of all images.
    pub mean: f32,
}

/// Runs both engines on each image.
///
/// # Errors
/// When an engine fails on an image.
pub fn agreement(
    one: &mut dyn Engine,
    other: &mut dyn Engine,
    images: &[Array3<f32>],
) -> Result<Agreement, EngineError> {
    let mut lowest = f32::INFINITY;
    let mut sum = 0.0;
    for image in images {
        let cosine = cosine(&one.run(image.view())?, &other.run(image.view())?);
        // A NaN cosine must not count as agreement.
        let cosine = if cosine.is_nan() { -1.0 } else { cosine };
        lowest = lowest.min(cosine);
        sum += cosine;
    }
    Ok(Agreement {
        lowest,
        mean: sum / images.len() as f32,
    })
}

/// The cosine between two embeddings; NaN if one is zero, not finite, or of another size.
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    if a.len() != b.len() {
        return f32::NAN;
    }
    let dot = |x: &[f32], y: &[f32]| -> f64 {
        x.iter()
            .zip(y)
            .map(|(x, y)| f64::from(*x) * f64::from(*y))
            .sum()
    };
    (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()) as f32
}

/// Drawn flukes, prepared for the model.
///
/// # Errors
/// When the preparation is invalid.
pub fn random_inputs(
    preparation: &Preparation,
    seed: u64,
) -> Result<Vec<Array3<f32>>, PrepareError> {
    (0..IMAGES)
        .map(|number| {
            let photo = random_image(seed, number);
            let whole = PixelBox::whole(photo.width(), photo.height());
            let pixels = preparation.pixels(&photo, whole)?;
            Ok(preparation.normalise(&pixels, false))
        })
        .collect()
}

/// A dark fluke with pale patches on a bright sea, determined by seed and number.
pub fn random_image(seed: u64, number: u32) -> RgbImage {
    const WIDTH: u32 = 512;
    const HEIGHT: u32 = 256;
    let mut random = Random(
        seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .wrapping_add(u64::from(number)),
    );
    let notch = 0.35 + 0.2 * random.next();
    let sweep = 0.25 + 0.3 * random.next();
    let sea = 150.0 + 70.0 * random.next();
    let patches: Vec<[f32; 4]> = (0..7)
        .map(|_| {
            [
                random.next(),
                random.next(),
                0.02 + 0.1 * random.next(),
                60.0 + 130.0 * random.next(),
            ]
        })
        .collect();
    let mut grain = random;
    RgbImage::from_fn(WIDTH, HEIGHT, |x, y| {
        let (u, v) = (x as f32 / WIDTH as f32, y as f32 / HEIGHT as f32);
        // Two lobes that meet at the notch.
        let side = (u - 0.5).abs() * 2.0;
        let upper = 0.15 + notch * (1.0 - side).powi(2) - 0.1 * sweep * side;
        let lower = 0.85 - sweep * side * side;
        let wave = 12.0 * (40.0 * v + 6.0 * (9.0 * u).sin()).sin();
        let mut light = sea + wave;
        if side < 0.95 && v > upper && v < lower {
            light = 40.0;
            for [cx, cy, radius, patch] in &patches {
                let distance = (u - cx).powi(2) + ((v - cy) * 0.5).powi(2);
                if distance < radius * radius {
                    light = *patch;
                }
            }
        }
        let grey = (light + 16.0 * (grain.next() - 0.5)).clamp(0.0, 255.0) as u8;
        Rgb([grey, grey.saturating_add(4), grey.saturating_add(9)])
    })
}

/// splitmix64: the same numbers on every machine.
#[derive(Clone, Copy)]
struct Random(u64);

impl Random {
    /// The next random number, from 0 to 1.
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 40) as f32 / (1 << 24) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_worked_by_hand() {
        assert_eq!(cosine(&[3.0, 4.0], &[6.0, 8.0]), 1.0);
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 2.0]), 0.0);
        assert!((cosine(&[1.0, 0.0], &[1.0, 1.0]) - 0.5f32.sqrt()).abs() < 1e-6);
        assert!(cosine(&[0.0, 0.0], &[1.0, 1.0]).is_nan());
        assert!(cosine(&[1.0], &[1.0, 1.0]).is_nan());
        assert!(cosine(&[f32::NAN, 1.0], &[1.0, 1.0]).is_nan());
    }

    #[test]
    fn drawn_photos_are_the_same_for_a_seed_and_differ_otherwise() {
        assert_eq!(random_image(7, 0), random_image(7, 0));
        assert_ne!(random_image(7, 0), random_image(7, 1));
        assert_ne!(random_image(7, 0), random_image(8, 0));
        let photo = random_image(7, 0);
        let (dark, bright) = (
            photo.pixels().filter(|p| p.0[0] < 60).count(),
            photo.pixels().filter(|p| p.0[0] > 120).count(),
        );
        assert!(dark > 10_000 && bright > 30_000, "{dark} and {bright}");
    }

    struct Fixed(Vec<f32>);

    impl Engine for Fixed {
        fn name(&self) -> &str {
            "fixed"
        }
        fn input_shape(&self) -> [usize; 3] {
            [1, 2, 2]
        }
        fn dimension(&self) -> usize {
            2
        }
        fn run(&mut self, _: ndarray::ArrayView3<f32>) -> Result<Vec<f32>, EngineError> {
            Ok(self.0.clone())
        }
    }

    #[test]
    fn nan_is_not_agreement() {
        let images = [Array3::zeros((1, 2, 2)), Array3::zeros((1, 2, 2))];
        let between = |a: [f32; 2], b: [f32; 2]| {
            agreement(&mut Fixed(a.to_vec()), &mut Fixed(b.to_vec()), &images).unwrap()
        };
        let same = between([3.0, 4.0], [3.0, 4.0]);
        assert_eq!((same.lowest, same.mean), (1.0, 1.0));
        assert_eq!(between([1.0, 0.0], [0.0, 1.0]).lowest, 0.0);
        for bad in [[f32::NAN, 1.0], [0.0, 0.0]] {
            assert_eq!(between(bad, [1.0, 1.0]).lowest, -1.0);
        }
    }
}
