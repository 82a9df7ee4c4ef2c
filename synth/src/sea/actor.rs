//! Distractors, which are not flukes: birds, boats, dorsal fins, backs, blows, weed, buoys,
//! splashes.

use super::canvas::{Colour, blob, line, polygon};
use super::level::Level;
use super::surface::Sea;
use crate::noise::{Noise, mix};
use crate::seed::Draw;
use image::RgbImage;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// The kind of a distractor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorKind {
    /// A bird, flying or on the water.
    Bird,
    /// A boat with hull, cabin, mast and wake.
    Boat,
    /// The dorsal fin of a dolphin or an orca.
    Fin,
    /// The arched back of a whale with a small fin, as seen before a fluke.
    Back,
    /// The blow of a whale.
    Blow,
    /// Floating weed or wood.
    Weed,
    /// A buoy, or a float of fishing gear.
    Buoy,
    /// The splash of a wave.
    Splash,
}

impl ActorKind {
    /// All kinds, in order of declaration.
    pub const ALL: [Self; 8] = [
        Self::Bird,
        Self::Boat,
        Self::Fin,
        Self::Back,
        Self::Blow,
        Self::Weed,
        Self::Buoy,
        Self::Splash,
    ];
}

/// A distractor, from its appearance to its disappearance.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The kind of distractor.
    pub kind: ActorKind,
    /// First appearance, in seconds of the video.
    pub start: f64,
    /// Duration in seconds.
    pub duration: f64,
    /// Position at the start: columns from the left, rows below the horizon.
    at: [f32; 2],
    /// Speed in pixels per second, x and y.
    speed: [f32; 2],
    /// Pixels per metre.
    metre: f32,
    colour: Colour,
    second: Colour,
    form: [f32; 4],
    noise: Noise,
}

impl Actor {
    /// Draws a distractor that appears at `start`, in seconds.
    pub fn draw(kind: ActorKind, sea: &Sea, start: f64, rng: &mut ChaCha8Rng) -> Self {
        let (width, height) = (sea.size.0 as f32, sea.size.1 as f32);
        let horizon = sea.level(start).horizon;
        // Size: from far to close. A metre is at most a seventh of the picture.
        let metre = rng.within(&((0.0006f32).ln()..=(0.05f32).ln())).exp() * width;
        let metre = match kind {
            ActorKind::Boat => metre * 0.35,
            ActorKind::Bird => metre * 0.8,
            _ => metre,
        };
        let jitter = rng.within(&(0.6..=1.7));
        let low = (-horizon).max(2.0);
        let most = (height - horizon).max(low + 4.0);
        let mut below = (sea.below_for(metre) * jitter).clamp(low, most - 2.0);
        if horizon < 0.0 || rng.chance(0.3) {
            below = rng.within(&(low..=most));
        }
        let flies = kind == ActorKind::Bird && rng.chance(0.7);
        if flies {
            below = rng.within(&(-0.4 * height..=0.7 * height));
        }
        let pace = match kind {
            ActorKind::Bird if flies => rng.around_zero(9.0),
            ActorKind::Boat => rng.around_zero(4.0),
            ActorKind::Fin | ActorKind::Back => rng.around_zero(2.5),
            _ => rng.around_zero(0.5),
        } * metre;
        let duration = match kind {
            ActorKind::Bird => rng.within(&(2.0..=15.0)),
            ActorKind::Boat => rng.within(&(15.0..=90.0)),
            ActorKind::Fin => rng.within(&(0.8..=2.5)),
            ActorKind::Back => rng.within(&(1.5..=4.0)),
            ActorKind::Blow => rng.within(&(1.5..=4.0)),
            ActorKind::Weed | ActorKind::Buoy => rng.within(&(15.0..=60.0)),
            ActorKind::Splash => rng.within(&(0.6..=2.0)),
        };
        let shade = rng.random::<f32>();
        let grey = |v: f32| [v, v, v];
        let (colour, second) = match kind {
            ActorKind::Bird if shade < 0.5 => (grey(225.0), grey(120.0)),
            ActorKind::Bird => (grey(mix(25.0, 90.0, rng.random())), grey(70.0)),
            ActorKind::Boat => {
                let base = mix(25.0, 235.0, rng.random());
                let hull = [0, 1, 2].map(|_| mix(base, mix(20.0, 240.0, rng.random()), 0.4));
                (hull, grey(mix(120.0, 245.0, rng.random())))
            }
            ActorKind::Fin | ActorKind::Back => {
                let dark = mix(18.0, 75.0, shade);
                ([dark * 0.95, dark, dark * 1.06], grey(215.0))
            }
            ActorKind::Weed => (
                [mix(40.0, 110.0, shade), mix(40.0, 85.0, shade), 35.0],
                grey(60.0),
            ),
            ActorKind::Buoy => (
                [
                    mix(120.0, 240.0, shade),
                    mix(30.0, 140.0, rng.random()),
                    40.0,
                ],
                grey(30.0),
            ),
            ActorKind::Blow | ActorKind::Splash => (grey(232.0), grey(232.0)),
        };
        let at = rng.within(&(0.0..=width));
        let time = duration;
        Self {
            kind,
            start,
            duration: f64::from(duration),
            // Half way through its duration it is within the picture.
            at: [at - pace * time / 2.0, below],
            speed: [
                pace,
                if flies {
                    rng.around_zero(1.5) * metre
                } else {
                    0.0
                },
            ],
            metre,
            colour,
            second,
            form: [
                rng.random(),
                rng.random(),
                rng.random(),
                if flies { 1.0 } else { 0.0 },
            ],
            noise: Noise(rng.random()),
        }
    }

