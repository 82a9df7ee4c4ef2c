//! A fluke found in a frame.

use crate::pixel_box::PixelBox;

/// A fluke that a detector found in a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// The box of the fluke, in pixels of the frame.
    pub region: PixelBox,
    /// The detector's score, in 0..=1: comparable between frames of one detector, not a
    /// probability.
    pub score: f32,
}
