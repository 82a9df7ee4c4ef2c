//! The fluke of a photo in 64 x 32 grey pixels, to distinguish copies from similar photos.

use flukewatch_common::prepare::{Colour, Fit, Preparation};
use flukewatch_dataset::{DatasetError, LabelledPhoto};

const HEIGHT: usize = 32;
const WIDTH: usize = 64;
/// Largest shift between two thumbnails in pixels: a box drawn again is slightly different.
const MAX_SHIFT: isize = 2;

/// The photo's box in grey, stretched to 64 x 32 pixels, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail(Vec<u8>);

impl Thumbnail {
    /// Decodes and crops a photo.
    ///
    /// # Errors
    /// If the photo cannot be read or its box lies outside it.
    pub fn of(photo: &LabelledPhoto) -> Result<Self, DatasetError> {
        let preparation = Preparation {
            height: HEIGHT as u32,
            width: WIDTH as u32,
            colour: Colour::Grey,
            fit: Fit::Stretch,
            padding: 0.0,
            mean: vec![0.0],
            std: vec![1.0],
        };
        let pixels = photo.prepared(&preparation)?;
        Ok(Self(pixels.into_iter().collect()))
    }

    #[cfg(test)]
    pub(super) fn from_pixels(pixels: Vec<u8>) -> Self {
        Self(pixels)
    }

    pub(super) fn mirrored(&self) -> Self {
        Self(
            self.0
                .chunks_exact(WIDTH)
                .flat_map(|row| row.iter().rev().copied())
                .collect(),
        )
    }

    /// Perceptual hash: a difference hash of 16 x 16 fields, which does not depend on brightness
    /// and contrast. A bit says whether a field is lighter than its right neighbour, in the last
    /// column than the field below.
    pub(super) fn hash(&self) -> Hash {
        const SIDE: usize = 16;
        let (tall, wide) = (HEIGHT / SIDE, WIDTH / SIDE);
        let field = |row: usize, column: usize| -> u32 {
            (0..tall * wide)
                .map(|i| {
                    let (y, x) = (row * tall + i / wide, column * wide + i % wide);
                    u32::from(self.0[y * WIDTH + x])
                })
                .sum()
        };
        let mut hash = [0u64; 4];
        for bit in 0..SIDE * SIDE {
            let (row, column) = (bit / SIDE, bit % SIDE);
            let other = if column + 1 < SIDE {
                field(row, column + 1)
            } else {
                field((row + 1) % SIDE, column)
            };
            hash[bit / 64] |= u64::from(field(row, column) > other) << (bit % 64);
        }
        Hash(hash)
    }

    /// Normalised correlation of the fine structure, in [-1, 1], the highest over small shifts.
    /// Fine structure is each pixel minus the mean of its 5 x 5 neighbourhood: all flukes share a
    /// broad shape, so plain correlation is high between whales, but fine structure differs even
    /// between two photos of one whale.
    pub(super) fn correlation(&self, other: &Self) -> f32 {
        let (a, b) = (self.fine_structure(), other.fine_structure());
        let mut best = -1f32;
        for dy in -MAX_SHIFT..=MAX_SHIFT {
            for dx in -MAX_SHIFT..=MAX_SHIFT {
                best = best.max(correlation_at(&a, &b, dy, dx));
            }
        }
        best
    }

    fn fine_structure(&self) -> Vec<f32> {
        const REACH: usize = 2;
        let mut fine = Vec::with_capacity(self.0.len());
        for y in 0..HEIGHT {
            let rows = y.saturating_sub(REACH)..(y + REACH + 1).min(HEIGHT);
            for x in 0..WIDTH {
                let columns = x.saturating_sub(REACH)..(x + REACH + 1).min(WIDTH);
                let sum: u32 = rows
                    .clone()
                    .flat_map(|y| &self.0[y * WIDTH + columns.start..y * WIDTH + columns.end])
                    .map(|&p| u32::from(p))
                    .sum();
                let mean = sum as f32 / (rows.len() * columns.len()) as f32;
                fine.push(f32::from(self.0[y * WIDTH + x]) - mean);
            }
        }
        fine
    }
}

