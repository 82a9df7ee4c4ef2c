//! How a fluke's box moves: its centre and the logarithms of its sides.
//!
//! All that is said of places is in sides of the box (the square root of its area), since a near fluke moves by more pixels than a far one
//! and its box is less exact by as many.

use super::axis::Axis;
use flukewatch_common::pixel_box::PixelBox;

/// Standard deviation of a detector's centre, in sides.
const CENTRE_ERROR: f64 = 0.1;
/// Standard deviation of a detector's width and height, as logarithm: spray and the waterline cut flukes.
const SIZE_ERROR: f64 = 0.15;
/// What the velocity of a fluke that was just found may be, in sides a second: mostly the camera's swaying.
const CENTRE_SPEED: f64 = 2.0;
/// How that changes at random, in sides a second in the square root of a second.
const CENTRE_JOLT: f64 = 1.0;
/// How fast a fluke may unfold, as logarithm in a second.
const SIZE_SPEED: f64 = 1.0;
/// How that changes at random.
const SIZE_JOLT: f64 = 0.5;

/// The squared distance, in variances of the four numbers, beyond which a box is another's: 3 in 1,000 of a track's own.
const GATE: f64 = 16.0;
/// The farthest that a box may lie from where it is expected, in sides, however little is known.
const FARTHEST: f64 = 1.5;
/// From this overlap on a box is the track's whatever its size.
const OVERLAP: f64 = 0.2;

/// A box in motion.
#[derive(Clone, Copy, Debug)]
pub struct Motion {
    across: Axis,
    down: Axis,
    width: Axis,
    height: Axis,
}

/// Centre across and down, logarithms of width and height.
fn numbers(region: PixelBox) -> [f64; 4] {
    let (width, height) = (f64::from(region.width()), f64::from(region.height()));
    [
        f64::from(region.x0) + width / 2.0,
        f64::from(region.y0) + height / 2.0,
        width.max(1.0).ln(),
        height.max(1.0).ln(),
    ]
}

fn side(region: PixelBox) -> f64 {
    (region.area() as f64).sqrt().max(1.0)
}

impl Motion {
    /// A box that was seen once.
    pub fn new(region: PixelBox) -> Self {
        let [across, down, width, height] = numbers(region);
        let side = side(region);
        let centre = |value| Axis::new(value, CENTRE_ERROR * side, CENTRE_SPEED * side);
        let size = |value| Axis::new(value, SIZE_ERROR, SIZE_SPEED);
        Self {
            across: centre(across),
            down: centre(down),
            width: size(width),
            height: size(height),
        }
    }

    /// The square root of the box's area, in pixels.
    fn side(&self) -> f64 {
        ((self.width.value + self.height.value) / 2.0)
            .clamp(0.0, 12.0)
            .exp()
    }

    /// Moves on by `seconds`.
    pub fn predict(&mut self, seconds: f64) {
        let jolt = CENTRE_JOLT * self.side();
        self.across.predict(seconds, jolt);
        self.down.predict(seconds, jolt);
        self.width.predict(seconds, SIZE_JOLT);
        self.height.predict(seconds, SIZE_JOLT);
    }

    /// The box is at `region`.
    pub fn update(&mut self, region: PixelBox) {
        let [across, down, width, height] = numbers(region);
        let error = CENTRE_ERROR * side(region);
        self.across.update(across, error);
        self.down.update(down, error);
        self.width.update(width, SIZE_ERROR);
        self.height.update(height, SIZE_ERROR);
    }

