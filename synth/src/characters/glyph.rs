//! A synthetic character: a few smooth strokes over a grid.

use crate::seed::Draw;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::ops::RangeInclusive;

/// A point; a character lies in -1..=1 on both axes, y down.
pub type Point = (f32, f32);

/// Number of strokes of a character.
const STROKES: RangeInclusive<usize> = 3..=5;
/// Number of control points of a stroke.
const LEADS: RangeInclusive<usize> = 2..=4;
/// Number of grid points along an axis.
const GRID: u32 = 4;
/// Maximum offset of a point from the grid, in units of the character.
const OFF_GRID: f32 = 0.12;
/// Number of segments between two control points.
const STEPS: usize = 8;

/// A character without the variation of handwriting.
#[derive(Clone, Debug, PartialEq)]
pub struct Glyph {
    /// The control points of each stroke, two or more.
    pub strokes: Vec<Vec<Point>>,
}

impl Glyph {
    /// A character from `chance`.
    pub fn draw(rng: &mut ChaCha8Rng) -> Self {
        let strokes = rng.random_range(STROKES);
        let strokes = (0..strokes).map(|_| stroke(rng)).collect();
        Self { strokes }
    }

    /// Each stroke as a polyline through all of its control points.
    pub fn lines(&self) -> Vec<Vec<Point>> {
        self.strokes.iter().map(|leads| curve(leads)).collect()
    }
}

/// Control points at different grid points, none equal to the previous one.
fn stroke(rng: &mut ChaCha8Rng) -> Vec<Point> {
    let count = rng.random_range(LEADS);
    let mut places: Vec<u32> = vec![];
    while places.len() < count {
        let place = rng.random_range(0..GRID * GRID);
        if places.last() != Some(&place) {
            places.push(place);
        }
    }
    let on_axis = |place: u32| place as f32 / (GRID - 1) as f32 * 2.0 - 1.0;
    places
        .into_iter()
        .map(|place| {
            (
                on_axis(place % GRID) + rng.around_zero(OFF_GRID),
                on_axis(place / GRID) + rng.around_zero(OFF_GRID),
            )
        })
        .collect()
}

/// A Catmull-Rom spline (Catmull & Rom 1974) through `leads`; the end points count twice.
fn curve(leads: &[Point]) -> Vec<Point> {
    let Some(&last) = leads.last() else {
        return vec![];
    };
    let lead = |i: usize| leads[i.min(leads.len() - 1)];
    let mut points = vec![];
    for from in 0..leads.len() - 1 {
        let (before, start, end, after) = (
            lead(from.saturating_sub(1)),
            lead(from),
            lead(from + 1),
            lead(from + 2),
        );
        for step in 0..STEPS {
            let t = step as f32 / STEPS as f32;
            let along = |before: f32, start: f32, end: f32, after: f32| {
                let slope = end - before;
                let bend = 2.0 * before - 5.0 * start + 4.0 * end - after;
                let twist = 3.0 * (start - end) + after - before;
                start + 0.5 * t * (slope + t * (bend + t * twist))
            };
            points.push((
                along(before.0, start.0, end.0, after.0),
                along(before.1, start.1, end.1, after.1),
            ));
        }
    }
    points.push(last);
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::{Purpose, generator};

    #[test]
    fn a_line_passes_its_control_points_without_a_jump() {
        let leads = [(-1.0, -1.0), (0.5, -0.2), (0.0, 1.0)];
        let line = curve(&leads);
        for lead in leads {
            assert!(line.contains(&lead), "{lead:?}");
        }
        for pair in line.windows(2) {
            let (dx, dy) = (pair[1].0 - pair[0].0, pair[1].1 - pair[0].1);
            assert!((dx * dx + dy * dy).sqrt() < 0.5, "{pair:?}");
        }
    }

    #[test]
    fn two_points_make_a_straight_line() {
        for (x, y) in curve(&[(-1.0, 0.0), (1.0, 0.5)]) {
            assert!((y - (x + 1.0) / 4.0).abs() < 1e-6, "{x} {y}");
        }
    }

    #[test]
    fn characters_differ_and_keep_to_the_grid() {
        let glyphs: Vec<Glyph> = (0..200)
            .map(|n| Glyph::draw(&mut generator(1, Purpose::Glyph, n, 0)))
            .collect();
        for (i, glyph) in glyphs.iter().enumerate() {
            assert!(STROKES.contains(&glyph.strokes.len()));
            for stroke in &glyph.strokes {
                assert!(LEADS.contains(&stroke.len()));
                let most = 1.0 + OFF_GRID;
                assert!(
                    stroke
                        .iter()
                        .all(|p| p.0.abs() <= most && p.1.abs() <= most)
                );
            }
            assert!(glyphs[..i].iter().all(|other| other != glyph));
        }
    }
}
