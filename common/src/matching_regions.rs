//! Which regions of a sighting's picture match which of its candidates' photos, as an explanation for people.
//!
//! Local matching compares two photos location by location. The locations that are each other's most similar travel with the
//! sighting as numbers of cells; [`MatchingRegions::outlines`] turns them into rectangles of both photos.

mod drawing;
mod find;

pub use drawing::{Drawing, Mark};
pub use find::DescribedPicture;

use crate::input_area::{InputArea, PhotoRect};
use crate::local_matching::Layout;
use serde::{Deserialize, Serialize};

/// The most matching regions of a candidate.
pub const MAX_REGIONS: usize = 8;
/// The largest contribution, in thousandths.
const WHOLE: u16 = 1000;

/// The matching regions of a sighting's picture and the photos of its candidates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchingRegions {
    /// The number of rows of the grid of cells over the model's input.
    pub height: u8,
    /// The number of cells in a row.
    pub width: u8,
    /// The part of the picture that the grid covers.
    pub picture: InputArea,
    /// Those of each candidate, in the order of the sighting's candidates.
    pub candidates: Vec<CandidateRegions>,
}

/// The matching regions of the picture and one candidate's photo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateRegions {
    /// The part of the photo that the grid covers; `None` where the catalogue does not say.
    pub photo: Option<InputArea>,
    /// The regions, those that contribute most first, at most [`MAX_REGIONS`].
    pub pairs: Vec<RegionPair>,
}

/// Two cells that are each other's most similar. Cells are counted row by row, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionPair {
    /// The cell of the picture.
    pub picture: u16,
    /// The cell of the candidate's photo.
    pub photo: u16,
    /// The contribution to the similarity of both photos, in thousandths.
    pub contribution: u16,
}

/// A matching region as it is shown in both photos.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RegionOutlines {
    /// The number, from 1; 1 contributes most.
    pub number: usize,
    /// The contribution to the similarity of both photos, a fraction in [0, 1].
    pub contribution: f32,
    /// The rectangle in the picture; `None` if it is outside.
    pub picture: Option<PhotoRect>,
    /// The rectangle in the photo; `None` if it is outside, or its place is unknown.
    pub photo: Option<PhotoRect>,
}

/// Matching regions that a boat cannot have found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRegions {
    /// A grid that is too small or too large.
    #[error("matching regions in a grid of {height} x {width} cells")]
    Grid {
        /// The number of rows.
        height: u8,
        /// The number of cells in a row.
        width: u8,
    },
    /// A grid that covers no part of its photo.
    #[error("matching regions outside their photo: {0:?}")]
    Area(InputArea),
    /// Not one list of regions per candidate.
    #[error("matching regions of {got} candidates; expected {expected}")]
    Candidates {
        /// The number of candidates of the sighting.
        expected: usize,
        /// The number of lists.
        got: usize,
    },
    /// More than [`MAX_REGIONS`] regions of a candidate.
    #[error("{0} matching regions of a candidate; at most {MAX_REGIONS} are allowed")]
    TooMany(usize),
    /// A cell that is not in the grid.
    #[error("matching region in cell {cell} of a grid of {cells} cells")]
    CellOutside {
        /// The number of the cell, from 0.
        cell: u16,
        /// The number of cells of the grid.
        cells: usize,
    },
    /// A contribution above 1,000 thousandths.
    #[error("a matching region contributes {0} thousandths; at most {WHOLE} are possible")]
    Contribution(u16),
}

impl MatchingRegions {
    /// Checks values from outside, of a sighting with this number of candidates.
    ///
    /// # Errors
    /// For the first value that is out of range.
    pub fn validate(&self, candidates: usize) -> Result<(), InvalidRegions> {
        let Self { height, width, .. } = *self;
        let grid = self.grid();
        grid.validate()
            .map_err(|_| InvalidRegions::Grid { height, width })?;
        if self.candidates.len() != candidates {
            return Err(InvalidRegions::Candidates {
                expected: candidates,
                got: self.candidates.len(),
            });
        }
        let photos = self.candidates.iter().filter_map(|c| c.photo);
        for area in photos.chain([self.picture]) {
            if !area.is_valid() {
                return Err(InvalidRegions::Area(area));
            }
        }
        let cells = grid.locations();
        for CandidateRegions { pairs, .. } in &self.candidates {
            if pairs.len() > MAX_REGIONS {
                return Err(InvalidRegions::TooMany(pairs.len()));
            }
            for pair in pairs {
                let mut both = [pair.picture, pair.photo].into_iter();
                if let Some(cell) = both.find(|cell| usize::from(*cell) >= cells) {
                    return Err(InvalidRegions::CellOutside { cell, cells });
                }
                if pair.contribution > WHOLE {
                    return Err(InvalidRegions::Contribution(pair.contribution));
                }
            }
        }
        Ok(())
    }

    /// The regions of a candidate as rectangles of both photos; none for a candidate that does not exist.
    pub fn outlines(&self, candidate: usize) -> Vec<RegionOutlines> {
        let grid = self.grid();
        let Some(CandidateRegions { photo, pairs }) = self.candidates.get(candidate) else {
            return vec![];
        };
        let outline = |area: InputArea, cell: u16| area.rect(grid.cell(usize::from(cell)));
        (1..)
            .zip(pairs)
            .map(|(number, pair)| RegionOutlines {
                number,
                contribution: f32::from(pair.contribution) / f32::from(WHOLE),
                picture: outline(self.picture, pair.picture),
                photo: photo.and_then(|area| outline(area, pair.photo)),
            })
            .collect()
    }

    /// The grid; the dimension of the descriptors does not travel.
    fn grid(&self) -> Layout {
        Layout {
            height: usize::from(self.height),
            width: usize::from(self.width),
            dimension: 1,
            fine: 0,
        }
    }
}

#[cfg(test)]
mod tests;
