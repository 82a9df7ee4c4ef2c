//! How frames are prepared for the detector.

use super::network::SIZE;
use flukewatch_common::prepare::{Colour, Fit, Preparation};

/// Of the exported detector.
pub fn preparation() -> Preparation {
    preparation_of(SIZE.0, SIZE.1)
}

/// The same at another size, for training.
pub(crate) fn preparation_of(height: u32, width: u32) -> Preparation {
    Preparation {
        height,
        width,
        colour: Colour::Grey,
        fit: Fit::Letterbox,
        padding: 0.0,
        mean: vec![110.0],
        std: vec![64.0],
    }
}
