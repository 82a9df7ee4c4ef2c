//! Finding the matching regions of a picture and its candidates.

use super::{CandidateRegions, MAX_REGIONS, MatchingRegions, RegionPair, WHOLE};
use crate::catalogue::{Catalogue, Match};
use crate::input_area::InputArea;
use crate::local_matching::{Descriptors, LocalPhotos, LocalPhotosError, matching_regions};

/// A picture as the model sees it, and where.
#[derive(Clone, Copy, Debug)]
pub struct DescribedPicture<'a> {
    /// The descriptors of its crop.
    pub descriptors: &'a Descriptors,
    /// The part of the picture that the model's input covers.
    pub area: InputArea,
    /// The part of the input that shows the crop ([`crate::prepare::Preparation::crop_in_input`]).
    pub crop: [f32; 4],
}

impl MatchingRegions {
    /// The regions of `picture` that match the photos of `candidates`, which a search found in `catalogue`.
    ///
    /// Reads the descriptors of these photos only.
    ///
    /// # Errors
    /// When descriptors are damaged or of another model or catalogue.
    pub fn find(
        picture: DescribedPicture<'_>,
        catalogue: &Catalogue,
        photos: &LocalPhotos,
        candidates: &[Match],
    ) -> Result<Self, LocalPhotosError> {
        let layout = picture.descriptors.layout();
        if layout != photos.layout() {
            return Err(LocalPhotosError::Layout {
                expected: photos.layout(),
                got: layout,
            });
        }
        if photos.len() != catalogue.len() {
            return Err(LocalPhotosError::OtherCatalogue);
        }
        photos.expect_unchanged()?;
        let regions = |candidate: &Match| {
            let mut entries = catalogue.entries().iter();
            let place =
                entries.position(|e| e.whale == candidate.whale && e.photo == candidate.photo);
            let place = place.ok_or(LocalPhotosError::OtherCatalogue)?;
            let area = catalogue.entries()[place].input_area;
            Ok(picture.matched(&photos.descriptors(place)?, area))
        };
        let found: Result<Vec<_>, _> = candidates.iter().map(regions).collect();
        photos.release_pages();
        found.map(|candidates| picture.regions(candidates))
    }
}

impl DescribedPicture<'_> {
    /// The matching regions of the picture and the photo with these descriptors.
    ///
    /// # Panics
    /// When the layouts differ.
    pub fn matched(&self, photo: &Descriptors, area: Option<InputArea>) -> CandidateRegions {
        let layout = self.descriptors.layout();
        // The bars of two letterboxes match well and show nothing.
        let shows_crop = |cell: usize| {
            let [left, top, right, bottom] = layout.cell(cell);
            let (x, y) = ((left + right) / 2.0, (top + bottom) / 2.0);
            let crop = self.crop;
            (crop[0]..=crop[2]).contains(&x) && (crop[1]..=crop[3]).contains(&y)
        };
        let found = matching_regions(self.descriptors, photo, layout.locations());
        let pairs = found
            .into_iter()
            .filter(|region| shows_crop(region.one))
            .take(MAX_REGIONS)
            .map(|region| RegionPair {
                picture: region.one as u16,
                photo: region.other as u16,
                contribution: (region.contribution.clamp(0.0, 1.0) * f32::from(WHOLE)).round()
                    as u16,
            });
        CandidateRegions {
            photo: area,
            pairs: pairs.collect(),
        }
    }

    /// The matching regions of the picture and its candidates.
    pub fn regions(&self, candidates: Vec<CandidateRegions>) -> MatchingRegions {
        let layout = self.descriptors.layout();
        MatchingRegions {
            height: layout.height as u8,
            width: layout.width as u8,
            picture: self.area,
            candidates,
        }
    }
}
