//! Augmentation: one warp (rotation, shear, scale, shift, perspective) sampled directly at the stage's
//! size, then brightness, blur, noise and erasing.

use super::recipe::Augmentation;
use ndarray::Array3;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

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
        let ([width, height], [x, y]) = Self::part(settings, rng);
        Self::new(angle, shear, [sx * width, sy * height], aspect).moved([dx + x, dy + y], [px, py])
    }

    /// The sides of a random part of the frame, as fractions of it, and its centre. Nothing is drawn if
    /// views show the whole frame, so that other variations stay as they were.
    fn part(settings: &Augmentation, rng: &mut impl Rng) -> ([f32; 2], [f32; 2]) {
        if settings.crop_area >= 1.0 && settings.crop_aspect <= 1.0 {
            return ([1.0; 2], [0.0; 2]);
        }
        let area = rng.random_range(settings.crop_area..=1.0);
        let most = settings.crop_aspect.ln();
        let stretch = rng.random_range(-most..=most).exp().sqrt();
        let sides = [area.sqrt() * stretch, area.sqrt() / stretch].map(|side| side.min(1.0));
        let centre = sides.map(|side| (1.0 - side) * rng.random_range(-1.0..=1.0));
        (sides, centre)
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

    #[cfg(test)]
    pub(super) fn shifted(by: [f32; 2]) -> Self {
        Self::IDENTITY.moved(by, [0.0; 2])
    }

    /// How far warps reach beyond a view of `aspect` on each side, as fractions of its width and height.
    /// Found from random ones, so that rare combinations of extremes do not widen every crop.
    pub(super) fn reach(settings: &Augmentation, aspect: f32) -> [f32; 2] {
        const WARPS: usize = 500;
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut reach = [0f32; 2];
        for _ in 0..WARPS {
            let warp = Self::random(settings, aspect, &mut rng);
            for (x, y) in [(-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)] {
                let (u, v) = warp.apply(x, y);
                for (reach, at) in reach.iter_mut().zip([u, v]) {
                    *reach = reach.max((at.abs() - 1.0) / 2.0);
                }
            }
        }
        reach.map(|fraction| fraction.min(1.0))
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

/// Pixels `[H, W, C] u8`, of which a frame is what a view shows without a warp.
pub(super) struct Source<'a> {
    pub(super) pixels: &'a Array3<u8>,
    /// Left, top, width and height of the frame, in pixels.
    pub(super) frame: [f32; 4],
    /// How much the pixels are smoothed horizontally and vertically, as variances in square pixels:
    /// [`REDUCED`], or 0 for pixels of a photo.
    pub(super) smoothing: [f32; 2],
}

/// The smoothing of a reduced photo: the variance of a triangle of one pixel to each side.
pub(super) const REDUCED: f32 = 1.0 / 6.0;

/// The rectangle of an image that a view fills; the rest of the image is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) top: usize,
    pub(super) left: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    /// Height and width of the image.
    pub(super) image: (usize, usize),
}

impl Placement {
    /// All of an image.
    pub(super) fn whole(height: usize, width: usize) -> Self {
        Self {
            top: 0,
            left: 0,
            height,
            width,
            image: (height, width),
        }
    }

    /// The aspect of the view, for [`Warp::random`].
    pub(super) fn aspect(&self) -> f32 {
        self.width as f32 / self.height as f32
    }
}

/// Offsets in source pixels, and weights, of the samples of a pixel along one axis, where a pixel of the
/// view covers `ratio` pixels of the source. With the bilinear interpolation of each sample, they have
/// the width of the triangle that evaluation reduces photos with, less the `smoothing` (a variance) that
/// the source has.
fn taps(ratio: f32, smoothing: f32) -> Vec<(f32, f32)> {
    let radius = (ratio * ratio - 6.0 * smoothing).max(1.0).sqrt();
    let side = (radius * radius - 1.0) / 12.0;
    if side < 0.01 {
        vec![(0.0, 1.0)]
    } else if side <= 1.0 / 3.0 {
        vec![(-1.0, side), (0.0, 1.0 - 2.0 * side), (1.0, side)]
    } else {
        let reach = (radius.ceil() as i32 - 1).min(16);
        let weight = |k: i32| 1.0 - k.abs() as f32 / radius;
        let sum: f32 = (-reach..=reach).map(weight).sum();
        (-reach..=reach)
            .map(|k| (k as f32, weight(k) / sum))
            .collect()
    }
}

