//! Tiles of wave heights that repeat seamlessly, as mipmaps: made once, sampled for every pixel.

use crate::noise::Noise;
use crate::seed::{Draw, Purpose, generator};
use rand::RngExt;
use std::f32::consts::{PI, TAU};
use std::sync::OnceLock;

/// Points along each side of the finest level.
pub const SIDE: usize = 512;
/// Number of waves that are summed.
const WAVES: usize = 40;
/// Number of different tiles.
pub const TILES: usize = 4;

/// One tile of waves; heights have mean 0 and standard deviation 1 on the finest level.
#[derive(Debug)]
pub struct Ripples {
    levels: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    side: usize,
    heights: Vec<f32>,
}

/// The tile of this number, made at the first call.
pub fn tile(number: usize) -> &'static Ripples {
    static MADE: [OnceLock<Ripples>; TILES] = [const { OnceLock::new() }; TILES];
    let number = number % TILES;
    MADE[number].get_or_init(|| Ripples::make(number as u32))
}

impl Ripples {
    fn make(number: u32) -> Self {
        let rng = &mut generator(0x5ea, Purpose::Ripples, number, 0);
        let mut heights = vec![0f32; SIDE * SIDE];
        for _ in 0..WAVES {
            // From three to about seventy waves per side; long ones are higher. They run roughly
            // with the wind.
            let many = 3.0 * rng.within(&(0.0..=3.1)).exp();
            let angle = rng.around_zero(1.2);
            let (kx, ky) = (
                (many * angle.sin()).round(),
                (many * angle.cos()).round().max(1.0),
            );
            let phase = rng.within(&(0.0..=TAU));
            let high = many.powf(-0.75);
            let sharp = number.is_multiple_of(2);
            for (y, row) in heights.chunks_exact_mut(SIDE).enumerate() {
                let start = phase + TAU * ky * y as f32 / SIDE as f32;
                for (x, height) in row.iter_mut().enumerate() {
                    let at = start + TAU * kx * x as f32 / SIDE as f32;
                    // Crests are sharper than troughs.
                    *height += high
                        * if sharp {
                            1.0 - (PI / 2.0) * (at / 2.0).sin().abs()
                        } else {
                            at.sin()
                        };
                }
            }
        }
        let grain = Noise(rng.random());
        for (i, height) in heights.iter_mut().enumerate() {
            *height += 0.06 * grain.normal((i % SIDE) as u32, (i / SIDE) as u32);
        }
        let count = heights.len() as f32;
        let mean = heights.iter().sum::<f32>() / count;
        let deviation = (heights.iter().map(|h| (h - mean) * (h - mean)).sum::<f32>() / count)
            .sqrt()
            .max(1e-6);
        heights
            .iter_mut()
            .for_each(|h| *h = (*h - mean) / deviation);
        let mut levels = vec![Level {
            side: SIDE,
            heights,
        }];
        while let Some(finer) = levels.last().filter(|l| l.side > 8) {
            let coarser = finer.halved();
            levels.push(coarser);
        }
        Self { levels }
    }

    /// The level with a point spacing of about `footprint` (1 is a whole side).
    pub fn level_for(&self, footprint: f32) -> usize {
        let points = (footprint * SIDE as f32).max(1.0);
        (points.log2().round() as usize).min(self.levels.len() - 1)
    }

    /// The height at (`u`, `v`) on a level; repeats with period 1.
    #[inline]
    pub fn at(&self, level: usize, u: f32, v: f32) -> f32 {
        let level = &self.levels[level];
        let side = level.side;
        let (x, y) = (u * side as f32, v * side as f32);
        let (ix, iy) = (whole_below(x), whole_below(y));
        let (fx, fy) = (x - ix as f32, y - iy as f32);
        let mask = side - 1;
        let (x0, y0) = (ix as usize & mask, iy as usize & mask);
        let (x1, y1) = ((x0 + 1) & mask, (y0 + 1) & mask);
        let (upper, lower) = (
            &level.heights[y0 * side..][..side],
            &level.heights[y1 * side..][..side],
        );
        let top = upper[x0] + (upper[x1] - upper[x0]) * fx;
        let bottom = lower[x0] + (lower[x1] - lower[x0]) * fx;
        top + (bottom - top) * fy
    }
}

impl Level {
    fn halved(&self) -> Self {
        let side = self.side / 2;
        let at = |x: usize, y: usize| self.heights[y * self.side + x];
        let heights = (0..side * side)
            .map(|i| {
                let (x, y) = (2 * (i % side), 2 * (i / side));
                (at(x, y) + at(x + 1, y) + at(x, y + 1) + at(x + 1, y + 1)) / 4.0
            })
            .collect();
        Self { side, heights }
    }
}

/// `floor(x)`; faster than `floor` on processors without an instruction for that.
#[inline]
fn whole_below(x: f32) -> i32 {
    let whole = x as i32;
    whole - i32::from(whole as f32 > x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waves_repeat_seamlessly_with_standard_deviation_1() {
        let ripples = tile(0);
        for i in 0..50 {
            let v = i as f32 * 0.0373 - 3.0;
            let step = (ripples.at(0, 0.9999, v) - ripples.at(0, 1.0001, v)).abs();
            assert!(step < 0.2, "{step}");
            assert!((ripples.at(0, 0.25, v) - ripples.at(0, 1.25, v)).abs() < 1e-2);
        }
        let heights = &ripples.levels[0].heights;
        let square = heights.iter().map(|h| h * h).sum::<f32>() / heights.len() as f32;
        assert!((square - 1.0).abs() < 0.01, "{square}");
    }
}
