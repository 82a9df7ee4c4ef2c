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

    /// A random warp for views of `aspect`, their width divided by their height.
    pub(super) fn random(settings: &Augmentation, aspect: f32, rng: &mut impl Rng) -> Self {
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
        Self::new(angle, shear, [sx, sy], aspect).moved([dx, dy], [px, py])
    }

    /// Scales, shears and rotates. In pixels of the view, where a unit of x is `aspect` times one of y,
    /// this is a rotation of a horizontal shear.
    fn new(angle: f32, shear: f32, [sx, sy]: [f32; 2], aspect: f32) -> Self {
        let (sin, cos) = angle.sin_cos();
        Self([
            cos * sx,
            (shear * cos - sin / aspect) * sy,
            0.0,
            sin * aspect * sx,
            (shear * sin * aspect + cos) * sy,
            0.0,
            0.0,
            0.0,
        ])
    }

    /// With a translation and the two coefficients of a perspective.
    fn moved(mut self, [dx, dy]: [f32; 2], [px, py]: [f32; 2]) -> Self {
        (self.0[2], self.0[5]) = (dx, dy);
        (self.0[6], self.0[7]) = (px, py);
        self
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

    /// The linear part in pixels of a view.
    fn in_pixels(warp: &Warp, aspect: f32) -> [[f32; 2]; 2] {
        let m = warp.0;
        [[m[0], m[1] * aspect], [m[3] / aspect, m[4]]]
    }

    fn singular_values(m: [[f32; 2]; 2]) -> [f32; 2] {
        let [[a, b], [c, d]] = m.map(|row| row.map(f64::from));
        let (sum, det) = (a * a + b * b + c * c + d * d, a * d - b * c);
        let spread = (sum * sum - 4.0 * det * det).max(0.0).sqrt();
        [(sum + spread) / 2.0, (sum - spread) / 2.0].map(|square| square.sqrt() as f32)
    }

    const ASPECTS: [f32; 3] = [1.0, 2.0, 0.75];

    #[test]
    fn a_rotation_keeps_lengths_in_any_aspect() {
        for aspect in ASPECTS {
            let warp = Warp::new(10f32.to_radians(), 0.0, [1.0; 2], aspect);
            for value in singular_values(in_pixels(&warp, aspect)) {
                assert!((value - 1.0).abs() < 1e-3, "aspect {aspect}: {value}");
            }
        }
    }

    #[test]
    fn a_shear_keeps_areas_and_heights_in_any_aspect() {
        for aspect in ASPECTS {
            let [[a, b], [c, d]] = in_pixels(&Warp::new(0.0, 0.15, [1.0; 2], aspect), aspect);
            assert_eq!((a, c, d), (1.0, 0.0, 1.0));
            // The upper edge moves by that fraction of the width against the lower one.
            assert!((b - 0.15 * aspect).abs() < 1e-6);
            let angle = 10f32.to_radians();
            let [[a, b], [c, d]] = in_pixels(&Warp::new(angle, 0.15, [1.0; 2], aspect), aspect);
            assert!((a * d - b * c - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn a_disc_stays_a_disc() {
        for (height, width) in [(96, 96), (64, 128), (128, 96)] {
            let (y_centre, x_centre) = ((height - 1) as f32 / 2.0, (width - 1) as f32 / 2.0);
            let disc = Array3::from_shape_fn((height, width, 1), |(y, x, _)| {
                let (dy, dx) = (y as f32 - y_centre, x as f32 - x_centre);
                if dx * dx + dy * dy < 400.0 { 255 } else { 0 }
            });
            let aspect = width as f32 / height as f32;
            let rotation = Warp::new(30f32.to_radians(), 0.0, [1.0; 2], aspect);
            let mut target = vec![0.0; height * width];
            sample(&disc, &rotation, false, height, width, &mut target);
            let differing = target
                .iter()
                .zip(disc.iter())
                .filter(|(a, b)| (*a - f32::from(**b)).abs() > 128.0)
                .count();
            assert!(
                differing < 40,
                "{height} x {width}: {differing} pixels differ"
            );
        }
    }

    #[test]
    fn the_same_seed_varies_the_same() {
        let settings = Recipe::default().augmentation;
        let draw = |seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut target = vec![0.0; 32 * 64];
            sample(
                &gradient(),
                &Warp::random(&settings, 2.0, &mut rng),
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
