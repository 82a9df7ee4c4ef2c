//! A drawing of a character: hand tremor, pen, paper and light. Every drawing of a character
//! differs.

use super::glyph::{Glyph, Point};
use crate::noise::Noise;
use crate::seed::{Draw, Span};
use image::{GrayImage, Luma};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Width and height in pixels.
pub const SIDE: u32 = 48;

/// Maximum deviation of a control point, in units of the character (which is 2 wide).
const WAVER: f32 = 0.06;
/// Maximum rotation to either side, in degrees.
const TURN: f32 = 30.0;
/// Maximum shear to either side.
const LEAN: f32 = 0.25;
/// Half of the character's width and height, as a fraction of the paper's.
const SIZE: Span = 0.24..=0.36;
/// Maximum offset of the character's centre, as a fraction of a side.
const SHIFT: f32 = 0.11;
/// Half of the pen's width, as a fraction of a side.
const PEN: Span = 0.015..=0.04;
/// Grey level of the paper.
const PAPER: Span = 150.0..=245.0;
/// How much darker the ink is, in grey levels.
const INK: Span = 70.0..=140.0;
/// How much lighter one edge of the paper is than its centre, in grey levels.
const SHADE: f32 = 25.0;
/// Standard deviation of the grain, in grey levels.
const GRAIN: Span = 4.0..=14.0;

/// Draws `glyph` once, with variation from `chance`.
pub fn draw(glyph: &Glyph, rng: &mut ChaCha8Rng) -> GrayImage {
    let lines = written(glyph, rng).lines();
    let pen = rng.within(&PEN);
    let (paper, ink) = (rng.within(&PAPER), rng.within(&INK));
    let shade = (rng.around_zero(SHADE), rng.around_zero(SHADE));
    let (grain, noise) = (rng.within(&GRAIN), Noise(rng.random()));
    let cover = covered(&lines, pen);
    GrayImage::from_fn(SIDE, SIDE, |x, y| {
        let off_middle = |at: u32| at as f32 / SIDE as f32 * 2.0 - 1.0;
        let light = shade.0 * off_middle(x) + shade.1 * off_middle(y);
        let ink = ink * cover[(y * SIDE + x) as usize];
        let grey = paper + light - ink + grain * noise.normal(x, y);
        Luma([grey.round().clamp(0.0, 255.0) as u8])
    })
}

/// The character as handwritten on a paper of 1 x 1.
fn written(glyph: &Glyph, rng: &mut ChaCha8Rng) -> Glyph {
    let (sin, cos) = rng.around_zero(TURN).to_radians().sin_cos();
    let lean = rng.around_zero(LEAN);
    let (wide, high) = (rng.within(&SIZE), rng.within(&SIZE));
    let (dx, dy) = (rng.around_zero(SHIFT), rng.around_zero(SHIFT));
    let mut place = |(x, y): Point| {
        let (x, y) = (x + rng.around_zero(WAVER), y + rng.around_zero(WAVER));
        let (x, y) = ((x + lean * y) * wide, y * high);
        (0.5 + cos * x - sin * y + dx, 0.5 + sin * x + cos * y + dy)
    };
    let strokes = glyph.strokes.iter();
    let strokes = strokes.map(|leads| leads.iter().map(|&p| place(p)).collect());
    Glyph {
        strokes: strokes.collect(),
    }
}

/// The fraction of each pixel that a pen of half width `pen` covers, row by row.
fn covered(lines: &[Vec<Point>], pen: f32) -> Vec<f32> {
    let pixels = SIDE as f32;
    let reach = pen + 1.0 / pixels;
    let span = |a: f32, b: f32| {
        let from = ((a.min(b) - reach) * pixels).clamp(0.0, pixels) as u32;
        let to = ((a.max(b) + reach) * pixels).ceil().clamp(0.0, pixels) as u32;
        from..to
    };
    let mut cover = vec![0f32; (SIDE * SIDE) as usize];
    for (a, b) in lines.iter().flat_map(|l| l.iter().zip(l.iter().skip(1))) {
        for y in span(a.1, b.1) {
            for x in span(a.0, b.0) {
                let centre = ((x as f32 + 0.5) / pixels, (y as f32 + 0.5) / pixels);
                let share = 0.5 + (pen - distance(centre, *a, *b)) * pixels;
                let here = &mut cover[(y * SIDE + x) as usize];
                *here = here.max(share.clamp(0.0, 1.0));
            }
        }
    }
    cover
}

/// Distance from a point to the segment from `a` to `b`.
fn distance(point: Point, a: Point, b: Point) -> f32 {
    let (along, off) = ((b.0 - a.0, b.1 - a.1), (point.0 - a.0, point.1 - a.1));
    let length = along.0 * along.0 + along.1 * along.1;
    let share = if length > 0.0 {
        ((off.0 * along.0 + off.1 * along.1) / length).clamp(0.0, 1.0)
    } else {
        0.0
    };
    let (x, y) = (off.0 - share * along.0, off.1 - share * along.1);
    (x * x + y * y).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::{Purpose, generator};

    #[test]
    fn a_pen_covers_half_its_width_on_either_side() {
        // Across the centre, 6 pixels wide: three full rows on either side of it.
        let cover = covered(&[vec![(0.25, 0.5), (0.75, 0.5)]], 3.0 / SIDE as f32);
        let column = |x: u32| -> Vec<f32> {
            let ink = (0..SIDE).map(|y| cover[(y * SIDE + x) as usize]);
            ink.filter(|&share| share > 0.01).collect()
        };
        assert_eq!(column(24).len(), 6);
        assert!(column(24).iter().all(|&share| share > 0.99));
        assert!(column(2).is_empty(), "left of the line");
    }

    #[test]
    fn distances_worked_by_hand() {
        let (a, b) = ((0.0, 0.0), (4.0, 0.0));
        assert_eq!(distance((1.0, 2.0), a, b), 2.0);
        assert_eq!(distance((7.0, 4.0), a, b), 5.0);
        assert_eq!(distance((3.0, 4.0), a, a), 5.0);
    }

    #[test]
    fn ink_is_visible_on_every_drawing() {
        for number in 0..100 {
            let glyph = Glyph::draw(&mut generator(1, Purpose::Glyph, number, 0));
            let drawing = draw(&glyph, &mut generator(1, Purpose::Drawing, number, 1));
            let mut greys: Vec<u8> = drawing.into_raw();
            greys.sort_unstable();
            let (dark, paper) = (greys[greys.len() / 50], greys[greys.len() / 2]);
            assert!(paper - dark > 40, "{number}: {dark} on {paper}");
        }
    }
}