    /// Paints it at `time`, in seconds of the video.
    pub fn paint(&self, level: &Level, time: f64, picture: &mut RgbImage) {
        let since = (time - self.start) as f32;
        let part = since / self.duration as f32;
        if !(0.0..=1.0).contains(&part) {
            return;
        }
        let x = self.at[0] + self.speed[0] * since;
        let y = level.at(x, picture.width() as f32 / 2.0) + self.at[1] + self.speed[1] * since;
        let (width, height) = (picture.width() as f32, picture.height() as f32);
        let reach = 14.0 * self.metre + 4.0;
        if x < -reach || y < -reach || x > width + reach || y > height + reach {
            return;
        }
        match self.kind {
            ActorKind::Bird => self.bird(x, y, since, picture),
            ActorKind::Boat => self.boat(x, y, picture),
            ActorKind::Fin => self.fin(x, y, part, picture),
            ActorKind::Back => self.back(x, y, part, picture),
            ActorKind::Blow => self.blow(x, y, part, picture),
            ActorKind::Weed => self.weed(x, y, picture),
            ActorKind::Buoy => self.buoy(x, y, since, picture),
            ActorKind::Splash => self.splash(x, y, part, picture),
        }
    }

    fn facing(&self) -> f32 {
        if self.speed[0] < 0.0 { -1.0 } else { 1.0 }
    }

    fn bird(&self, x: f32, y: f32, since: f32, picture: &mut RgbImage) {
        let m = self.metre;
        if self.form[3] < 0.5 {
            // On the water: a body, a neck, a head.
            let body = 0.25 + 0.2 * self.form[0];
            blob(
                picture,
                [x, y - 0.1 * m],
                [body * m, 0.14 * m],
                0.6,
                self.colour,
                1.0,
            );
            let head = [x + self.facing() * body * 0.8 * m, y - 0.3 * m];
            line(
                picture,
                [x + self.facing() * body * 0.6 * m, y - 0.1 * m],
                head,
                0.08 * m,
                self.colour,
                1.0,
            );
            blob(picture, head, [0.08 * m, 0.08 * m], 0.6, self.colour, 1.0);
            return;
        }
        let span = (0.45 + 0.5 * self.form[0]) * m;
        let beat = (since * (6.0 + 14.0 * self.form[1]) + 6.0 * self.form[2]).sin();
        let lift = (0.15 + 0.55 * beat) * span;
        let thick = (0.11 + 0.08 * self.form[1]) * span;
        for side in [-1.0, 1.0] {
            let elbow = [
                x + side * span * 0.5,
                y - lift.max(-0.2 * span) * 0.8 - 0.08 * span,
            ];
            let tip = [x + side * span, y - lift * 0.6];
            polygon(
                picture,
                &[
                    [x, y - thick],
                    elbow,
                    tip,
                    [elbow[0], elbow[1] + 1.6 * thick],
                    [x, y + thick],
                ],
                self.colour,
                1.0,
            );
            line(picture, elbow, tip, thick * 0.5, self.second, 0.7);
        }
        blob(
            picture,
            [x, y],
            [0.3 * span, 0.14 * span],
            0.6,
            self.colour,
            1.0,
        );
    }

