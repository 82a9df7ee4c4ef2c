//! Water on and in front of a fluke: the film on its skin, the streams from its edges, drops in the
//! air.

use super::background::Colour;
use super::difficulty::Difficulty;
use super::pose::View;
use super::skin::Skin;
use crate::noise::{Noise, mix, step};
use crate::seed::{Draw, Span};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// The grey level of broken water and highlights.
pub const WHITE_WATER: f32 = 225.0;

/// How much water runs off a fluke.
#[derive(Clone, Debug)]
pub struct Water {
    /// Height of the waves at the fluke, in half spans.
    pub waves: f32,
    /// Amount of foam where the fluke leaves the water.
    pub foam: f32,
    film: f32,
    sheen: f32,
    streams: f32,
    drops: f32,
    noise: Noise,
}

impl Water {
    /// Draws the water of one photograph.
    pub fn draw(difficulty: &Difficulty, rng: &mut ChaCha8Rng) -> Self {
        Self {
            waves: rng.within(&difficulty.waves),
            foam: rng.low_within(&difficulty.foam, 1.4),
            film: rng.low_within(&difficulty.film, 2.0),
            sheen: rng.low_within(&difficulty.sheen, 1.5),
            streams: rng.low_within(&difficulty.streams, 2.0),
            drops: rng.low_within(&difficulty.drops, 2.5),
            noise: Noise(rng.random()),
        }
    }

    /// The same water at another time, its amount multiplied by `amount`.
    pub fn at_moment(&self, moment: u32, amount: f32) -> Self {
        Self {
            film: (self.film * amount).min(1.0),
            streams: self.streams * amount,
            drops: self.drops * amount,
            foam: (self.foam * (0.6 + 0.4 * amount)).min(1.2),
            noise: Noise(self.noise.0.wrapping_add(moment.wrapping_mul(0x85eb_ca6b))),
            ..self.clone()
        }
    }

    /// Fraction of the skin at (`u`, `v`) that highlights and running water hide: 0 none.
    pub fn on_skin(&self, u: f32, v: f32) -> f32 {
        let mut white = 0.0;
        if self.sheen > 0.02 {
            let shine = Noise(self.noise.0 ^ 1).octaves(u * 2.2, v * 4.0, 3, 0.6);
            white += self.sheen * step(0.05, 0.75, shine);
        }
        if self.film > 0.02 {
            // Water runs down in strands.
            let strand = Noise(self.noise.0 ^ 2).octaves(u * 17.0, v * 2.5, 2, 0.6);
            let where_wet = Noise(self.noise.0 ^ 3).at(u * 2.0, v * 1.5);
            white += self.film * step(-0.1, 0.6, strand + 0.8 * where_wet);
        }
        white.min(0.9)
    }

    /// Adds streams and drops to a picture with rows of `width` pixels.
    pub fn fall(
        &self,
        skin: &Skin,
        view: &View,
        picture: &mut [Colour],
        width: usize,
        rng: &mut ChaCha8Rng,
    ) {
        let edge = skin.edge();
        if edge.is_empty() {
            return;
        }
        for _ in 0..self.streams as usize {
            let [u, v] = edge[rng.random_range(0..edge.len())];
            let (start, height) = view.project(u, v);
            let length = view.zoom * rng.low_within(&(0.05..=0.6), 1.5);
            let (strength, broad) = (rng.within(&(0.15..=0.6)), rng.low_within(&(0.6..=2.2), 2.0));
            if height > view.water {
                let down = length.min((height - view.water) * view.zoom);
                stream(picture, width, start, down, broad, strength, self.noise);
            }
        }
        for _ in 0..self.drops as usize {
            let [u, v] = edge[rng.random_range(0..edge.len())];
            let ([x, y], _) = view.project(u, v);
            let place = [
                x + view.zoom * rng.around_zero(0.3),
                y + view.zoom * (rng.around_zero(0.35) + 0.1),
            ];
            let radius = rng.low_within(&DROP, 3.0) * (view.zoom / 150.0).max(0.5);
            drop(picture, width, place, radius, rng.within(&(0.3..=0.95)));
        }
    }
}

/// The size of a drop, in pixels where the fluke is 300 pixels wide.
const DROP: Span = 0.5..=2.4;

fn stream(
    picture: &mut [Colour],
    width: usize,
    from: [f32; 2],
    length: f32,
    broad: f32,
    strength: f32,
    noise: Noise,
) {
    for step in 0..length.max(0.0) as usize {
        let fallen = step as f32;
        let x = from[0] + 1.2 * noise.at(fallen * 0.05, from[0]);
        let thin = 1.0 - fallen / length;
        let alpha = strength * thin * (0.6 + 0.4 * noise.at(fallen * 0.3, from[0] * 3.0));
        drop(
            picture,
            width,
            [x, from[1] + fallen],
            broad * (0.6 + 0.4 * thin),
            alpha,
        );
    }
}

/// A blob of white water with a soft rim, slightly taller than wide.
fn drop(picture: &mut [Colour], width: usize, [x, y]: [f32; 2], radius: f32, alpha: f32) {
    let height = picture.len() / width;
    let reach = radius * 1.3 + 1.0;
    let range = |from: f32, to: f32, most: usize| {
        (from.ceil().clamp(0.0, most as f32) as usize)
            ..((to.floor() + 1.0).clamp(0.0, most as f32) as usize)
    };
    for row in range(y - reach, y + reach, height) {
        for column in range(x - reach, x + reach, width) {
            let (dx, dy) = (column as f32 - x, (row as f32 - y) / 1.3);
            let cover = alpha * (radius - dx.hypot(dy) + 0.5).clamp(0.0, 1.0);
            let pixel = &mut picture[row * width + column];
            *pixel = pixel.map(|c| mix(c, WHITE_WATER, cover));
        }
    }
}
