//! Rectangles in pixels of a picture.

use serde::{Deserialize, Serialize};

/// A rectangle in pixels of the picture as stored; right and bottom edges are exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PixelBox {
    /// The left edge, inclusive.
    pub x0: u32,
    /// The top edge, inclusive.
    pub y0: u32,
    /// The right edge, exclusive.
    pub x1: u32,
    /// The bottom edge, exclusive.
    pub y1: u32,
}

impl PixelBox {
    /// The box that covers a whole picture of `width` x `height`.
    pub fn whole(width: u32, height: u32) -> Self {
        Self {
            x0: 0,
            y0: 0,
            x1: width,
            y1: height,
        }
    }

    /// The pixels that a box with sides `[x0, y0, x1, y1]` covers: fractions of a pixel are rounded
    /// outward, so that no tip of a fluke is cut off. `None` unless 0 <= x0 < x1 <= [`u32::MAX`], and y
    /// likewise.
    pub fn covering(sides: [f64; 4]) -> Option<Self> {
        let [x0, y0, x1, y1] = sides;
        let possible = 0.0..=f64::from(u32::MAX);
        if sides.iter().any(|side| !possible.contains(side)) || x0 >= x1 || y0 >= y1 {
            return None;
        }
        Some(Self {
            x0: x0.floor() as u32,
            y0: y0.floor() as u32,
            x1: x1.ceil() as u32,
            y1: y1.ceil() as u32,
        })
    }

    /// The width in pixels; 0 for an inverted box.
    pub fn width(&self) -> u32 {
        self.x1.saturating_sub(self.x0)
    }

    /// The height in pixels; 0 for an inverted box.
    pub fn height(&self) -> u32 {
        self.y1.saturating_sub(self.y0)
    }

    /// The number of pixels that it covers.
    pub fn area(&self) -> u64 {
        u64::from(self.width()) * u64::from(self.height())
    }

    /// The part within a picture of `width` x `height`; `None` if it is empty.
    pub fn within(&self, width: u32, height: u32) -> Option<Self> {
        let clipped = Self {
            x0: self.x0.min(width),
            y0: self.y0.min(height),
            x1: self.x1.min(width),
            y1: self.y1.min(height),
        };
        (clipped.area() > 0).then_some(clipped)
    }

    /// The box in a picture whose sides are `by` times shorter.
    pub fn reduced(&self, by: u32) -> Self {
        let by = by.max(1);
        Self {
            x0: self.x0 / by,
            y0: self.y0 / by,
            x1: self.x1.div_ceil(by),
            y1: self.y1.div_ceil(by),
        }
    }

    /// The smallest box around `bounds`, if any, and the pixel at `x`, `y`.
    pub fn with_pixel(bounds: Option<Self>, x: u32, y: u32) -> Self {
        let pixel = Self {
            x0: x,
            y0: y,
            x1: x + 1,
            y1: y + 1,
        };
        bounds.map_or(pixel, |b| Self {
            x0: b.x0.min(x),
            y0: b.y0.min(y),
            x1: b.x1.max(x + 1),
            y1: b.y1.max(y + 1),
        })
    }

    /// Intersection over union, 0 to 1.
    pub fn overlap(&self, other: &Self) -> f64 {
        let both = Self {
            x0: self.x0.max(other.x0),
            y0: self.y0.max(other.y0),
            x1: self.x1.min(other.x1),
            y1: self.y1.min(other.y1),
        };
        let shared = both.area() as f64;
        let all = self.area() as f64 + other.area() as f64 - shared;
        if all > 0.0 { shared / all } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_clipped_to_the_picture() {
        let b = PixelBox {
            x0: 5,
            y0: 5,
            x1: 50,
            y1: 20,
        };
        assert_eq!(
            b.within(10, 10),
            Some(PixelBox {
                x0: 5,
                y0: 5,
                x1: 10,
                y1: 10
            })
        );
        assert_eq!(b.within(5, 10), None);
    }

    #[test]
    fn boxes_grow_by_pixels_and_overlap_is_a_fraction() {
        let one = PixelBox::with_pixel(None, 3, 4);
        assert_eq!((one.area(), one.x0, one.y1), (1, 3, 5));
        let grown = PixelBox::with_pixel(Some(one), 1, 5);
        assert_eq!((grown.x0, grown.y0, grown.x1, grown.y1), (1, 4, 4, 6));
        assert_eq!(grown.overlap(&grown), 1.0);
        assert!((grown.overlap(&one) - 1.0 / 6.0).abs() < 1e-12);
        let away = PixelBox::with_pixel(None, 9, 9);
        assert_eq!((grown.overlap(&away), away.overlap(&grown)), (0.0, 0.0));
        let nothing = PixelBox::whole(0, 0);
        assert_eq!(nothing.overlap(&nothing), 0.0);
    }

    #[test]
    fn a_box_with_fractions_covers_each_pixel_that_it_touches() {
        let covered = PixelBox {
            x0: 0,
            y0: 4,
            x1: 3,
            y1: 6,
        };
        assert_eq!(PixelBox::covering([0.9, 4.0, 2.1, 6.0]), Some(covered));
        for impossible in [
            [-0.1, 0.0, 1.0, 1.0],
            [1.0, 0.0, 1.0, 1.0],
            [0.0, 2.0, 1.0, 1.0],
            [0.0, 0.0, f64::NAN, 1.0],
            [0.0, 0.0, 1e12, 1.0],
        ] {
            assert_eq!(PixelBox::covering(impossible), None);
        }
    }

    #[test]
    fn a_reduced_box_covers_all_its_pixels() {
        let b = PixelBox {
            x0: 3,
            y0: 4,
            x1: 7,
            y1: 9,
        };
        assert_eq!(b.reduced(1), b);
        let half = PixelBox {
            x0: 1,
            y0: 2,
            x1: 4,
            y1: 5,
        };
        assert_eq!(b.reduced(2), half);
    }

    #[test]
    fn an_inverted_box_is_empty() {
        let b = PixelBox {
            x0: 9,
            y0: 2,
            x1: 3,
            y1: 8,
        };
        assert_eq!((b.width(), b.area(), b.within(100, 100)), (0, 0, None));
    }
}
