//! The grid of locations of a model's descriptors.

use serde::{Deserialize, Serialize};

/// The most locations along a side of the grid.
const MAX_SIDE: usize = 64;
/// The most locations of a grid.
const MAX_LOCATIONS: usize = 1024;
/// The most numbers of a location's descriptor.
const MAX_DIMENSION: usize = 1024;

/// `height` x `width` locations with a descriptor of `dimension` numbers each, and optionally a fine grid of twice the rows and
/// columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// The number of rows of locations.
    pub height: usize,
    /// The number of locations in a row.
    pub width: usize,
    /// The number of values of a descriptor.
    pub dimension: usize,
    /// The number of values of a descriptor of the fine grid; 0 without one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub fine: usize,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde calls"
)]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A layout with a size out of range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "descriptors of {height} x {width} locations and {dimension} values; expected 1 to {MAX_SIDE} locations per side, at most \
     {MAX_LOCATIONS} in total, and 1 to {MAX_DIMENSION} values"
)]
pub struct InvalidLayout {
    height: usize,
    width: usize,
    dimension: usize,
}

impl Layout {
    /// # Errors
    /// When a size is out of range.
    pub fn validate(&self) -> Result<(), InvalidLayout> {
        let Self {
            height,
            width,
            dimension,
            fine: _,
        } = *self;
        let sides = [height, width].iter().all(|s| (1..=MAX_SIDE).contains(s));
        if sides && height * width <= MAX_LOCATIONS && (1..=MAX_DIMENSION).contains(&dimension) {
            self.fine_grid().map_or(Ok(()), |fine| fine.validate())
        } else {
            Err(InvalidLayout {
                height,
                width,
                dimension,
            })
        }
    }

    /// The layout of the fine grid, if there is one.
    pub fn fine_grid(&self) -> Option<Self> {
        (self.fine > 0).then_some(Self {
            height: 2 * self.height,
            width: 2 * self.width,
            dimension: self.fine,
            fine: 0,
        })
    }

    /// The number of channels of a model's local output: a block of `dimension` for each view, then the descriptors of the fine grid,
    /// four to a location.
    pub fn channels(&self, views: usize) -> usize {
        views * self.dimension + 4 * self.fine
    }

    /// The number of locations.
    pub fn locations(&self) -> usize {
        self.height * self.width
    }

    /// The rectangle that a location covers, `[left, top, right, bottom]` as fractions of the crop's sides.
    pub fn cell(&self, location: usize) -> [f32; 4] {
        let (row, column) = (location / self.width, location % self.width);
        let (w, h) = (self.width as f32, self.height as f32);
        let (row, column) = (row as f32, column as f32);
        [column / w, row / h, (column + 1.0) / w, (row + 1.0) / h]
    }
}
