//! Where a model's input lies in its photo, so that locations of the input can be shown in the photo.

use crate::photo_limits::MAX_SIDE;
use serde::{Deserialize, Serialize};

/// The space around an area that is shown with it, as a fraction of its sides.
const SURROUNDINGS: f64 = 0.1;

/// The part of a photo that a model's input covers, in pixels of the upright photo.
///
/// A letterboxed input covers more than its crop, and may extend beyond the photo. In a copy of the photo of another size, fractions of
/// the sides are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InputArea {
    /// The width of the photo.
    pub width: u32,
    /// The height of the photo.
    pub height: u32,
    /// The left edge of the part.
    pub left: i32,
    /// The top edge of the part.
    pub top: i32,
    /// The right edge of the part, exclusive.
    pub right: i32,
    /// The bottom edge of the part, exclusive.
    pub bottom: i32,
}

/// A rectangle in a photo, in pixels with fractions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PhotoRect {
    /// The left edge.
    pub left: f32,
    /// The top edge.
    pub top: f32,
    /// The width.
    pub width: f32,
    /// The height.
    pub height: f32,
}

impl InputArea {
    /// Whether photo and part have an extent, and the part covers some of the photo.
    pub fn is_valid(&self) -> bool {
        let covers = |from: i32, to: i32, side: u32| {
            (1..=MAX_SIDE).contains(&side) && from < to && to > 0 && i64::from(from) < side.into()
        };
        covers(self.left, self.right, self.width) && covers(self.top, self.bottom, self.height)
    }

    /// The rectangle of `part`, which is `[left, top, right, bottom]` as fractions of the input's sides
    /// ([`crate::local_matching::Layout::cell`]); `None` if it is outside the photo.
    pub fn rect(&self, part: [f32; 4]) -> Option<PhotoRect> {
        self.clipped(part.map(f64::from))
    }

    /// The part of the photo to show: this one with its surroundings; `None` if it is outside the photo.
    pub fn view(&self) -> Option<PhotoRect> {
        let (before, after) = (-SURROUNDINGS, 1.0 + SURROUNDINGS);
        self.clipped([before, before, after, after])
    }

    fn clipped(&self, part: [f64; 4]) -> Option<PhotoRect> {
        let place = |from: i32, to: i32, at: f64, side: u32| {
            let (from, to) = (f64::from(from), f64::from(to));
            (from + (to - from) * at).clamp(0.0, f64::from(side))
        };
        // Hundredths of a pixel are finer than any screen.
        let rounded = |value: f64| ((value * 100.0).round() / 100.0) as f32;
        let [left, right] =
            [part[0], part[2]].map(|at| place(self.left, self.right, at, self.width));
        let [top, bottom] =
            [part[1], part[3]].map(|at| place(self.top, self.bottom, at, self.height));
        let rect = PhotoRect {
            left: rounded(left),
            top: rounded(top),
            width: rounded(right - left),
            height: rounded(bottom - top),
        };
        (rect.width > 0.0 && rect.height > 0.0).then_some(rect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn area(left: i32, top: i32, right: i32, bottom: i32) -> InputArea {
        InputArea {
            width: 800,
            height: 300,
            left,
            top,
            right,
            bottom,
        }
    }

    const fn rect(left: f32, top: f32, width: f32, height: f32) -> PhotoRect {
        PhotoRect {
            left,
            top,
            width,
            height,
        }
    }

    #[test]
    fn a_part_of_the_input_is_a_rectangle_of_the_photo() {
        // The right half of the photo, all of its height.
        let right_half = area(400, 0, 800, 300);
        let part = right_half.rect([0.5, 0.25, 0.6, 0.5]);
        assert_eq!(part, Some(rect(600.0, 75.0, 40.0, 75.0)));
        assert_eq!(right_half.view(), Some(rect(360.0, 0.0, 440.0, 300.0)));
    }

    #[test]
    fn a_rectangle_is_clipped_to_the_photo() {
        // A letterbox with bars above and below: twice as high as the photo.
        let letterbox = area(0, -150, 800, 450);
        assert!(letterbox.is_valid());
        assert_eq!(letterbox.rect([0.0, 0.0, 1.0, 0.25]), None);
        let partly = letterbox.rect([0.0, 0.2, 1.0, 0.5]);
        assert_eq!(partly, Some(rect(0.0, 0.0, 800.0, 150.0)));
        assert_eq!(letterbox.view(), Some(rect(0.0, 0.0, 800.0, 300.0)));
    }

    #[test]
    fn an_area_without_extent_or_outside_the_photo_is_invalid() {
        assert!(area(i32::MIN, i32::MIN, i32::MAX, i32::MAX).is_valid());
        for bad in [
            area(5, 0, 5, 10),
            area(0, 9, 10, 3),
            area(800, 0, 801, 10),
            area(-9, 0, 0, 10),
            area(0, -9, 10, -1),
        ] {
            assert!(!bad.is_valid(), "{bad:?}");
            assert_eq!(bad.rect([0.0, 0.0, 1.0, 1.0]), None, "{bad:?}");
        }
        for (width, height) in [(0, 300), (800, 0), (MAX_SIDE + 1, 300), (800, u32::MAX)] {
            let sized = InputArea {
                width,
                height,
                ..area(0, 0, 10, 10)
            };
            assert!(!sized.is_valid(), "{sized:?}");
        }
    }
}