/// Correlation of `a` with `b` shifted by `dy` and `dx`, over common pixels; 0 if either is flat.
fn correlation_at(a: &[f32], b: &[f32], dy: isize, dx: isize) -> f32 {
    let overlap = |shift: isize, side: usize| {
        let from = shift.max(0) as usize;
        let to = (side as isize + shift.min(0)) as usize;
        from..to
    };
    let (mut ab, mut aa, mut bb) = (0f32, 0f32, 0f32);
    for y in overlap(dy, HEIGHT) {
        for x in overlap(dx, WIDTH) {
            let p = a[y * WIDTH + x];
            let q = b[(y as isize - dy) as usize * WIDTH + (x as isize - dx) as usize];
            ab += p * q;
            aa += p * p;
            bb += q * q;
        }
    }
    if aa > 0.0 && bb > 0.0 {
        ab / (aa * bb).sqrt()
    } else {
        0.0
    }
}

/// 256 bits, nearly all of which copies share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hash([u64; 4]);

impl Hash {
    /// Number of differing bits; about 128 for unrelated pictures.
    pub(super) fn distance(&self, other: &Self) -> u32 {
        self.0
            .iter()
            .zip(other.0)
            .map(|(a, b)| (a ^ b).count_ones())
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pattern by number that is not symmetric.
    fn pattern(number: u32) -> Thumbnail {
        let mixed = |x: usize, y: usize| {
            ((x / 4 + (y / 4) * 16) as u32 ^ number.wrapping_mul(0x9e37_79b9))
                .wrapping_mul(0x85eb_ca6b)
                .rotate_left(15)
                .wrapping_mul(0xc2b2_ae35)
        };
        Thumbnail(
            (0..HEIGHT * WIDTH)
                .map(|i| 60 + (mixed(i % WIDTH, i / WIDTH) >> 25) as u8)
                .collect(),
        )
    }

    fn changed(t: &Thumbnail, change: impl Fn(u8) -> u8) -> Thumbnail {
        Thumbnail(t.0.iter().map(|&p| change(p)).collect())
    }

    #[test]
    fn brightness_and_contrast_do_not_matter() {
        let a = pattern(1);
        let brighter = changed(&a, |p| (f32::from(p) * 0.7 + 40.0).round() as u8);
        assert!(a.hash().distance(&brighter.hash()) < 6);
        assert!(a.correlation(&brighter) > 0.99);
    }

    #[test]
    fn different_pictures_are_far_apart() {
        let (a, b) = (pattern(1), pattern(2));
        assert!(a.hash().distance(&b.hash()) > 90);
        assert!(a.correlation(&b) < 0.4, "{}", a.correlation(&b));
    }

    #[test]
    fn a_mirror_image_is_found_only_mirrored() {
        let a = pattern(3);
        assert_eq!(a.mirrored().mirrored(), a);
        assert!(a.correlation(&a.mirrored()) < 0.4);
        assert!(a.correlation(&a.mirrored().mirrored()) > 0.999);
    }

    #[test]
    fn a_shift_of_two_pixels_is_tolerated_and_one_of_eight_is_not() {
        let a = pattern(4);
        let moved = |by: usize| {
            Thumbnail(
                (0..HEIGHT * WIDTH)
                    .map(|i| a.0[i - i % WIDTH + (i % WIDTH + by).min(WIDTH - 1)])
                    .collect(),
            )
        };
        assert!(a.correlation(&moved(2)) > 0.9);
        assert!(a.correlation(&moved(8)) < 0.5);
    }

    #[test]
    fn a_flat_picture_correlates_with_nothing() {
        let flat = Thumbnail(vec![90; HEIGHT * WIDTH]);
        assert_eq!(flat.correlation(&flat), 0.0);
        assert_eq!(flat.correlation(&pattern(5)), 0.0);
    }
}
