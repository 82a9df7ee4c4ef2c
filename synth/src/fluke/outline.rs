//! The outline of a fluke, flat, in units of half its span.
//!
//! `u` is the horizontal axis from the left tip (about -1) to the right one (about 1), `v` the
//! vertical axis upwards from the notch at 0: the trailing edge is above, as in a diving whale, the
//! leading edge below, and below that the stalk. Each lobe is a function of the distance from the
//! centre line, so that an edge is a height for each `u`.

use crate::noise::{Noise, mix, step};
use crate::seed::Draw;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Bounds of every fluke: `u` from -`REACH` to `REACH`, `v` from `BOTTOM` to `TOP`.
pub const REACH: f32 = 1.04;
/// The lowest `v` of a fluke's picture; the stalk continues below it.
pub const BOTTOM: f32 = -0.95;
/// The highest `v` of a fluke's picture.
pub const TOP: f32 = 0.6;

/// A cut in the trailing edge.
#[derive(Clone, Copy, Debug)]
struct Nick {
    at: f32,
    half_width: f32,
    depth: f32,
}

/// One lobe of a fluke.
#[derive(Clone, Debug)]
struct Lobe {
    reach: f32,
    tip_height: f32,
    sweep: f32,
    bulge: f32,
    bulge_at: f32,
    hook: f32,
    belly: f32,
    fullness: f32,
    serration: f32,
    teeth: f32,
    noise: Noise,
    nicks: Vec<Nick>,
}

/// The edges of a fluke at one `u`.
#[derive(Clone, Copy, Debug)]
pub struct Edges {
    /// Position along the lobe: 0 at the centre line, 1 at the tip.
    pub along: f32,
    /// The height of the trailing edge.
    pub trailing: f32,
    /// The height of the leading edge.
    pub leading: f32,
}

/// The outline of one individual.
#[derive(Clone, Debug)]
pub struct Outline {
    lobes: [Lobe; 2],
    root: f32,
    notch_depth: f32,
    notch_half_width: f32,
    stalk_half_width: f32,
    stalk_flare: f32,
}

impl Outline {
    /// Draws an outline.
    pub fn draw(rng: &mut ChaCha8Rng) -> Self {
        // What both lobes share, and then the deviation of each.
        let tip_height = rng.within(&(0.04..=0.34));
        let sweep = rng.within(&(1.2..=2.6));
        let bulge = rng.within(&(-0.01..=0.13));
        let hook = rng.low_within(&(0.0..=0.12), 1.5);
        let belly = rng.within(&(1.2..=1.9));
        let fullness = rng.within(&(0.46..=0.7));
        let serration = rng.low_within(&(0.012..=0.06), 1.3);
        let teeth = rng.within(&(6.0..=13.0));
        let lobe = |rng: &mut ChaCha8Rng| Lobe {
            reach: rng.within(&(0.94..=1.0)),
            tip_height: tip_height + rng.around_zero(0.05),
            sweep: sweep + rng.around_zero(0.25),
            bulge: bulge + rng.around_zero(0.04),
            bulge_at: rng.within(&(0.6..=1.0)),
            hook: (hook + rng.around_zero(0.05)).max(0.0),
            belly: belly + rng.around_zero(0.12),
            fullness: fullness + rng.around_zero(0.05),
            serration: serration * rng.within(&(0.75..=1.3)),
            teeth,
            noise: Noise(rng.random()),
            nicks: (0..rng.low_within(&(0.0..=4.9), 1.6) as usize)
                .map(|_| Nick {
                    at: rng.within(&(0.12..=0.92)),
                    half_width: rng.within(&(0.006..=0.026)),
                    depth: rng.low_within(&(0.02..=0.11), 2.0),
                })
                .collect(),
        };
        Self {
            lobes: [lobe(rng), lobe(rng)],
            root: rng.within(&(0.42..=0.6)),
            notch_depth: rng.within(&(0.04..=0.14)),
            notch_half_width: rng.low_within(&(0.02..=0.16), 1.5),
            stalk_half_width: rng.within(&(0.09..=0.15)),
            stalk_flare: rng.within(&(0.1..=0.3)),
        }
    }

    fn lobe(&self, u: f32) -> &Lobe {
        &self.lobes[usize::from(u >= 0.0)]
    }

    /// Position of `u` along its lobe: 0 at the centre line, 1 at the tip, more beyond it.
    pub fn along(&self, u: f32) -> f32 {
        u.abs() / self.lobe(u).reach
    }

    /// Both edges at `u`.
    pub fn edges(&self, u: f32) -> Edges {
        Edges {
            along: self.along(u),
            trailing: self.trailing(u),
            leading: self.leading(u),
        }
    }

