//! The sea around a fluke: waves in perspective, the horizon, foam and sky.

use super::pose::View;
use crate::noise::{Noise, mix, step};
use crate::seed::Draw;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// A colour: red, green, blue, 0..=255.
pub type Colour = [f32; 3];

/// The sea of one photograph or of one point in time of a sequence.
#[derive(Clone, Debug)]
pub struct Background {
    /// Height of the horizon above the water line at the fluke, in half spans.
    pub horizon: f32,
    /// How flat the view of the sea is: the ratio of distance to breadth.
    graze: f32,
    /// Number of waves per half span.
    frequency: f32,
    roughness: f32,
    /// Height of the waves above which there is foam.
    whitecaps: f32,
    water: Colour,
    sky: Colour,
    land: Option<Noise>,
    /// Time in seconds, which moves the waves.
    pub time: f32,
    noise: Noise,
}

const WATERS: [Colour; 5] = [
    [44.0, 66.0, 92.0],
    [70.0, 82.0, 92.0],
    [52.0, 84.0, 88.0],
    [24.0, 60.0, 110.0],
    [96.0, 104.0, 110.0],
];

impl Background {
    /// Draws a sea and its weather.
    pub fn draw(rng: &mut ChaCha8Rng) -> Self {
        let water = WATERS[rng.random_range(0..WATERS.len())];
        let brightness = rng.within(&(0.7..=1.7));
        let overcast = rng.random::<f32>();
        Self {
            horizon: if rng.chance(0.3) {
                rng.within(&(0.35..=1.2))
            } else {
                rng.within(&(1.5..=6.0))
            },
            graze: rng.within(&(3.0..=9.0)),
            frequency: rng.within(&(1.2..=4.0)),
            roughness: rng.within(&(0.25..=1.0)),
            whitecaps: rng.within(&(0.45..=1.2)),
            water: water.map(|c| c * brightness),
            sky: [
                mix(150.0, 205.0, overcast),
                mix(180.0, 208.0, overcast),
                mix(225.0, 214.0, overcast),
            ],
            land: rng.chance(0.25).then(|| Noise(rng.random())),
            time: 0.0,
            noise: Noise(rng.random()),
        }
    }

    /// The colour of the sea or sky at a pixel.
    pub fn colour(&self, view: &View, px: f32, py: f32) -> Colour {
        let [x, y] = view.level(px, py);
        let horizon = view.water + self.horizon;
        let below = horizon - y;
        if below <= 0.0 {
            return self.above_horizon(x, -below);
        }
        // 1 at the fluke, more beyond it; distant waves blend into a mean colour.
        let depth = (self.horizon / below).min(40.0);
        let place = [
            x * depth * self.frequency,
            self.graze * self.horizon * depth * self.frequency,
        ];
        let footprint = self.graze * depth * depth * self.frequency / view.zoom;
        let (mut height, mut fine) = (0.0, 0.0);
        let (mut scale, mut amplitude) = (0.5, 0.7);
        for octave in 0..5_u32 {
            let smear = footprint * scale;
            let seen = amplitude / (1.0 + smear * smear);
            if seen < 0.03 {
                break;
            }
            let drift = self.time * (0.5 + 0.5 * octave as f32);
            let wave = Noise(self.noise.0.wrapping_add(octave)).at(
                place[0] * scale + drift * if octave % 2 == 0 { 0.6 } else { -0.5 },
                place[1] * scale * 0.55 + place[0] * 0.2 * scale - drift * 0.8,
            );
            // Crests are sharper than troughs.
            height += seen * (0.75 - 1.5 * wave.abs());
            fine = wave * seen;
            scale *= 2.1;
            amplitude *= 0.8;
        }
        let glance =
            (0.28 + 0.36 * height * self.roughness + 0.06 * depth.min(6.0)).clamp(0.0, 1.0);
        let foam = step(
            self.whitecaps,
            self.whitecaps + 0.35,
            height * self.roughness + fine,
        );
        std::array::from_fn(|c| {
            let sea = mix(
                self.water[c] * 0.55,
                0.5 * (self.water[c] + self.sky[c]),
                glance,
            );
            mix(sea, 235.0, foam)
        })
    }

    fn above_horizon(&self, x: f32, up: f32) -> Colour {
        if let Some(land) = self.land {
            let ridge = 0.14 + 0.14 * land.octaves(x * 0.8, 0.0, 4, 0.5);
            if up < ridge {
                let rock = 0.75 + 0.35 * land.octaves(x * 6.0, up * 14.0, 3, 0.6);
                return [78.0 * rock, 88.0 * rock, 92.0 * rock];
            }
        }
        let high = step(0.0, 1.5, up);
        self.sky.map(|c| mix(c, c * 0.88, high))
    }

    /// Foam cover of a pixel where the fluke leaves the water, 0 to 1. `strength` 0 is no foam.
    pub fn splash(&self, view: &View, strength: f32, px: f32, py: f32) -> f32 {
        let [x, y] = view.level(px, py);
        let (across, up) = (
            x / (0.35 + 0.6 * strength),
            (y - view.water) / (0.03 + 0.16 * strength),
        );
        let away = across * across + up * up;
        if strength <= 0.0 || away > 3.0 {
            return 0.0;
        }
        let near = (-away).exp();
        let churn = Noise(self.noise.0 ^ 0x5eaf).octaves(
            x * 7.0 + 0.3 * self.time,
            y * 14.0 - 1.5 * self.time,
            4,
            0.65,
        );
        step(0.35, 0.75, near * (0.35 + 0.5 * strength) + 0.6 * churn) * near.sqrt()
    }

    /// The height of the water at `x` in the world, where waves are up to `waves` high.
    pub fn level_at(&self, view: &View, waves: f32, x: f32) -> f32 {
        view.water
            + waves
                * Noise(self.noise.0 ^ 0x1eaf).octaves(x * 3.0 + self.time, 0.7 * self.time, 3, 0.5)
    }
}
