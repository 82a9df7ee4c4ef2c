//! How matching regions are drawn over a photo, on the station's page and in the workstation's report.

use super::MatchingRegions;
use crate::input_area::{InputArea, PhotoRect};

/// The side of a number's badge, as a fraction of the drawing's longer side.
const BADGE: f32 = 0.03;
/// The distance of an outline from the edge of its cell, as a fraction of the cell's sides, so that the outlines of neighbours stay apart.
const INSET: f32 = 0.05;

/// Numbered rectangles over a part of a photo, in pixels of the photo.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    /// The width of the photo.
    pub width: u32,
    /// The height of the photo.
    pub height: u32,
    /// The part of the photo to show.
    pub view: PhotoRect,
    /// The side of a number's badge.
    pub badge: f32,
    /// The rectangles, the most contributing first.
    pub marks: Vec<Mark>,
}

/// A numbered rectangle, a little smaller than its region.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    /// The number, from 1; a region has the same in both photos.
    pub number: usize,
    /// The rectangle.
    pub rect: PhotoRect,
}

impl MatchingRegions {
    /// The regions of a candidate over the picture; `None` if it has none.
    pub fn over_picture(&self, candidate: usize) -> Option<Drawing> {
        self.drawing(self.picture, candidate, |outlines| outlines.picture)
    }

    /// The regions of a candidate over its photo; `None` if it has none, or their place in the photo is unknown.
    pub fn over_photo(&self, candidate: usize) -> Option<Drawing> {
        let area = self.candidates.get(candidate)?.photo?;
        self.drawing(area, candidate, |outlines| outlines.photo)
    }

    fn drawing(
        &self,
        area: InputArea,
        candidate: usize,
        rect: impl Fn(&super::RegionOutlines) -> Option<PhotoRect>,
    ) -> Option<Drawing> {
        let outlines = self.outlines(candidate);
        let marks: Vec<Mark> = outlines
            .iter()
            .filter_map(|outlines| {
                Some(Mark {
                    number: outlines.number,
                    rect: inset(rect(outlines)?),
                })
            })
            .collect();
        let view = area.view()?;
        (!marks.is_empty()).then(|| Drawing {
            width: area.width,
            height: area.height,
            view,
            badge: BADGE * view.width.max(view.height),
            marks,
        })
    }
}

fn inset(rect: PhotoRect) -> PhotoRect {
    let rounded = |value: f32| (value * 100.0).round() / 100.0;
    PhotoRect {
        left: rounded(rect.left + rect.width * INSET),
        top: rounded(rect.top + rect.height * INSET),
        width: rounded(rect.width * (1.0 - 2.0 * INSET)),
        height: rounded(rect.height * (1.0 - 2.0 * INSET)),
    }
}