    /// What it costs to take `region` for this box, 0 for the very box that is expected and at most 1.5; `None` where it is another's.
    pub fn cost(&self, region: PixelBox) -> Option<f64> {
        let [across, down, width, height] = numbers(region);
        let side = side(region).max(self.side());
        let error = CENTRE_ERROR * side;
        let surprise = self.across.surprise(across, error)
            + self.down.surprise(down, error)
            + self.width.surprise(width, SIZE_ERROR)
            + self.height.surprise(height, SIZE_ERROR);
        let overlap = self.overlap(region);
        let off = (across - self.across.value).hypot(down - self.down.value) / side;
        let expected = surprise <= GATE && off <= FARTHEST || overlap >= OVERLAP;
        expected.then(|| 1.0 - overlap + 0.5 * (surprise / GATE).min(1.0))
    }

    /// The edges of the box: left, top, right, bottom.
    fn edges(&self) -> [f64; 4] {
        let half = |axis: &Axis| axis.value.clamp(0.0, 12.0).exp() / 2.0;
        let (across, down) = (half(&self.width), half(&self.height));
        [
            self.across.value - across,
            self.down.value - down,
            self.across.value + across,
            self.down.value + down,
        ]
    }

    /// Intersection over union with `region`, 0 to 1.
    fn overlap(&self, region: PixelBox) -> f64 {
        let [x0, y0, x1, y1] = self.edges();
        let across = x1.min(f64::from(region.x1)) - x0.max(f64::from(region.x0));
        let down = y1.min(f64::from(region.y1)) - y0.max(f64::from(region.y0));
        if across <= 0.0 || down <= 0.0 {
            return 0.0;
        }
        let common = across * down;
        common / ((x1 - x0) * (y1 - y0) + region.area() as f64 - common)
    }
}

/// The common part of two boxes as a share of the smaller one, 0 to 1.
pub(super) fn covered(a: PixelBox, b: PixelBox) -> f64 {
    let common = PixelBox {
        x0: a.x0.max(b.x0),
        y0: a.y0.max(b.y0),
        x1: a.x1.min(b.x1),
        y1: a.y1.min(b.y1),
    };
    common.area() as f64 / a.area().min(b.area()).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x0: u32, y0: u32, width: u32, height: u32) -> PixelBox {
        PixelBox {
            x0,
            y0,
            x1: x0 + width,
            y1: y0 + height,
        }
    }

    #[test]
    fn the_expected_box_costs_least_and_a_far_one_is_another_s() {
        let mut motion = Motion::new(at(100, 100, 200, 80));
        for i in 1..10 {
            motion.predict(0.1);
            motion.update(at(100 + i * 10, 100, 200, 80));
        }
        motion.predict(0.1);
        let cost = |x| motion.cost(at(x, 100, 200, 80));
        let here = cost(200).unwrap();
        assert!(here < 0.15, "{here}");
        assert!(cost(160).unwrap() > here && cost(240).unwrap() > here);
        assert_eq!(cost(500), None);
        assert_eq!(motion.cost(at(200, 400, 200, 80)), None);
    }

    #[test]
    fn a_fluke_that_spray_cuts_in_half_is_the_same_one() {
        let mut motion = Motion::new(at(100, 100, 200, 80));
        motion.predict(0.1);
        motion.update(at(100, 100, 200, 80));
        motion.predict(0.1);
        assert!(motion.cost(at(100, 100, 100, 80)).is_some());
        assert!(motion.cost(at(100, 140, 200, 40)).is_some());
    }

    #[test]
    fn boxes_of_no_size_do_no_harm() {
        let mut motion = Motion::new(at(5, 5, 0, 0));
        for _ in 0..5 {
            motion.predict(1e6);
            motion.update(at(0, 0, u32::MAX, u32::MAX));
            assert!(motion.cost(at(9, 9, 1, 1)).is_none_or(f64::is_finite));
        }
    }

    #[test]
    fn a_part_is_covered_by_its_whole() {
        assert_eq!(covered(at(0, 0, 100, 50), at(10, 10, 20, 20)), 1.0);
        assert_eq!(covered(at(0, 0, 10, 10), at(5, 0, 10, 10)), 0.5);
        assert_eq!(covered(at(0, 0, 10, 10), at(20, 0, 10, 10)), 0.0);
    }
}
