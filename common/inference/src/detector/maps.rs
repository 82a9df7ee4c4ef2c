//! From the detector's maps to boxes.
//!
//! For each stride there are five maps of `ceil(height / stride)` rows and `ceil(width / stride)`
//! columns, one after another, row by row: the logit of a fluke's centre being in the cell, and the
//! logarithms of the distances, in strides, from the cell's point (`stride` times column and row,
//! in pixels of the input) to the left, top, right and bottom of its box.

use super::input::Placement;
use flukewatch_common::detection::Detection;
use flukewatch_common::pixel_box::PixelBox;

/// The number of maps per stride: a logit and four distances.
pub const MAPS: usize = 5;
/// Of two boxes whose intersection over union exceeds this, the one with the higher score stays.
pub const MAX_OVERLAP: f32 = 0.45;
/// A box is also removed if a larger box with a higher score covers more than this fraction of it.
pub const MAX_COVERAGE: f32 = 0.8;
/// Logarithms of distances are clamped to this.
const MOST_LOG: f32 = 7.0;

/// The position of the maps of one stride in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StrideLevel {
    /// The stride: input pixels from cell to cell.
    pub stride: u32,
    /// The number of rows of cells.
    pub rows: usize,
    /// The number of columns of cells.
    pub columns: usize,
    /// The index of its first number in the output.
    pub start: usize,
}

impl StrideLevel {
    /// The number of cells of one map.
    pub fn cells(&self) -> usize {
        self.rows * self.columns
    }
}

/// A box (left, top, right, bottom) in pixels of the input, with its score.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Candidate {
    edges: [f32; 4],
    score: f32,
}

/// Finds boxes in the output of a detector.
#[derive(Debug)]
pub struct Maps {
    levels: Vec<StrideLevel>,
    candidates: Vec<Candidate>,
}

/// The maps of an input of `width` x `height` pixels.
pub fn levels(width: u32, height: u32, strides: &[u32]) -> Vec<StrideLevel> {
    let mut start = 0;
    strides
        .iter()
        .map(|&stride| {
            let stride = stride.max(1);
            let level = StrideLevel {
                stride,
                rows: height.div_ceil(stride) as usize,
                columns: width.div_ceil(stride) as usize,
                start,
            };
            start += MAPS * level.cells();
            level
        })
        .collect()
}

impl Maps {
    /// The maps of an input of `width` x `height` pixels.
    pub fn new(width: u32, height: u32, strides: &[u32]) -> Self {
        let levels = levels(width, height, strides);
        // At most one of four cells is a peak.
        let most = levels.iter().map(|l| l.cells() / 4 + 4).sum();
        Self {
            levels,
            candidates: Vec::with_capacity(most),
        }
    }

    /// The number of outputs of the detector.
    pub fn numbers(&self) -> usize {
        self.levels.iter().map(|l| MAPS * l.cells()).sum()
    }

    /// Adds the boxes with a score of at least `threshold` to `found`, highest score first; returns
    /// false if the output is not finite.
    pub fn find(
        &mut self,
        output: &[f32],
        threshold: f32,
        placement: &Placement,
        found: &mut Vec<Detection>,
    ) -> bool {
        self.candidates.clear();
        let threshold = threshold.clamp(1e-6, 1.0 - 1e-6);
        let cut = (threshold / (1.0 - threshold)).ln();
        for level in &self.levels {
            let Some(maps) = output.get(level.start..level.start + MAPS * level.cells()) else {
                return false;
            };
            if !peaks(level, maps, cut, &mut self.candidates) {
                return false;
            }
        }
        self.candidates
            .sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
        let kept = thin(&mut self.candidates);
        found.extend(
            self.candidates[..kept]
                .iter()
                .filter_map(|c| in_frame(c, placement)),
        );
        true
    }
}

/// Adds the peaks of one stride; returns false if its maps are not finite.
fn peaks(level: &StrideLevel, maps: &[f32], cut: f32, candidates: &mut Vec<Candidate>) -> bool {
    let (columns, cells) = (level.columns, level.cells());
    let logits = &maps[..cells];
    // An infinity or NaN makes the sum infinite or NaN.
    if !logits.iter().map(|l| l * 1e-6).sum::<f32>().is_finite() {
        return false;
    }
    let at = |row: usize, column: usize| logits[row * columns + column];
    for (cell, &logit) in logits.iter().enumerate() {
        if logit < cut {
            continue;
        }
        let (row, column) = (cell / columns, cell % columns);
        let mut rows = row.saturating_sub(1)..=(row + 1).min(level.rows - 1);
        let peak = rows.all(|r| {
            (column.saturating_sub(1)..=(column + 1).min(columns - 1)).all(|c| {
                // Of equal neighbours, the first is the peak.
                let other = r * columns + c;
                other == cell || at(r, c) < logit || (at(r, c) == logit && other > cell)
            })
        });
        if !peak {
            continue;
        }
        let stride = level.stride as f32;
        let distance = |map: usize| maps[map * cells + cell];
        let distances = [1, 2, 3, 4].map(distance);
        if !distances.iter().all(|d| d.is_finite()) {
            return false;
        }
        let [left, top, right, bottom] =
            distances.map(|d| stride * d.clamp(-MOST_LOG, MOST_LOG).exp());
        let (x, y) = (stride * column as f32, stride * row as f32);
        candidates.push(Candidate {
            edges: [x - left, y - top, x + right, y + bottom],
            score: 1.0 / (1.0 + (-logit).exp()),
        });
    }
    true
}

