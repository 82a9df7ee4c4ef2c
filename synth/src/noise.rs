//! Noise as a function of a seed and a position: value noise, and sums of its octaves.

/// A field of smooth random values. The same seed gives the same field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Noise(pub u32);

impl Noise {
    /// The field at (`x`, `y`), in -1..=1; features are about one unit wide.
    pub(crate) fn at(self, x: f32, y: f32) -> f32 {
        let (ix, iy) = (below(x), below(y));
        let (tx, ty) = (
            ease((x - ix as f32).clamp(0.0, 1.0)),
            ease((y - iy as f32).clamp(0.0, 1.0)),
        );
        let (ix, iy) = (ix as u32, iy as u32);
        let (jx, jy) = (ix.wrapping_add(1), iy.wrapping_add(1));
        let top = mix(self.corner(ix, iy), self.corner(jx, iy), tx);
        let bottom = mix(self.corner(ix, jy), self.corner(jx, jy), tx);
        mix(top, bottom, ty)
    }

    /// `octaves` fields summed, each with twice the frequency and `gain` times the amplitude of the
    /// previous one, scaled to about -1..=1. Each is rotated against the previous one to hide the
    /// lattice.
    pub(crate) fn octaves(self, mut x: f32, mut y: f32, octaves: u32, gain: f32) -> f32 {
        let (mut sum, mut amplitude, mut total) = (0.0, 1.0, 0.0);
        for octave in 0..octaves {
            sum += amplitude * Self(self.0.wrapping_add(octave.wrapping_mul(0x632b_e5ab))).at(x, y);
            total += amplitude;
            amplitude *= gain;
            (x, y) = (1.6 * x - 1.2 * y + 17.3, 1.2 * x + 1.6 * y - 9.1);
        }
        if total > 0.0 { sum / total } else { 0.0 }
    }

    /// A pseudo-random integer for the pixel or cell (`x`, `y`).
    pub(crate) fn hash(self, x: u32, y: u32) -> u32 {
        let mut h =
            x.wrapping_mul(0x9e37_79b1) ^ y.wrapping_mul(0x85eb_ca77).rotate_left(13) ^ self.0;
        h = (h ^ (h >> 16)).wrapping_mul(0x7feb_352d);
        h = (h ^ (h >> 15)).wrapping_mul(0x846c_a68b);
        h ^ (h >> 16)
    }

    /// A roughly normally distributed value (mean 0, standard deviation 1) for the pixel (`x`,
    /// `y`): the sum of four uniform bytes.
    pub(crate) fn normal(self, x: u32, y: u32) -> f32 {
        let sum: u32 = self
            .hash(x, y)
            .to_le_bytes()
            .into_iter()
            .map(u32::from)
            .sum();
        (sum as f32 - 510.0) / 147.8
    }

    fn corner(self, x: u32, y: u32) -> f32 {
        (self.hash(x, y) >> 8) as f32 * (2.0 / 16_777_215.0) - 1.0
    }
}

/// Linear interpolation from `a` to `b`.
pub(crate) fn mix(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// 0 up to `from`, 1 from `to` on, smooth in between.
pub(crate) fn step(from: f32, to: f32, x: f32) -> f32 {
    ease(((x - from) / (to - from)).clamp(0.0, 1.0))
}

/// `floor(x)`. Many times faster than `floor` on processors without an instruction for that.
fn below(x: f32) -> i32 {
    let whole = x as i32;
    if whole as f32 > x {
        whole.wrapping_sub(1)
    } else {
        whole
    }
}

fn ease(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_smooth_bounded_and_unique_to_its_seed() {
        let noise = Noise(7);
        let mut differs = 0;
        for i in 0..2000 {
            let (x, y) = (i as f32 * 0.137 - 90.0, i as f32 * -0.071 + 20.0);
            let here = noise.octaves(x, y, 4, 0.5);
            assert!((-1.0..=1.0).contains(&here));
            assert!((noise.at(x, y) - noise.at(x + 1e-3, y)).abs() < 0.01);
            differs += usize::from((here - Noise(8).octaves(x, y, 4, 0.5)).abs() > 0.01);
        }
        assert!(differs > 1900);
    }

    #[test]
    fn a_field_is_defined_everywhere() {
        assert!(Noise(1).at(f32::MAX, -1e30).is_finite());
    }

    #[test]
    fn grain_has_mean_0_and_standard_deviation_1() {
        let values: Vec<f32> = (0..10_000)
            .map(|i| Noise(3).normal(i % 100, i / 100))
            .collect();
        let mean = values.iter().sum::<f32>() / 10_000.0;
        let variance = values.iter().map(|v| v * v).sum::<f32>() / 10_000.0;
        assert!(
            mean.abs() < 0.05 && (variance - 1.0).abs() < 0.05,
            "mean {mean}, variance {variance}"
        );
    }

    #[test]
    fn a_step_is_monotonic() {
        assert_eq!(
            (
                step(1.0, 2.0, 0.5),
                step(1.0, 2.0, 1.5),
                step(1.0, 2.0, 9.0)
            ),
            (0.0, 0.5, 1.0)
        );
    }
}