    fn boat(&self, x: f32, y: f32, picture: &mut RgbImage) {
        let m = self.metre;
        let (long, high) = (
            (5.0 + 20.0 * self.form[0] * self.form[0]) * m,
            (1.2 + 1.5 * self.form[1]) * m,
        );
        let face = self.facing();
        let at = |along: f32, up: f32| [x + face * along * long, y - up * high];
        let hull = [at(-0.5, 1.0), at(0.5, 1.25), at(0.42, 0.0), at(-0.46, 0.0)];
        polygon(picture, &hull, self.colour, 1.0);
        let cabin = [at(-0.3, 1.0), at(-0.28, 2.4), at(0.05, 2.4), at(0.15, 1.1)];
        polygon(picture, &cabin, self.second, 1.0);
        polygon(
            picture,
            &[at(-0.22, 1.7), at(-0.22, 2.2), at(0.02, 2.2), at(0.04, 1.7)],
            [40.0; 3],
            0.8,
        );
        if self.form[2] > 0.3 {
            line(
                picture,
                at(-0.1, 2.4),
                at(-0.1, 3.6 + 4.0 * self.form[2]),
                0.2 * m,
                [70.0; 3],
                1.0,
            );
        }
        if self.form[2] > 0.75 {
            let sail = [at(-0.08, 1.6), at(-0.08, 6.5), at(0.4, 1.7)];
            polygon(picture, &sail, [235.0, 235.0, 230.0], 0.95);
        }
        for i in 0..6 {
            let t = i as f32 / 6.0;
            let wide = (0.12 + 0.1 * t) * long;
            blob(
                picture,
                at(-0.5 - 0.5 * t, 0.05),
                [wide, 0.3 * high],
                0.2,
                [230.0; 3],
                0.5 * (1.0 - t),
            );
        }
    }

    fn fin(&self, x: f32, y: f32, part: f32, picture: &mut RgbImage) {
        let m = self.metre;
        // Up, forward, and down again.
        let up = (part * std::f32::consts::PI).sin();
        let (base, high) = (
            (0.35 + 0.5 * self.form[0]) * m,
            (0.3 + 1.2 * self.form[1] * self.form[1]) * m,
        );
        let face = self.facing();
        self.hump(
            x,
            y,
            (1.2 + 0.8 * self.form[2]) * m * up,
            0.22 * m * up,
            picture,
        );
        let foot = y - 0.16 * m * up;
        let corners: Vec<[f32; 2]> = fin_outline(0.3 + 0.7 * self.form[3].max(self.form[2]))
            .iter()
            .map(|[u, v]| [x - face * (u - 0.3) * base, foot - v * high * up])
            .collect();
        polygon(picture, &corners, self.colour, 1.0);
        self.wash(x, y, 0.9 * m * up, 0.14 * m, 0.45 * self.form[2], picture);
    }

    fn back(&self, x: f32, y: f32, part: f32, picture: &mut RgbImage) {
        let m = self.metre;
        let up = (part * std::f32::consts::PI).sin();
        let (half, high) = (
            (2.5 + 2.5 * self.form[0]) * m,
            (0.5 + 0.9 * self.form[1]) * m * up,
        );
        self.hump(x, y, half, high, picture);
        let face = self.facing();
        let small = 0.4 * m;
        let corners: Vec<[f32; 2]> = fin_outline(0.5)
            .iter()
            .map(|[u, v]| {
                [
                    x - face * (0.25 * half + u * 1.6 * small),
                    y - high * 0.93 - v * small * up,
                ]
            })
            .collect();
        polygon(picture, &corners, self.colour, 1.0);
        // Highlights on wet skin along the top.
        line(
            picture,
            [x - 0.5 * half, y - 0.72 * high],
            [x + 0.3 * half, y - 0.86 * high],
            0.07 * m,
            [190.0; 3],
            0.35 * self.form[3].max(self.form[2]),
        );
        self.wash(x, y, half, 0.25 * m, 0.6 * self.form[2], picture);
    }

    fn hump(&self, x: f32, y: f32, half: f32, high: f32, picture: &mut RgbImage) {
        let corners: Vec<[f32; 2]> = (0..=16)
            .map(|i| {
                let t = i as f32 / 8.0 - 1.0;
                [x + t * half, y - high * (1.0 - t * t).powf(0.8)]
            })
            .collect();
        polygon(picture, &corners, self.colour, 1.0);
    }