/// Suppresses overlapping boxes: moves those that stay to the front, in order, and returns their
/// number.
fn thin(candidates: &mut [Candidate]) -> usize {
    let mut kept = 0;
    for i in 0..candidates.len() {
        let this = candidates[i];
        let stays = candidates[..kept].iter().all(|other| {
            let shared = shared(&this.edges, &other.edges);
            let (a, b) = (area(&this.edges), area(&other.edges));
            shared <= MAX_OVERLAP * (a + b - shared) && (a > b || shared <= MAX_COVERAGE * a)
        });
        if stays {
            candidates[kept] = this;
            kept += 1;
        }
    }
    kept
}

fn area(edges: &[f32; 4]) -> f32 {
    (edges[2] - edges[0]).max(0.0) * (edges[3] - edges[1]).max(0.0)
}

fn shared(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    let both = [
        a[0].max(b[0]),
        a[1].max(b[1]),
        a[2].min(b[2]),
        a[3].min(b[3]),
    ];
    area(&both)
}

/// The box in pixels of the frame; `None` if it is outside the frame.
fn in_frame(candidate: &Candidate, placement: &Placement) -> Option<Detection> {
    let (width, height) = placement.frame;
    let pixel = |edge: f32, axis: usize, most: u32| {
        let at = (edge - placement.start[axis]) / placement.scale[axis];
        at.round().clamp(0.0, most as f32) as u32
    };
    let [x0, y0, x1, y1] = candidate.edges;
    let region = PixelBox {
        x0: pixel(x0, 0, width),
        y0: pixel(y0, 1, height),
        x1: pixel(x1, 0, width),
        y1: pixel(y1, 1, height),
    };
    (region.area() > 0).then_some(Detection {
        region,
        score: candidate.score,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: f32 = -9.0;

    /// An input of 64 x 32 in strides of 8 and 16, with these cells set: level, row, column, logit, logarithms.
    fn output(cells: &[(usize, usize, usize, f32, [f32; 4])]) -> (Maps, Vec<f32>) {
        let maps = Maps::new(64, 32, &[8, 16]);
        let mut output = vec![0.0; maps.numbers()];
        for level in &maps.levels {
            output[level.start..level.start + level.cells()].fill(EMPTY);
        }
        for &(level, row, column, logit, logs) in cells {
            let level = maps.levels[level];
            let cell = level.start + row * level.columns + column;
            output[cell] = logit;
            for (i, log) in logs.into_iter().enumerate() {
                output[cell + (i + 1) * level.cells()] = log;
            }
        }
        (maps, output)
    }

    fn found(cells: &[(usize, usize, usize, f32, [f32; 4])]) -> Vec<Detection> {
        let (mut maps, output) = output(cells);
        let placement = Placement {
            frame: (128, 64),
            scale: [0.5; 2],
            start: [0.0; 2],
        };
        let mut found = vec![];
        assert!(maps.find(&output, 0.5, &placement, &mut found));
        found
    }

    #[test]
    fn a_peak_is_a_box_of_the_frame() {
        // The cell at (24, 16) of the input, 8 to each side.
        let found = found(&[(0, 2, 3, 2.0, [0.0; 4]), (0, 2, 4, 1.0, [0.0; 4])]);
        let region = PixelBox {
            x0: 32,
            y0: 16,
            x1: 64,
            y1: 48,
        };
        assert_eq!(found.len(), 1, "its neighbour is not a peak");
        assert_eq!(found[0].region, region);
        assert!((found[0].score - 0.881).abs() < 1e-3);
    }

    #[test]
    fn overlapping_boxes_are_merged_and_others_stay() {
        let two = 2f32.ln();
        let all = found(&[
            (1, 1, 1, 3.0, [0.0; 4]),
            (0, 2, 3, 2.0, [two; 4]),
            (0, 1, 7, 1.0, [-1.0; 4]),
            (0, 0, 0, -0.1, [0.0; 4]),
        ]);
        assert_eq!(all.len(), 2, "{all:?}");
        assert!(all[0].score > all[1].score);
        assert!(all[1].region.x1 > all[0].region.x1);
        // A small box within a larger one with a higher score is part of the same fluke.
        let one = found(&[(1, 1, 1, 3.0, [0.3; 4]), (0, 2, 2, 1.0, [-0.5; 4])]);
        assert_eq!(one.len(), 1, "{one:?}");
    }

    #[test]
    fn a_box_is_clipped_to_the_frame() {
        let all = found(&[(0, 0, 0, 1.0, [0.5; 4])]);
        assert_eq!((all[0].region.x0, all[0].region.y0), (0, 0));
        // Extreme outputs still give a box within the frame.
        let all = found(&[(0, 1, 1, 1.0, [900.0; 4])]);
        assert_eq!(all[0].region, PixelBox::whole(128, 64));
        assert!(found(&[(0, 1, 1, 1.0, [-900.0; 4])]).is_empty());
    }

    #[test]
    fn an_output_that_is_not_finite_is_reported() {
        let placement = Placement {
            frame: (64, 32),
            scale: [1.0; 2],
            start: [0.0; 2],
        };
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let (mut maps, with) = output(&[(0, 1, 1, bad, [0.0; 4])]);
            assert!(!maps.find(&with, 0.5, &placement, &mut vec![]), "{bad}");
            let (mut maps, with) = output(&[(1, 1, 1, 1.0, [0.0, bad, 0.0, 0.0])]);
            assert!(!maps.find(&with, 0.5, &placement, &mut vec![]), "{bad}");
        }
        let (mut maps, whole) = output(&[]);
        assert!(!maps.find(&whole[1..], 0.5, &placement, &mut vec![]));
    }
}
