//! The colouring of a fluke's underside, from almost black to almost white, as in humpbacks.

use super::outline::Edges;
use crate::noise::{Noise, mix, step};
use crate::seed::Draw;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// How the colouring of one lobe deviates from that of the other.
#[derive(Clone, Debug)]
struct LobeTone {
    whiteness: f32,
    centre: f32,
    reach: f32,
}

/// The colouring of one individual.
#[derive(Clone, Debug)]
pub struct Pigment {
    lobes: [LobeTone; 2],
    /// Width of the dark centre and of the trailing and leading margin.
    middle: f32,
    trailing: f32,
    leading: f32,
    /// How irregular the dark centre's border and the white patches are.
    patch_size: f32,
    patchiness: f32,
    /// Softness of the border between white and black: small is sharp.
    softness: f32,
    /// Strength of the dark streaks that fan out from the centre, and of fine flecks.
    streaks: f32,
    flecks: f32,
    fleck_size: f32,
    /// Yellow-brown film of diatoms.
    film: f32,
    white: [f32; 3],
    black: [f32; 3],
    noise: Noise,
}

impl Pigment {
    /// Draws a colouring.
    pub fn draw(rng: &mut ChaCha8Rng) -> Self {
        // Most flukes are mixed; the extremes are rarer but occur.
        let whiteness = rng.within(&(-0.62..=0.72));
        let centre = rng.within(&(0.42..=0.7));
        let reach = rng.within(&(0.3..=0.6));
        let lobe = |rng: &mut ChaCha8Rng| LobeTone {
            whiteness: whiteness + rng.around_zero(0.25),
            centre: centre + rng.around_zero(0.12),
            reach: reach + rng.around_zero(0.12),
        };
        let warmth = rng.around_zero(0.05);
        let bright = rng.within(&(0.68..=0.9));
        let dark = rng.within(&(0.05..=0.13));
        Self {
            lobes: [lobe(rng), lobe(rng)],
            middle: rng.within(&(0.05..=0.28)),
            trailing: rng.low_within(&(0.02..=0.3), 1.8),
            leading: rng.low_within(&(0.01..=0.25), 1.8),
            patch_size: rng.within(&(1.6..=4.5)),
            patchiness: rng.within(&(0.35..=1.1)),
            softness: rng.low_within(&(0.03..=0.5), 1.5),
            streaks: rng.low_within(&(0.0..=0.6), 1.3),
            flecks: rng.low_within(&(0.0..=0.8), 1.5),
            fleck_size: rng.within(&(14.0..=40.0)),
            film: rng.low_within(&(0.0..=0.9), 4.0),
            white: [bright + warmth, bright + 0.3 * warmth, bright - warmth],
            black: [dark, dark + 0.005, dark + 0.02],
            noise: Noise(rng.random()),
        }
    }

    /// Whiteness of the skin at (`u`, `v`), where the fluke has these edges at `u`: 0 black, 1
    /// white.
    pub fn whiteness(&self, edges: &Edges, u: f32, v: f32) -> f32 {
        let lobe = &self.lobes[usize::from(u >= 0.0)];
        let (s, n) = (edges.along, self.noise);
        let (from_top, from_bottom) = (edges.trailing - v, v - edges.leading);

        let patch = n.octaves(u * self.patch_size, v * self.patch_size, 4, 0.55);
        let wander = 0.5 + 0.7 * Noise(n.0 ^ 1).octaves(u * 7.0, v * 7.0, 3, 0.6);
        let spread = (s - lobe.centre) / lobe.reach;
        // Streaks follow the lobe: long in its direction, narrow across.
        let slope = (v + 0.25) / (0.25 + s);
        let streak = Noise(n.0 ^ 2).octaves(slope * 16.0, s * 2.2, 2, 0.6);
        let fleck = Noise(n.0 ^ 3).octaves(u * self.fleck_size, v * self.fleck_size, 2, 0.6);

        let mut level =
            lobe.whiteness + 0.35 - 0.45 * spread * spread + 1.5 * self.patchiness * patch;
        level -= 2.0 * (1.0 - step(0.3, 1.7, s / (self.middle * (0.6 + wander).max(0.2))));
        level -= 1.6
            * (1.0
                - step(
                    0.0,
                    1.0,
                    from_top / (self.trailing * (0.4 + wander).max(0.15)),
                ));
        level -= 1.4
            * (1.0
                - step(
                    0.0,
                    1.0,
                    from_bottom / (self.leading * (0.4 + wander).max(0.15)),
                ));
        level -= 1.2 * self.streaks * (streak - 0.1).max(0.0);
        level += self.flecks * fleck;
        step(-self.softness, self.softness, level)
    }

    /// The colour of skin of this whiteness at (`u`, `v`): red, green, blue in 0..=1.
    pub fn colour(&self, whiteness: f32, u: f32, v: f32) -> [f32; 3] {
        let film = Noise(self.noise.0 ^ 4).octaves(u * 2.5, v * 4.0, 3, 0.6);
        let film = self.film * step(-0.1, 0.5, film) * (0.25 + 0.75 * whiteness);
        let shade = 1.0 + 0.12 * Noise(self.noise.0 ^ 5).octaves(u * 3.0, v * 3.0, 2, 0.5);
        let tint = [1.0, 1.0 - 0.3 * film, 1.0 - 0.65 * film];
        std::array::from_fn(|c| mix(self.black[c], self.white[c], whiteness) * shade * tint[c])
    }
}
