//! Marks on a fluke: barnacles and their rings, tooth rakes, scratches, pale dots.

use super::outline::Outline;
use crate::seed::Draw;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// One mark on the skin.
#[derive(Clone, Debug)]
pub enum Scar {
    /// The scar of a barnacle, a ring: pale on black skin, dark on white.
    Ring {
        /// Centre, (`u`, `v`).
        centre: [f32; 2],
        /// Distance from the centre to the middle of the line.
        radius: f32,
        /// Half of the line's width.
        half_width: f32,
    },
    /// A dot, pale on black skin and dark on white.
    Dot {
        /// Centre, (`u`, `v`).
        centre: [f32; 2],
        /// Radius in half spans.
        radius: f32,
    },
    /// A line from `from` to `to`, bent sideways by `bend`: a scratch, or one line of a tooth rake.
    Line {
        /// Start, (`u`, `v`).
        from: [f32; 2],
        /// End, (`u`, `v`).
        to: [f32; 2],
        /// Offset of the middle from the straight line, as a fraction of its length.
        bend: f32,
        /// Half of the line's width.
        half_width: f32,
    },
    /// A live barnacle: cream with a dark rim, on black and white alike.
    Barnacle {
        /// Centre, (`u`, `v`).
        centre: [f32; 2],
        /// Radius in half spans.
        radius: f32,
    },
}

/// Draws the scars of an individual with this outline.
pub fn draw(outline: &Outline, rng: &mut ChaCha8Rng) -> Vec<Scar> {
    let mut scars = vec![];
    let life = rng.low_within(&(0.15..=1.6), 1.3);
    let count =
        |rng: &mut ChaCha8Rng, most: f32| (rng.low_within(&(0.0..=most), 1.6) * life) as usize;

    for _ in 0..count(rng, 26.0) {
        let radius = rng.low_within(&(0.006..=0.024), 2.0);
        let half_width = radius * rng.within(&(0.2..=0.4));
        scars.push(Scar::Ring {
            centre: on_skin(outline, rng),
            radius,
            half_width,
        });
    }
    for _ in 0..count(rng, 90.0) {
        let radius = rng.low_within(&(0.003..=0.012), 2.5);
        scars.push(Scar::Dot {
            centre: on_skin(outline, rng),
            radius,
        });
    }
    for _ in 0..count(rng, 12.0) {
        let (half_width, bend) = (rng.low_within(&(0.002..=0.006), 2.0), rng.around_zero(0.25));
        let (from, angle) = (on_skin(outline, rng), rng.within(&(0.0..=3.1)));
        let length = rng.low_within(&(0.04..=0.4), 1.7);
        scars.push(Scar::Line {
            from,
            to: beyond(from, angle, length),
            bend,
            half_width,
        });
    }
    for _ in 0..count(rng, 4.0) {
        rake(outline, rng, &mut scars);
    }
    for side in [-1.0, 1.0] {
        barnacles(outline, side, count(rng, 34.0), rng, &mut scars);
    }
    scars
}

/// A tooth rake of a killer whale: parallel lines across the skin.
fn rake(outline: &Outline, rng: &mut ChaCha8Rng, scars: &mut Vec<Scar>) {
    let (start, angle) = (on_skin(outline, rng), rng.within(&(0.0..=3.1)));
    let (length, gap) = (rng.within(&(0.1..=0.38)), rng.within(&(0.018..=0.034)));
    let (bend, half_width) = (rng.around_zero(0.25), rng.within(&(0.003..=0.0065)));
    for tooth in 0..rng.random_range(3..=6) {
        let from = beyond(start, angle + 1.57, gap * tooth as f32);
        let from = beyond(from, angle, rng.around_zero(0.04));
        let to = beyond(
            from,
            angle + rng.around_zero(0.05),
            length * rng.within(&(0.7..=1.1)),
        );
        scars.push(Scar::Line {
            from,
            to,
            bend,
            half_width,
        });
    }
}

/// Barnacles, which cluster at the tips and along the edges near them.
fn barnacles(
    outline: &Outline,
    side: f32,
    count: usize,
    rng: &mut ChaCha8Rng,
    scars: &mut Vec<Scar>,
) {
    for _ in 0..count {
        let u = side * (0.99 - rng.low_within(&(0.0..=0.45), 2.2));
        let (top, bottom) = (outline.trailing(u), outline.leading(u));
        if top <= bottom {
            continue;
        }
        let inwards = rng.low_within(&(0.02..=0.5), 2.0) * (top - bottom);
        let v = if rng.chance(0.6) {
            bottom + inwards
        } else {
            top - inwards
        };
        scars.push(Scar::Barnacle {
            centre: [u, v],
            radius: rng.low_within(&(0.007..=0.022), 1.5),
        });
    }
}

/// A random point on one of the lobes.
fn on_skin(outline: &Outline, rng: &mut ChaCha8Rng) -> [f32; 2] {
    let u = rng.within(&(-0.93..=0.93));
    let v = rng.within(&(0.04..=0.96));
    [
        u,
        outline.leading(u) + v * (outline.trailing(u) - outline.leading(u)),
    ]
}

fn beyond(from: [f32; 2], angle: f32, distance: f32) -> [f32; 2] {
    [
        from[0] + distance * angle.cos(),
        from[1] + distance * angle.sin(),
    ]
}
