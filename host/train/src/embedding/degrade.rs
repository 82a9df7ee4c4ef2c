//! What distance and a camera's compression do to a view: fewer pixels, and a JPEG's blocks.

use super::augment::{Placement, Source, Warp, sample};
use super::recipe::Augmentation;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageFormat};
use rand::{Rng, RngExt};

/// How a view is degraded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Degradation {
    /// Pixels of the reduced view for each pixel of the view, along each axis; at most 1.
    scale: f32,
    /// Quality of the JPEG that the reduced view is compressed to.
    jpeg: Option<u8>,
}

/// Qualities of JPEGs, from a poor camera's to a good one's.
const QUALITIES: std::ops::RangeInclusive<u8> = 30..=90;

impl Degradation {
    pub(super) const NONE: Self = Self {
        scale: 1.0,
        jpeg: None,
    };

    /// A random degradation of views that are `width` pixels wide.
    pub(super) fn random(settings: &Augmentation, width: usize, rng: &mut impl Rng) -> Self {
        let mut degradation = Self::NONE;
        // Without these settings nothing is drawn, so that other variations stay as they were.
        if settings.reduction > 0.0 && rng.random::<f32>() < settings.reduction {
            let smallest = (settings.reduced_width as f32 / width as f32).min(1.0);
            degradation.scale = smallest.powf(rng.random());
        }
        if settings.jpeg > 0.0 && rng.random::<f32>() < settings.jpeg {
            degradation.jpeg = Some(rng.random_range(QUALITIES));
        }
        degradation
    }

    /// Like [`sample`], degraded.
    pub(super) fn sample(
        self,
        source: &Source<'_>,
        warp: &Warp,
        mirrored: bool,
        into: &Placement,
        image: &mut [f32],
    ) {
        if self == Self::NONE {
            return sample(source, warp, mirrored, into, image);
        }
        let pixels = |side: usize| ((side as f32 * self.scale).round() as usize).max(1);
        let (height, width) = (pixels(into.height), pixels(into.width));
        let channels = image.len() / (into.image.0 * into.image.1);
        let mut reduced = vec![0f32; channels * height * width];
        let all = Placement::whole(height, width);
        sample(source, warp, mirrored, &all, &mut reduced);
        if let Some(quality) = self.jpeg {
            compress(&mut reduced, (height, width), quality);
        }
        let planes = image.chunks_exact_mut(into.image.0 * into.image.1);
        for (reduced, plane) in reduced.chunks_exact(height * width).zip(planes) {
            enlarge(reduced, (height, width), into, plane);
        }
    }
}

/// Replaces levels `[C, H, W]`, with one channel or three, by those of a JPEG.
fn compress(levels: &mut [f32], (height, width): (usize, usize), quality: u8) {
    let plane = height * width;
    let channels = levels.len() / plane;
    let colour = if channels == 1 {
        ExtendedColorType::L8
    } else {
        ExtendedColorType::Rgb8
    };
    let mut pixels = vec![0u8; levels.len()];
    for (channel, plane) in levels.chunks_exact(plane).enumerate() {
        for (pixel, level) in pixels[channel..].iter_mut().step_by(channels).zip(plane) {
            *pixel = level.round() as u8;
        }
    }
    let mut file = vec![];
    JpegEncoder::new_with_quality(&mut file, quality)
        .encode(&pixels, width as u32, height as u32, colour)
        .expect("views have sides that a JPEG can have, and memory does not fail");
    let decoded = image::load_from_memory_with_format(&file, ImageFormat::Jpeg)
        .expect("what was just encoded can be decoded");
    let decoded = match channels {
        1 => decoded.into_luma8().into_raw(),
        _ => decoded.into_rgb8().into_raw(),
    };
    for (channel, plane) in levels.chunks_exact_mut(plane).enumerate() {
        for (level, pixel) in plane
            .iter_mut()
            .zip(decoded[channel..].iter().step_by(channels))
        {
            *level = f32::from(*pixel);
        }
    }
}

