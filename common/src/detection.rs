//! A fluke found in a frame.

use crate::pixel_box::PixelBox;

/// A box that a detector takes for a fluke.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// Where it is in the frame, in the frame's pixels.
    pub region: PixelBox,
    /// How sure the detector is, in 0..=1. Comparable between frames of one detector, no probability.
    pub score: f32,
}
