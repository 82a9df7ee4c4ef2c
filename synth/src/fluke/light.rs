//! Light, lens and sensor: from a scene to the grey levels of a file.

use super::background::Colour;
use super::difficulty::Difficulty;
use crate::noise::{Noise, mix};
use crate::seed::Draw;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// The light of a photograph.
#[derive(Clone, Debug)]
pub struct Light {
    /// Unit vector towards the sun.
    sun: [f32; 3],
    /// Fraction of ambient light.
    ambient: f32,
    /// Brightness of the light on the fluke.
    fluke_gain: f32,
    haze: f32,
    exposure: f32,
    contrast: f32,
    tint: Colour,
    /// Change of brightness from the centre to the right and the bottom edge.
    gradient: [f32; 2],
    grey: bool,
}

impl Light {
    /// Draws the light of one photograph.
    pub fn draw(difficulty: &Difficulty, rng: &mut ChaCha8Rng) -> Self {
        let sun = [
            rng.around_zero(1.0),
            rng.within(&(-0.1..=1.0)),
            rng.within(&(0.2..=1.0)),
        ];
        let length = sun.iter().map(|c| c * c).sum::<f32>().sqrt();
        let backlit = rng.chance(difficulty.backlit);
        let gain = rng.within(&difficulty.backlit_gain);
        let warmth = rng.around_zero(0.14);
        Self {
            sun: sun.map(|c| c / length),
            ambient: rng.within(&(0.35..=0.75)),
            fluke_gain: if backlit {
                gain
            } else {
                rng.within(&(0.8..=1.25))
            },
            haze: rng.low_within(&difficulty.haze, 2.0),
            exposure: rng.within(&difficulty.exposure),
            contrast: rng.within(&difficulty.contrast),
            tint: [1.0 + warmth, 1.0, 1.0 - warmth],
            gradient: [rng.around_zero(0.25), rng.around_zero(0.2)],
            grey: rng.chance(difficulty.grey),
        }
    }

    /// The sun's direction, a unit vector.
    pub fn sun(&self) -> [f32; 3] {
        self.sun
    }

    /// Skin of this colour in this light, where it faces the sun with this cosine (1 fully, 0 or
    /// less not at all).
    pub fn on_skin(&self, skin: Colour, facing: f32) -> Colour {
        let gain = self.fluke_gain * (self.ambient + (1.15 - self.ambient) * facing.max(0.0));
        skin.map(|c| mix(c * gain, 165.0, self.haze))
    }

    /// The whole picture's exposure, contrast and colour; `place` is the pixel's offset from the
    /// centre, -1..=1 on each axis.
    pub fn develop(&self, colour: Colour, place: [f32; 2]) -> Colour {
        let bright =
            self.exposure * (1.0 + self.gradient[0] * place[0] + self.gradient[1] * place[1]);
        let levels: Colour = std::array::from_fn(|c| {
            (colour[c] * bright * self.tint[c] - 110.0) * self.contrast + 110.0
        });
        if self.grey {
            [0.299 * levels[0] + 0.587 * levels[1] + 0.114 * levels[2]; 3]
        } else {
            levels
        }
    }
}

/// Effects of lens, shutter, sensor and file format.
#[derive(Clone, Debug)]
pub struct Lens {
    /// Standard deviation of the defocus, in pixels.
    pub defocus: f32,
    /// Motion blur in pixels, x and y.
    pub motion: [f32; 2],
    /// Standard deviation of the sensor noise, in grey levels.
    pub grain: f32,
    /// JPEG quality, 1..=100.
    pub quality: u8,
    noise: Noise,
}

impl Lens {
    /// Draws a lens for pictures `width` pixels wide.
    pub fn draw(difficulty: &Difficulty, width: u32, rng: &mut ChaCha8Rng) -> Self {
        let scale = width as f32 / 448.0;
        let angle = rng.within(&(0.0..=3.1));
        let motion = rng.low_within(&difficulty.motion, 2.5) * scale;
        Self {
            defocus: rng.low_within(&difficulty.defocus, 1.6) * scale,
            motion: [motion * angle.cos(), motion * angle.sin()],
            grain: rng.low_within(&difficulty.grain, 1.8),
            quality: rng.within(&difficulty.quality) as u8,
            noise: Noise(rng.random()),
        }
    }

    /// The same lens with the noise of another frame.
    pub fn at_moment(&self, moment: u32) -> Self {
        Self {
            noise: Noise(self.noise.0.wrapping_add(moment.wrapping_mul(0x9e37_79b9))),
            ..self.clone()
        }
    }

    /// Blurs a picture of `width` pixels a row.
    pub fn blur(&self, picture: &mut [Colour], width: usize) {
        let length = self.motion[0].hypot(self.motion[1]);
        if length >= 0.75 {
            self.shake(picture, width, length);
        }
        if self.defocus > 0.2 {
            // Three passes on each axis with `side` left and right have a variance of 2 `side`;
            // variances of passes add up.
            let variance = self.defocus * self.defocus;
            let passes = (variance / 0.6).ceil().clamp(1.0, 8.0);
            let side = (variance / passes / 2.0).min(0.33);
            for _ in 0..passes as usize {
                soften(picture, width, side);
            }
        }
    }