/// Enlarges one channel to the placement's rectangle of `plane` by bilinear interpolation, as a boat's
/// small crop is.
fn enlarge(reduced: &[f32], (height, width): (usize, usize), into: &Placement, plane: &mut [f32]) {
    let neighbours = |at: usize, of: usize, from: usize| {
        let position = ((at as f32 + 0.5) * from as f32 / of as f32 - 0.5).max(0.0);
        let first = (position as usize).min(from - 1);
        (
            first,
            (first + 1).min(from - 1),
            (position - first as f32).min(1.0),
        )
    };
    let columns: Vec<_> = (0..into.width)
        .map(|x| neighbours(x, into.width, width))
        .collect();
    for y in 0..into.height {
        let (above, below, fy) = neighbours(y, into.height, height);
        let (above, below) = (&reduced[above * width..], &reduced[below * width..]);
        let row = &mut plane[(into.top + y) * into.image.1 + into.left..];
        for (pixel, &(left, right, fx)) in row.iter_mut().zip(&columns) {
            let between = |row: &[f32]| row[left] + (row[right] - row[left]) * fx;
            let (upper, lower) = (between(above), between(below));
            *pixel = upper + (lower - upper) * fy;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedding::recipe::Recipe;
    use ndarray::Array3;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn sampled(degradation: Degradation, pixels: &Array3<u8>) -> Vec<f32> {
        let (height, width, channels) = pixels.dim();
        let source = Source {
            pixels,
            frame: [0.0, 0.0, width as f32, height as f32],
            smoothing: [0.0; 2],
        };
        let mut image = vec![0.0; height * width * channels];
        degradation.sample(
            &source,
            &Warp::IDENTITY,
            false,
            &Placement::whole(height, width),
            &mut image,
        );
        image
    }

    /// The mean absolute difference of horizontal neighbours.
    fn detail(image: &[f32], width: usize) -> f32 {
        let rows = image.chunks_exact(width);
        let differences: Vec<f32> = rows
            .flat_map(|row| row.windows(2).map(|pair| (pair[1] - pair[0]).abs()))
            .collect();
        differences.iter().sum::<f32>() / differences.len() as f32
    }

    #[test]
    fn a_reduced_view_keeps_its_light_and_loses_its_detail() {
        let checks =
            Array3::from_shape_fn((64, 128, 1), |(y, x, _)| ((x / 2 + y / 2) % 2) as u8 * 200);
        let quarter = Degradation {
            scale: 0.25,
            jpeg: None,
        };
        let image = sampled(quarter, &checks);
        let mean = image.iter().sum::<f32>() / image.len() as f32;
        assert!((mean - 100.0).abs() < 2.0, "{mean}");
        let plain = sampled(Degradation::NONE, &checks);
        assert!(detail(&image, 128) < 0.1 * detail(&plain, 128));
    }

    #[test]
    fn a_slope_survives_reduction() {
        let slope = Array3::from_shape_fn((32, 64, 3), |(_, x, c)| (x * 3 + c * 10) as u8);
        let half = Degradation {
            scale: 0.5,
            jpeg: None,
        };
        let (plain, image) = (sampled(Degradation::NONE, &slope), sampled(half, &slope));
        for (at, (a, b)) in plain.iter().zip(&image).enumerate() {
            if (4..60).contains(&(at % 64)) {
                assert!((a - b).abs() < 1.0, "{at}: {a} {b}");
            }
        }
    }

    #[test]
    fn a_worse_jpeg_differs_more() {
        let waves = Array3::from_shape_fn((48, 96, 3), |(y, x, c)| {
            let phase = x as f32 * 0.7 + y as f32 * 0.3 + c as f32;
            (128.0 + 100.0 * phase.sin()) as u8
        });
        let plain = sampled(Degradation::NONE, &waves);
        let error = |quality| {
            let image = sampled(
                Degradation {
                    scale: 1.0,
                    jpeg: Some(quality),
                },
                &waves,
            );
            let sum: f32 = plain.iter().zip(&image).map(|(a, b)| (a - b).abs()).sum();
            sum / plain.len() as f32
        };
        let (poor, good) = (error(30), error(90));
        assert!(good > 0.0 && good < poor && poor < 40.0, "{good} {poor}");
    }

    #[test]
    fn widths_are_drawn_down_to_the_smallest() {
        let mut settings = Recipe::default().augmentation;
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        assert_eq!(
            Degradation::random(&settings, 384, &mut rng),
            Degradation::NONE
        );
        settings.reduction = 1.0;
        settings.reduced_width = 48;
        let scales: Vec<f32> = (0..500)
            .map(|_| Degradation::random(&settings, 384, &mut rng).scale)
            .collect();
        assert!(scales.iter().all(|s| (0.124..=1.0).contains(s)));
        let small = scales.iter().filter(|s| **s < 0.125f32.sqrt()).count();
        assert!((200..300).contains(&small), "{small}");
        // A view smaller than the smallest width stays as it is.
        assert_eq!(Degradation::random(&settings, 32, &mut rng).scale, 1.0);
    }
}
