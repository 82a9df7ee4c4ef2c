//! Which detections of a camera count: not those in ignored areas, and not the smallest.

use crate::ignored_areas::{FramePoint, IgnoredAreas};
use flukewatch_common::detection::Detection;
use flukewatch_common::footage::FrameSize;
use flukewatch_common::pixel_box::PixelBox;

/// Drops detections before they reach the tracker. The default drops none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DetectionFilter {
    /// A detection whose centre lies in one of them is dropped. The centre decides rather than an
    /// overlap, so that a fluke behind the bow rail is kept as long as most of it is above.
    pub ignored: IgnoredAreas,
    /// Detections narrower than this many pixels of the frame are dropped.
    pub min_width: u32,
}

impl DetectionFilter {
    /// Keeps those of `detections` that count, in their order. They are in pixels of a frame of
    /// this size.
    pub fn apply(&self, detections: &mut Vec<Detection>, frame: FrameSize) {
        detections.retain(|detection| self.passes(detection.region, frame));
    }

    fn passes(&self, region: PixelBox, frame: FrameSize) -> bool {
        let fraction = |low: u32, high: u32, side: u32| {
            (f64::from(low) + f64::from(high)) / 2.0 / f64::from(side.max(1))
        };
        let centre = FramePoint {
            x: fraction(region.x0, region.x1, frame.width),
            y: fraction(region.y0, region.y1, frame.height),
        };
        region.width() >= self.min_width && !self.ignored.contain(centre)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: FrameSize = FrameSize {
        width: 1000,
        height: 500,
    };

    /// The left edges of what passes of detections at `boxes`.
    fn passed(filter: &DetectionFilter, boxes: &[[u32; 4]]) -> Vec<u32> {
        let mut detections = boxes
            .iter()
            .map(|&[x0, y0, x1, y1]| Detection {
                region: PixelBox { x0, y0, x1, y1 },
                score: 0.5,
            })
            .collect();
        filter.apply(&mut detections, FRAME);
        detections.iter().map(|d| d.region.x0).collect()
    }

    #[test]
    fn nothing_is_dropped_by_default() {
        let all = [[0, 0, 1, 1], [7, 499, 1000, 500]];
        assert_eq!(passed(&DetectionFilter::default(), &all), [0, 7]);
    }

    #[test]
    fn a_detection_is_dropped_where_its_centre_is_ignored() {
        // The lower fifth, in pixels from y = 400.
        let rail = serde_json::from_str("[[[0, 0.8], [1, 0.8], [1, 1], [0, 1]]]").unwrap();
        let filter = DetectionFilter {
            ignored: rail,
            min_width: 0,
        };
        let on_rail = [1, 390, 101, 430];
        let behind_rail = [2, 360, 102, 430];
        let corner = [3, 401, 4, 402];
        let open_sea = [4, 100, 104, 150];
        let all = [on_rail, behind_rail, corner, open_sea];
        assert_eq!(passed(&filter, &all), [2, 4]);
    }

    #[test]
    fn narrow_detections_are_dropped() {
        let filter = DetectionFilter {
            min_width: 40,
            ..DetectionFilter::default()
        };
        let all = [[1, 0, 40, 200], [2, 0, 42, 5], [900, 0, 500, 5]];
        assert_eq!(passed(&filter, &all), [2]);
    }
}