    /// Averages along the motion of the picture while the shutter is open.
    fn shake(&self, picture: &mut [Colour], width: usize, length: f32) {
        let source = picture.to_vec();
        let height = source.len() / width;
        let last = length.ceil().max(1.0);
        let way: Vec<[isize; 2]> = (0..=last as usize)
            .map(|step| {
                self.motion
                    .map(|m| (m * (step as f32 / last - 0.5)).round() as isize)
            })
            .collect();
        let share = 1.0 / way.len() as f32;
        for (i, target) in picture.iter_mut().enumerate() {
            let (x, y) = (i % width, i / width);
            let mut sum = [0.0; 3];
            for [dx, dy] in &way {
                let (sx, sy) = (
                    x.saturating_add_signed(*dx).min(width - 1),
                    y.saturating_add_signed(*dy).min(height - 1),
                );
                let pixel = source[sy * width + sx];
                sum = std::array::from_fn(|c| sum[c] + pixel[c]);
            }
            *target = sum.map(|c| c * share);
        }
    }

    /// The byte of a pixel: noise added, clamped to 0..=255.
    pub fn expose(&self, colour: Colour, x: u32, y: u32) -> [u8; 3] {
        let luma = self.grain * self.noise.normal(x, y);
        let chroma = 0.35 * self.grain * Noise(self.noise.0 ^ 0x77).normal(x, y);
        let grey = colour[0] == colour[1] && colour[1] == colour[2];
        let grain = if grey {
            [luma; 3]
        } else {
            [luma + chroma, luma, luma - chroma]
        };
        std::array::from_fn(|c| (colour[c] + grain[c]).clamp(0.0, 255.0) as u8)
    }
}

/// Mixes each pixel with `side` of either neighbour, horizontally and then vertically.
fn soften(picture: &mut [Colour], width: usize, side: f32) {
    let middle = 1.0 - 2.0 * side;
    for row in picture.chunks_exact_mut(width) {
        let mut before = row[0];
        for x in 0..width {
            let (here, after) = (row[x], row[(x + 1).min(width - 1)]);
            row[x] = std::array::from_fn(|c| here[c] * middle + (before[c] + after[c]) * side);
            before = here;
        }
    }
    let mut before = picture[..width].to_vec();
    let height = picture.len() / width;
    for y in 0..height {
        for (x, before) in before.iter_mut().enumerate() {
            let i = y * width + x;
            let (here, after) = (
                picture[i],
                picture[if y + 1 < height { i + width } else { i }],
            );
            picture[i] = std::array::from_fn(|c| here[c] * middle + (before[c] + after[c]) * side);
            *before = here;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fluke::difficulty::FIELD;
    use crate::seed::{Purpose, generator};

    fn lens(defocus: f32, motion: [f32; 2]) -> Lens {
        let drawn = Lens::draw(
            &FIELD,
            448,
            &mut generator(1, Purpose::CataloguePhoto, 1, 1),
        );
        Lens {
            defocus,
            motion,
            grain: 0.0,
            ..drawn
        }
    }

    #[test]
    fn blur_spreads_light_and_conserves_it() {
        for lens in [
            lens(1.5, [0.0; 2]),
            lens(0.0, [4.0, 0.0]),
            lens(0.8, [1.0, 2.0]),
        ] {
            let mut picture = vec![[0.0; 3]; 31 * 21];
            picture[10 * 31 + 15] = [900.0; 3];
            lens.blur(&mut picture, 31);
            let sum: f32 = picture.iter().map(|c| c[0]).sum();
            assert!((sum - 900.0).abs() < 1.0, "{sum}");
            assert!(picture[10 * 31 + 15][0] < 400.0);
        }
    }

    #[test]
    fn defocus_is_the_standard_deviation_of_a_point() {
        for defocus in [0.6, 1.0, 1.6_f32] {
            let mut picture = vec![[0.0; 3]; 41 * 41];
            picture[20 * 41 + 20] = [1.0; 3];
            lens(defocus, [0.0; 2]).blur(&mut picture, 41);
            let variance: f32 = picture
                .iter()
                .enumerate()
                .map(|(i, c)| c[0] * ((i % 41) as f32 - 20.0).powi(2))
                .sum();
            assert!(
                (variance.sqrt() - defocus).abs() < 0.15,
                "{defocus} became {}",
                variance.sqrt()
            );
        }
    }

    #[test]
    fn a_grey_photo_has_grey_grain() {
        let lens = Lens {
            grain: 8.0,
            ..lens(0.0, [0.0; 2])
        };
        let [r, g, b] = lens.expose([100.0; 3], 3, 4);
        assert!(r == g && g == b);
        assert_ne!(
            lens.expose([100.0; 3], 3, 4),
            lens.at_moment(1).expose([100.0; 3], 3, 4)
        );
    }
}