/// Samples `source` through `warp` into an image `[C, height, width]` of levels 0..=255. A reduction
/// averages several bilinear samples for each pixel, so that fine patterns do not alias. Beyond the
/// source its edges are repeated.
pub(super) fn sample(
    source: &Source<'_>,
    warp: &Warp,
    mirrored: bool,
    into: &Placement,
    image: &mut [f32],
) {
    let (h, w, channels) = source.pixels.dim();
    let pixels = source
        .pixels
        .as_slice()
        .expect("crops are in standard layout");
    let [frame_x, frame_y, frame_w, frame_h] = source.frame;
    let (h_max, w_max) = ((h - 1) as f32, (w - 1) as f32);
    let (view_h, view_w) = (into.height as f32, into.width as f32);
    let side = if mirrored { -1.0 } else { 1.0 };
    // A step of one pixel to the right and one downwards, in source pixels. The perspective hardly changes
    // them.
    let m = &warp.0;
    let right = (side * m[0] * frame_w / view_w, m[3] * frame_h / view_w);
    let down = (side * m[1] * frame_w / view_h, m[4] * frame_h / view_h);
    let axis = |(x, y): (f32, f32), smoothing: f32| {
        let length = x.hypot(y).max(1e-6);
        let along =
            move |(offset, weight): (f32, f32)| (offset * x / length, offset * y / length, weight);
        taps(length, smoothing).into_iter().map(along)
    };
    let vertical: Vec<_> = axis(down, source.smoothing[1]).collect();
    let offsets: Vec<(f32, f32, f32)> = axis(right, source.smoothing[0])
        .flat_map(|(x, y, weight)| {
            let vertical = vertical.iter();
            vertical.map(move |(dx, dy, share)| (x + dx, y + dy, weight * share))
        })
        .collect();
    let plane = into.image.0 * into.image.1;
    let mut sums = [0f32; 4];
    for row in 0..into.height {
        let y = (row as f32 + 0.5) / view_h * 2.0 - 1.0;
        for column in 0..into.width {
            let x = (column as f32 + 0.5) / view_w * 2.0 - 1.0;
            let (u, v) = warp.apply(x, y);
            let u = frame_x + (side * u + 1.0) * 0.5 * frame_w - 0.5;
            let v = frame_y + (v + 1.0) * 0.5 * frame_h - 0.5;
            sums[..channels].fill(0.0);
            for (du, dv, weight) in &offsets {
                let (u, v) = ((u + du).clamp(0.0, w_max), (v + dv).clamp(0.0, h_max));
                let (left, top) = (u as usize, v as usize);
                let (right, bottom) = ((left + 1).min(w - 1), (top + 1).min(h - 1));
                let (fu, fv) = (u - left as f32, v - top as f32);
                for (c, sum) in sums[..channels].iter_mut().enumerate() {
                    let at = |y: usize, x: usize| f32::from(pixels[(y * w + x) * channels + c]);
                    let upper = at(top, left) * (1.0 - fu) + at(top, right) * fu;
                    let lower = at(bottom, left) * (1.0 - fu) + at(bottom, right) * fu;
                    *sum += (upper * (1.0 - fv) + lower * fv) * weight;
                }
            }
            let at = (into.top + row) * into.image.1 + into.left + column;
            for (c, sum) in sums[..channels].iter().enumerate() {
                image[c * plane + at] = *sum;
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
    let channels = target.len() / (height * width);
    if settings.colour > 0.0 && channels == 3 {
        tint(settings.colour, rng, target);
    }
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

/// Varies the brightness of each channel, and the saturation.
fn tint(most: f32, rng: &mut impl Rng, target: &mut [f32]) {
    let mut vary = || 1.0 + rng.random_range(-most..=most);
    let (gains, saturation) = ([vary(), vary(), vary()], vary());
    let (red, rest) = target.split_at_mut(target.len() / 3);
    let (green, blue) = rest.split_at_mut(red.len());
    for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
        let grey = 0.299 * *r + 0.587 * *g + 0.114 * *b;
        for (value, gain) in [r, g, b].into_iter().zip(gains) {
            *value = (grey + (*value - grey) * saturation) * gain;
        }
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
mod tests;
