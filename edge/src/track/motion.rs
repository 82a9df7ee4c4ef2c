//! The motion of a fluke's box: its centre and the logarithms of its sides.
//!
//! Distances are relative to the box's side (the square root of its area), since a near fluke moves by
//! more pixels than a far one, and its box is less accurate by the same factor.

use super::axis::Axis;
use flukewatch_common::pixel_box::PixelBox;

/// Standard deviation of a detector's centre, in sides.
const CENTRE_ERROR: f64 = 0.1;
/// Standard deviation of a detector's width and height, as logarithm: spray and the waterline occlude
/// flukes.
const SIZE_ERROR: f64 = 0.15;
/// Standard deviation of a new track's velocity, in sides per second: mostly the camera's sway.
const CENTRE_SPEED: f64 = 2.0;
/// Its process noise, in sides per second per square root of a second.
const CENTRE_NOISE: f64 = 1.0;
/// Standard deviation of a new track's growth, as logarithm per second: flukes unfold.
const SIZE_SPEED: f64 = 1.0;
/// Process noise of a track's growth.
const SIZE_NOISE: f64 = 0.5;

/// The largest squared Mahalanobis distance of a track's own box: 3 in 1,000 exceed it.
const GATE: f64 = 16.0;
/// The largest distance from the predicted centre, in sides, whatever the uncertainty.
const MAX_DISTANCE: f64 = 1.5;
/// From this overlap on a box belongs to the track whatever its size.
const SUFFICIENT_OVERLAP: f64 = 0.2;

/// The predicted box of a track.
#[derive(Clone, Copy, Debug)]
pub struct Motion {
    across: Axis,
    down: Axis,
    width: Axis,
    height: Axis,
}

/// Centre, and logarithms of width and height.
fn state_of(region: PixelBox) -> [f64; 4] {
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
    /// The motion of a box that was seen once.
    pub fn new(region: PixelBox) -> Self {
        let [across, down, width, height] = state_of(region);
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

    /// Predicts the box after `seconds`.
    pub fn predict(&mut self, seconds: f64) {
        let noise = CENTRE_NOISE * self.side();
        self.across.predict(seconds, noise);
        self.down.predict(seconds, noise);
        self.width.predict(seconds, SIZE_NOISE);
        self.height.predict(seconds, SIZE_NOISE);
    }

    /// Updates the prediction with a detection at `region`.
    pub fn update(&mut self, region: PixelBox) {
        let [across, down, width, height] = state_of(region);
        let error = CENTRE_ERROR * side(region);
        self.across.update(across, error);
        self.down.update(down, error);
        self.width.update(width, SIZE_ERROR);
        self.height.update(height, SIZE_ERROR);
    }

    /// The cost of assigning `region`, from 0 for the predicted box to 1.5; `None` where it cannot be
    /// this track's.
    pub fn cost(&self, region: PixelBox) -> Option<f64> {
        let [across, down, width, height] = state_of(region);
        let side = side(region).max(self.side());
        let error = CENTRE_ERROR * side;
        let distance = self.across.distance_squared(across, error)
            + self.down.distance_squared(down, error)
            + self.width.distance_squared(width, SIZE_ERROR)
            + self.height.distance_squared(height, SIZE_ERROR);
        let overlap = self.overlap(region);
        let off = (across - self.across.value).hypot(down - self.down.value) / side;
        let expected = distance <= GATE && off <= MAX_DISTANCE || overlap >= SUFFICIENT_OVERLAP;
        expected.then(|| 1.0 - overlap + 0.5 * (distance / GATE).min(1.0))
    }

    /// Left, top, right and bottom.
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

/// The intersection of two boxes as a fraction of the smaller one.
pub(super) fn overlap_of_smaller(a: PixelBox, b: PixelBox) -> f64 {
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
    fn the_predicted_box_costs_least_and_a_far_one_is_rejected() {
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
    fn a_half_hidden_fluke_belongs_to_its_track() {
        let mut motion = Motion::new(at(100, 100, 200, 80));
        motion.predict(0.1);
        motion.update(at(100, 100, 200, 80));
        motion.predict(0.1);
        assert!(motion.cost(at(100, 100, 100, 80)).is_some());
        assert!(motion.cost(at(100, 140, 200, 40)).is_some());
    }

    #[test]
    fn degenerate_boxes_are_harmless() {
        let mut motion = Motion::new(at(5, 5, 0, 0));
        for _ in 0..5 {
            motion.predict(1e6);
            motion.update(at(0, 0, u32::MAX, u32::MAX));
            assert!(motion.cost(at(9, 9, 1, 1)).is_none_or(f64::is_finite));
        }
    }

    #[test]
    fn a_part_overlaps_with_its_whole() {
        assert_eq!(
            overlap_of_smaller(at(0, 0, 100, 50), at(10, 10, 20, 20)),
            1.0
        );
        assert_eq!(overlap_of_smaller(at(0, 0, 10, 10), at(5, 0, 10, 10)), 0.5);
        assert_eq!(overlap_of_smaller(at(0, 0, 10, 10), at(20, 0, 10, 10)), 0.0);
    }
}