    fn wash(&self, x: f32, y: f32, half: f32, high: f32, strength: f32, picture: &mut RgbImage) {
        for i in 0..7u32 {
            let off = self.noise.normal(i, 3) * 0.55;
            let size = 0.15 + 0.2 * self.noise.normal(i, 4).abs();
            blob(
                picture,
                [x + off * half, y + 0.2 * high],
                [size * half + 0.5, high * (0.4 + size)],
                0.1,
                self.second,
                strength,
            );
        }
    }

    fn blow(&self, x: f32, y: f32, part: f32, picture: &mut RgbImage) {
        let m = self.metre;
        let tall = (1.5 + 2.5 * self.form[0]) * m * (part * 5.0).min(1.0);
        let wide = (0.5 + 0.8 * self.form[1]) * m * (0.6 + part);
        let thin = (1.0 - part).powf(1.3);
        let drift = self.form[2] * 1.5 * m * part;
        for i in 0..22u32 {
            let up = self.noise.hash(i, 1) as f32 / u32::MAX as f32;
            let side = self.noise.normal(i, 2) * 0.35 * wide * (0.35 + up);
            let size = wide * (0.25 + 0.35 * up);
            let place = [x + side + drift * up, y - up * tall];
            blob(
                picture,
                place,
                [size, size * 1.2],
                0.0,
                self.colour,
                0.32 * thin,
            );
        }
        if self.form[3] < 0.5 && part < 0.6 {
            let dark = [45.0, 48.0, 52.0];
            blob(picture, [x, y], [1.1 * m, 0.25 * m], 0.6, dark, 1.0 - part);
        }
    }

    fn weed(&self, x: f32, y: f32, picture: &mut RgbImage) {
        let m = self.metre;
        let reach = (0.5 + 3.0 * self.form[0]) * m;
        for i in 0..12u32 {
            let (dx, dy) = (self.noise.normal(i, 1) * 0.5, self.noise.normal(i, 2) * 0.1);
            let size = reach * (0.1 + 0.18 * self.noise.normal(i, 3).abs());
            blob(
                picture,
                [x + dx * reach, y + dy * reach],
                [size, size * 0.3],
                0.4,
                self.colour,
                0.5 + 0.4 * self.form[1],
            );
        }
    }

    fn buoy(&self, x: f32, y: f32, since: f32, picture: &mut RgbImage) {
        let m = self.metre;
        let size = (0.25 + 0.4 * self.form[0]) * m;
        let tilt = 0.25 * (since * 1.3 + 6.0 * self.form[1]).sin();
        blob(
            picture,
            [x, y - 0.4 * size],
            [size, size * 0.8],
            0.7,
            self.colour,
            1.0,
        );
        let top = [x + tilt * 4.0 * size, y - (1.5 + 3.0 * self.form[2]) * size];
        line(
            picture,
            [x, y - 0.5 * size],
            top,
            0.25 * size,
            self.second,
            1.0,
        );
    }

    fn splash(&self, x: f32, y: f32, part: f32, picture: &mut RgbImage) {
        let m = self.metre;
        let wide = (0.6 + 2.5 * self.form[0]) * m;
        let up = (1.0 - (2.0 * part - 0.6).powi(2)).max(0.05);
        for i in 0..26u32 {
            let (dx, high) = (self.noise.normal(i, 1) * 0.4, self.noise.normal(i, 2).abs());
            let size = m * (0.06 + 0.22 * self.noise.normal(i, 3).abs());
            let place = [
                x + dx * wide,
                y - high * (0.2 + 0.9 * self.form[1]) * m * up,
            ];
            blob(
                picture,
                place,
                [size * 1.4, size],
                0.3,
                self.colour,
                0.75 * (1.0 - part),
            );
        }
    }
}

/// A dorsal fin of height and base 1; `hook` bends its tip back.
fn fin_outline(hook: f32) -> [[f32; 2]; 8] {
    [
        [0.0, -0.2],
        [0.12, 0.45],
        [0.38, 0.85],
        [0.62 + 0.4 * hook, 1.0],
        [0.68 + 0.15 * hook, 0.75],
        [0.72, 0.4],
        [0.85, 0.1],
        [1.05, -0.2],
    ]
}
