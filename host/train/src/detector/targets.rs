//! The maps that the detector should output for a picture with known flukes.

use flukewatch_inference::detector::maps::{StrideLevel, levels};

/// Flukes narrower than this, in input pixels, are ignored by the loss: they could not be identified.
pub(super) const MIN_WIDTH: f32 = 9.5;
/// Cells with at least this heat also learn the box.
const MIN_BOX_HEAT: f32 = 0.55;

/// A fluke in a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fluke {
    /// Left, top, right, bottom, in input pixels.
    pub(super) edges: [f32; 4],
    /// Whether it must be detected; one that is tiny or hardly out of the water is ignored.
    pub(super) required: bool,
}

/// Targets of every cell, level by level and row by row.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Targets {
    /// Proximity to a fluke's centre: 1 in its cell, falling to 0.
    pub(super) heat: Vec<f32>,
    /// Weight in the loss: 1, or 0 where ignored.
    pub(super) weight: Vec<f32>,
    /// 1 where the box is learned.
    pub(super) boxed: Vec<f32>,
    /// Logarithms of the distances to left, top, right and bottom, in strides.
    pub(super) logs: [Vec<f32>; 4],
}

/// The range of extents that a level detects.
fn range(level: usize, strides: &[u32]) -> (f32, f32) {
    let stride = strides[level] as f32;
    let low = if level == 0 { 0.0 } else { 2.25 * stride };
    let high = if level + 1 == strides.len() {
        f32::MAX
    } else {
        6.5 * stride
    };
    (low, high)
}

impl Targets {
    pub(super) fn of(flukes: &[Fluke], width: u32, height: u32, strides: &[u32]) -> Self {
        let levels = levels(width, height, strides);
        let cells = levels.iter().map(StrideLevel::cells).sum();
        let mut targets = Self {
            heat: vec![0.0; cells],
            weight: vec![1.0; cells],
            boxed: vec![0.0; cells],
            logs: std::array::from_fn(|_| vec![0.0; cells]),
        };
        let mut first = 0;
        for (number, level) in levels.iter().enumerate() {
            let (low, high) = range(number, strides);
            for fluke in flukes {
                let [x0, y0, x1, y1] = fluke.edges;
                let extent = (x1 - x0).max(2.0 * (y1 - y0));
                if fluke.required && (low..high).contains(&extent) {
                    targets.require(first, level, fluke);
                } else if !fluke.required || (low / 1.6..high * 1.6).contains(&extent) {
                    targets.ignore(first, level, fluke);
                }
            }
            first += level.cells();
        }
        targets
    }

    /// A fluke that a level must detect.
    fn require(&mut self, first: usize, level: &StrideLevel, fluke: &Fluke) {
        let stride = level.stride as f32;
        let [x0, y0, x1, y1] = fluke.edges;
        let (cx, cy) = ((x0 + x1) / 2.0 / stride, (y0 + y1) / 2.0 / stride);
        let spread = |side: f32| (0.11 * side / stride).max(0.45);
        let (sx, sy) = (spread(x1 - x0), spread(y1 - y0));
        let nearest = |v: f32, most: usize| (v.round().max(0.0) as usize).min(most - 1);
        let (column, row) = (nearest(cx, level.columns), nearest(cy, level.rows));
        let reach = |s: f32| (3.0 * s).ceil() as usize;
        let rows = row.saturating_sub(reach(sy))..=(row + reach(sy)).min(level.rows - 1);
        for r in rows {
            let columns =
                column.saturating_sub(reach(sx))..=(column + reach(sx)).min(level.columns - 1);
            for c in columns {
                let (dx, dy) = ((c as f32 - cx) / sx, (r as f32 - cy) / sy);
                let centre = (r, c) == (row, column);
                let heat = if centre {
                    1.0
                } else {
                    (-0.5 * (dx * dx + dy * dy)).exp().min(0.95)
                };
                let cell = first + r * level.columns + c;
                if heat < self.heat[cell] {
                    continue;
                }
                self.heat[cell] = heat;
                self.weight[cell] = 1.0;
                let (px, py) = (c as f32 * stride, r as f32 * stride);
                let distances = [px - x0, py - y0, x1 - px, y1 - py];
                if centre || (heat >= MIN_BOX_HEAT && distances.iter().all(|d| *d > 0.0)) {
                    self.boxed[cell] = 1.0;
                    for (logs, distance) in self.logs.iter_mut().zip(distances) {
                        logs[cell] = (distance / stride).max(0.05).ln();
                    }
                }
            }
        }
    }

    /// A fluke that a level may detect or not.
    fn ignore(&mut self, first: usize, level: &StrideLevel, fluke: &Fluke) {
        let stride = level.stride as f32;
        let [x0, y0, x1, y1] = fluke.edges;
        let span = |from: f32, to: f32, most: usize| {
            let from = (from / stride).floor().max(0.0) as usize;
            let to = (to / stride).ceil().max(0.0) as usize + 1;
            from.min(most)..to.min(most)
        };
        for row in span(y0, y1, level.rows) {
            for column in span(x0, x1, level.columns) {
                let cell = first + row * level.columns + column;
                if self.heat[cell] < 1.0 {
                    self.weight[cell] = 0.0;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fluke_is_required_at_the_stride_of_its_size() {
        let of = |width: f32| {
            let edges = [
                160.0 - width / 2.0,
                90.0,
                160.0 + width / 2.0,
                90.0 + width * 0.35,
            ];
            let fluke = Fluke {
                edges,
                required: true,
            };
            let targets = Targets::of(&[fluke], 320, 192, &[8, 16, 32]);
            let (small, middle) = (40 * 24, 20 * 12);
            let peaks = |range: std::ops::Range<usize>| {
                targets.heat[range].iter().filter(|h| **h == 1.0).count()
            };
            let all = targets.heat.len();
            [
                peaks(0..small),
                peaks(small..small + middle),
                peaks(small + middle..all),
            ]
        };
        assert_eq!(of(10.0), [1, 0, 0]);
        assert_eq!(of(45.0), [1, 1, 0]);
        assert_eq!(of(70.0), [0, 1, 0]);
        assert_eq!(of(90.0), [0, 1, 1]);
        assert_eq!(of(300.0), [0, 0, 1]);
    }

    #[test]
    fn the_box_is_relative_to_the_cell() {
        let fluke = Fluke {
            edges: [100.0, 60.0, 140.0, 76.0],
            required: true,
        };
        let targets = Targets::of(&[fluke], 320, 192, &[8]);
        // The middle (120, 68) lies between the cells at (120, 64) and (120, 72).
        let cell = (0..targets.heat.len())
            .find(|&c| targets.heat[c] == 1.0)
            .unwrap();
        let (x, y) = ((cell % 40) as f32 * 8.0, (cell / 40) as f32 * 8.0);
        let distance = |i: usize| 8.0 * targets.logs[i][cell].exp();
        assert!((x - distance(0) - 100.0).abs() < 1e-3 && (y + distance(3) - 76.0).abs() < 1e-3);
        assert_eq!(targets.boxed[cell], 1.0);
    }

    #[test]
    fn a_fluke_that_is_not_required_is_ignored() {
        let fluke = Fluke {
            edges: [100.0, 60.0, 140.0, 76.0],
            required: false,
        };
        let targets = Targets::of(&[fluke], 320, 192, &[8]);
        assert!(targets.heat.iter().all(|h| *h == 0.0));
        let left: f32 = targets.weight.iter().map(|w| 1.0 - w).sum();
        assert!((15.0..=40.0).contains(&left), "{left}");
    }
}