    /// The height of the trailing edge at `u`.
    pub fn trailing(&self, u: f32) -> f32 {
        let (lobe, s) = (self.lobe(u), self.along(u));
        // Teeth fade towards the tip and the notch, where the edge is smooth.
        let fade = step(1.0, 0.9, s) * step(0.02, 0.12, s);
        let jag = |x: f32, tooth: u32| {
            1.0 - 2.0 * Noise(lobe.noise.0.wrapping_add(tooth)).at(x, 0.5).abs()
        };
        let x = s * lobe.teeth;
        let teeth = 0.55 * lobe.noise.at(x * 0.5, 3.5)
            + 0.5 * jag(x * 1.3, 1)
            + 0.3 * jag(x * 3.1, 2)
            + 0.2 * jag(x * 7.3, 3);
        let cuts: f32 = lobe
            .nicks
            .iter()
            .map(|n| n.depth * (1.0 - (s - n.at).abs() / n.half_width).max(0.0))
            .fold(0.0, f32::max);
        lobe.smooth_trailing(s) + lobe.serration * fade * (teeth - 0.3)
            - cuts * step(1.0, 0.93, s)
            - self.notch_depth * (-(s / self.notch_half_width).powf(1.3)).exp()
    }

    /// The height of the leading edge at `u`, or of the stalk's lower end if that is lower.
    pub fn leading(&self, u: f32) -> f32 {
        let (lobe, s) = (self.lobe(u), self.along(u).min(1.0));
        let tip = lobe.smooth_trailing(1.0);
        let arch = (1.0 - s.powf(lobe.belly)).max(0.0).powf(lobe.fullness);
        let ripple =
            0.008 * Noise(lobe.noise.0.wrapping_add(9)).at(s * 9.0, 0.0) * step(1.0, 0.8, s);
        tip - (tip + self.root) * arch + ripple
    }

    /// Half of the stalk's width at height `v`.
    pub fn stalk(&self, v: f32) -> f32 {
        let down = (-self.root - v).max(-0.25);
        self.stalk_half_width + self.stalk_flare * mix(down.max(0.0), down * down * 4.0, 0.4)
    }

    /// Cover of (`u`, `v`) by the fluke with `edges` at `u`: 0 outside, 1 inside, in between within
    /// `softness` of an edge.
    pub fn covers(&self, edges: &Edges, u: f32, v: f32, softness: f32) -> f32 {
        let edge = |inside: f32| (inside / softness + 0.5).clamp(0.0, 1.0);
        let below = edge(edges.trailing - v);
        if below == 0.0 || edges.along >= 1.0 {
            return 0.0;
        }
        let lobe = edge(v - edges.leading);
        let stalk = if v < -0.5 * self.root {
            edge(self.stalk(v) - u.abs())
        } else {
            0.0
        };
        below * lobe.max(stalk)
    }
}

impl Lobe {
    /// The trailing edge without notch, teeth and cuts.
    fn smooth_trailing(&self, s: f32) -> f32 {
        let arch = (std::f32::consts::PI * s.min(1.0).powf(self.bulge_at)).sin();
        self.tip_height * s.powf(self.sweep) + self.bulge * arch + self.hook * step(0.72, 1.0, s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::{Purpose, generator};

    #[test]
    fn every_outline_is_connected_and_within_its_bounds() {
        for whale in 0..200 {
            let outline = Outline::draw(&mut generator(5, Purpose::Individual, whale, 0));
            for i in -104..=104 {
                let u = i as f32 / 100.0;
                assert!(
                    outline.covers(&outline.edges(u), u, TOP, 0.005) == 0.0,
                    "whale {whale} is too high at {u}"
                );
                if outline.along(u) < 0.97 {
                    assert!(
                        outline.trailing(u) > outline.leading(u),
                        "whale {whale} has no lobe at {u}"
                    );
                }
            }
            let covers = |u, v| outline.covers(&outline.edges(u), u, v, 0.005);
            assert_eq!(covers(-REACH, 0.0) + covers(REACH, 0.0), 0.0);
            assert_eq!(covers(0.0, BOTTOM), 1.0, "the stalk continues below");
        }
    }

    #[test]
    fn the_sides_of_a_fluke_are_not_mirror_images() {
        let outline = Outline::draw(&mut generator(5, Purpose::Individual, 1, 0));
        let differs = (1..95).any(|i| {
            let u = i as f32 / 100.0;
            (outline.trailing(u) - outline.trailing(-u)).abs() > 0.01
        });
        assert!(differs);
    }
}
