//! Verdicts on single photos of the same whales with given boxes, as a baseline for those on videos.

use flukewatch_common::decision::Verdict;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_dataset::{Dataset, LabelledPhoto};
use flukewatch_edge::encounter::{Encounters, FlukeBoxes, Grouping};
use flukewatch_edge::identification::{CropImage, Identifier};
use flukewatch_edge::time::MonotonicTimestamp;
use flukewatch_eval::embed::reduced;
use image::RgbImage;
use std::collections::BTreeMap;
use std::path::Path;

/// The first photo of each whale in a table, and an identifier.
pub(crate) struct Stills {
    photos: BTreeMap<String, LabelledPhoto>,
    identifier: Identifier,
    padding: f32,
}

impl Stills {
    /// Reads `table`. Photos are identified with `identifier` like the boat's stills, from crops with
    /// this padding.
    pub(crate) fn open(table: &Path, identifier: Identifier, padding: f32) -> Self {
        let mut photos = BTreeMap::new();
        for photo in Dataset::open(table, None).unwrap().photos {
            let whale = photo.whale.clone().unwrap_or_default();
            photos.entry(whale).or_insert(photo);
        }
        Self {
            photos,
            identifier,
            padding,
        }
    }

    /// The verdicts on `whale`'s photo at full size, and downscaled to a fluke at most `across` pixels
    /// wide. `None` if the table has no photo of `whale`.
    pub(crate) fn verdicts(&mut self, whale: &str, across: u32) -> Option<[Verdict; 2]> {
        let photo = self.photos.get(whale)?;
        let (picture, region) = photo.decode_with_region().unwrap();
        let region = region.unwrap_or(PixelBox::whole(picture.width(), picture.height()));
        let whole = self.verdict(&picture, region);
        if region.width() <= across {
            return Some([whole.clone(), whole]);
        }
        let (small, region) = reduced(picture, Some(region), across);
        let region = region.unwrap_or(PixelBox::whole(small.width(), small.height()));
        Some([whole, self.verdict(&small, region)])
    }

    fn verdict(&mut self, picture: &RgbImage, region: PixelBox) -> Verdict {
        let mut encounters = Encounters::new(Grouping::Stills, 1, self.padding);
        let over = encounters.observe_image(
            picture,
            FlukeBoxes::Given(&[region]),
            MonotonicTimestamp::default(),
        );
        let crops = over[0].crops.iter().map(|crop| CropImage {
            pixels: crop.pixels.clone(),
            region: crop.region,
        });
        let crops: Vec<CropImage> = crops.collect();
        let embedded = self.identifier.embed(&crops).unwrap();
        let found = self.identifier.identify(&embedded.embedded).unwrap();
        found.decision.into()
    }
}
