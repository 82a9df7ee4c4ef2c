//! Augmentation: one warp (rotation, shear, scale, shift, perspective) sampled directly at the stage's
//! size, then brightness, blur, noise and erasing. Works on the `u8` pixels of
//! [`flukewatch_common::prepare`].

use super::recipe::Augmentation;
use ndarray::Array3;
use rand::{Rng, RngExt};

/// A projective map from output to input coordinates, both in -1..=1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Warp([f32; 8]);

impl Warp {
    pub(super) const IDENTITY: Self = Self([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);

    pub(super) fn random(settings: &Augmentation, rng: &mut impl Rng) -> Self {
        let mut either = |by: f32| {
            if by > 0.0 {
                rng.random_range(-by..=by)
            } else {
                0.0
            }
        };
        let angle = either(settings.rotation).to_radians();
        let shear = either(settings.shear);
        let (sx, sy) = (1.0 + either(settings.scale), 1.0 + either(settings.scale));
        let (dx, dy) = (either(settings.shift) * 2.0, either(settings.shift) * 2.0);
        let (px, py) = (either(settings.perspective), either(settings.perspective));
        let (sin, cos) = angle.sin_cos();
        // Frames are about twice as wide as high: a rotation must not shear.
        const ASPECT: f32 = 2.0;
        Self([
            cos * sx,
            (shear * cos - sin / ASPECT) * sy,
            dx,
            sin * ASPECT * sx,
            (shear * sin * ASPECT + cos) * sy,
            dy,
            px,
            py,
        ])
    }

    fn apply(&self, x: f32, y: f32) -> (f32, f32) {
        let m = &self.0;
        let w = 1.0 / (m[6] * x + m[7] * y + 1.0);
        (
            (m[0] * x + m[1] * y + m[2]) * w,
            (m[3] * x + m[4] * y + m[5]) * w,
        )
    }
}

/// Samples `source` `[H, W, C] u8` through `warp` into `[C, height, width]` levels 0..=255, bilinearly;
/// edges are repeated outside.
pub(super) fn sample(
    source: &Array3<u8>,
    warp: &Warp,
    mirrored: bool,
    height: usize,
    width: usize,
    target: &mut [f32],
) {
    let (h, w, channels) = source.dim();
    let pixels = source
        .as_slice()
        .expect("prepared photos are in standard layout");
    let (h_max, w_max) = ((h - 1) as f32, (w - 1) as f32);
    for row in 0..height {
        let y = (row as f32 + 0.5) / height as f32 * 2.0 - 1.0;
        for column in 0..width {
            let x = (column as f32 + 0.5) / width as f32 * 2.0 - 1.0;
            let (u, v) = warp.apply(x, y);
            let u = if mirrored { -u } else { u };
            let u = ((u + 1.0) * 0.5 * w as f32 - 0.5).clamp(0.0, w_max);
            let v = ((v + 1.0) * 0.5 * h as f32 - 0.5).clamp(0.0, h_max);
            let (left, top) = (u as usize, v as usize);
            let (right, bottom) = ((left + 1).min(w - 1), (top + 1).min(h - 1));
            let (fu, fv) = (u - left as f32, v - top as f32);
            for c in 0..channels {
                let at = |y: usize, x: usize| f32::from(pixels[(y * w + x) * channels + c]);
                let upper = at(top, left) * (1.0 - fu) + at(top, right) * fu;
                let lower = at(bottom, left) * (1.0 - fu) + at(bottom, right) * fu;
                target[(c * height + row) * width + column] = upper * (1.0 - fv) + lower * fv;
            }
        }
    }
}

/// Brightness, blur, noise and erasing on `[C, height, width]` levels.
pub(super) fn disturb(
    settings: &Augmentation,
    rng: &mut impl Rng,
    height: usize,
    width: usize,
    target: &mut [f32],
) {
    if settings.contrast > 0.0 {
        let gain = 1.0 + rng.random_range(-settings.contrast..=settings.contrast);
        let offset = 128.0 * rng.random_range(-settings.contrast..=settings.contrast) * 0.5;
        let mean = target.iter().sum::<f32>() / target.len() as f32;
        for v in target.iter_mut() {
            *v = (*v - mean) * gain + mean + offset;
        }
    }
    if rng.random::<f32>() < settings.blur {
        blur(height, width, target);
    }
    if settings.noise > 0.0 {
        let std = rng.random_range(0.0..=settings.noise);
        // The difference of two uniform numbers is triangular: close enough to sensor noise, and cheap.
        let spread = std * 6f32.sqrt();
        for v in target.iter_mut() {
            *v += (rng.random::<f32>() - rng.random::<f32>()) * spread;
        }
    }
    if rng.random::<f32>() < settings.erasing {
        erase(rng, height, width, target);
    }
    for v in target.iter_mut() {
        *v = v.clamp(0.0, 255.0);
    }
}

/// A 3 x 3 binomial blur of each channel.
fn blur(height: usize, width: usize, target: &mut [f32]) {
    let mut line = vec![0f32; width.max(height)];
    for plane in target.chunks_exact_mut(height * width) {
        for row in plane.chunks_exact_mut(width) {
            line[..width].copy_from_slice(row);
            for x in 0..width {
                row[x] = (line[x.saturating_sub(1)] + 2.0 * line[x] + line[(x + 1).min(width - 1)])
                    / 4.0;
            }
        }
        for x in 0..width {
            for y in 0..height {
                line[y] = plane[y * width + x];
            }
            for y in 0..height {
                plane[y * width + x] =
                    (line[y.saturating_sub(1)] + 2.0 * line[y] + line[(y + 1).min(height - 1)])
                        / 4.0;
            }
        }
    }
}

/// Fills a rectangle of 2 to 12 % of the picture with a random grey, as spray and water do (Zhong et
/// al., 2020).
fn erase(rng: &mut impl Rng, height: usize, width: usize, target: &mut [f32]) {
    let area = rng.random_range(0.02..0.12f32) * (height * width) as f32;
    let aspect = rng.random_range(0.4..2.5f32);
    let h = ((area * aspect).sqrt() as usize).clamp(1, height);
    let w = ((area / aspect).sqrt() as usize).clamp(1, width);
    let (y, x) = (
        rng.random_range(0..=height - h),
        rng.random_range(0..=width - w),
    );
    let grey = rng.random_range(0.0..255.0f32);
    for plane in target.chunks_exact_mut(height * width) {
        for row in plane.chunks_exact_mut(width).skip(y).take(h) {
            row[x..x + w].fill(grey);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedding::recipe::Recipe;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn gradient() -> Array3<u8> {
        Array3::from_shape_fn((32, 64, 1), |(y, x, _)| (x * 3 + y) as u8)
    }

    #[test]
    fn the_identity_copies() {
        let mut target = vec![0.0; 32 * 64];
        sample(&gradient(), &Warp::IDENTITY, false, 32, 64, &mut target);
        assert!(
            target
                .iter()
                .zip(gradient().iter())
                .all(|(a, b)| (a - f32::from(*b)).abs() < 1e-3)
        );
    }

    #[test]
    fn the_mirror_swaps_left_and_right() {
        let mut target = vec![0.0; 32 * 64];
        sample(&gradient(), &Warp::IDENTITY, true, 32, 64, &mut target);
        assert!((target[0] - 63.0 * 3.0).abs() < 1e-3);
    }

    #[test]
    fn a_rotation_keeps_the_shape() {
        // A disc in a frame of 2:1 must stay a disc.
        let disc = Array3::from_shape_fn((64, 128, 1), |(y, x, _)| {
            let (dy, dx) = (y as f32 - 31.5, x as f32 - 63.5);
            if dx * dx + dy * dy < 400.0 { 255 } else { 0 }
        });
        let (sin, cos) = 30f32.to_radians().sin_cos();
        let rotation = Warp([cos, -sin / 2.0, 0.0, sin * 2.0, cos, 0.0, 0.0, 0.0]);
        let mut target = vec![0.0; 64 * 128];
        sample(&disc, &rotation, false, 64, 128, &mut target);
        let differing = target
            .iter()
            .zip(disc.iter())
            .filter(|(a, b)| (*a - f32::from(**b)).abs() > 128.0)
            .count();
        assert!(differing < 40, "{differing} pixels differ");
    }

    #[test]
    fn the_same_seed_varies_the_same() {
        let settings = Recipe::default().augmentation;
        let draw = |seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut target = vec![0.0; 32 * 64];
            sample(
                &gradient(),
                &Warp::random(&settings, &mut rng),
                false,
                32,
                64,
                &mut target,
            );
            disturb(&settings, &mut rng, 32, 64, &mut target);
            target
        };
        assert_eq!(draw(5), draw(5));
        assert_ne!(draw(5), draw(6));
        assert!(draw(7).iter().all(|v| (0.0..=255.0).contains(v)));
    }
}
