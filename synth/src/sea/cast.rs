//! The whales that appear on a sea: drawn ones, or those of photos with boxes.

use super::sprite::Sprite;
use super::surfacing::{Appearance, Whale};
use crate::fluke::individual::Individual;
use crate::fluke::skin::Skin;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_dataset::{DatasetError, LabelledPhoto};
use image::imageops;
use image::{GrayImage, RgbImage};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// The whales of a video.
#[derive(Debug)]
pub enum Cast {
    /// Drawn whales, the same as in a population of this seed.
    Drawn {
        /// The seed of the population.
        seed: u64,
        /// Skins, painted on first use.
        skins: Vec<OnceLock<Arc<Skin>>>,
    },
    /// Whales of photos with boxes.
    Photos {
        /// The whales.
        whales: Vec<Photographed>,
        /// Masks of the photos' flukes, by which they are cut out where there are any.
        masks: Option<Masks>,
    },
}

/// Masks of photos: files of the photos' names that end in `.png`, of the photos' sizes, white where the fluke is.
#[derive(Clone, Debug)]
pub struct Masks {
    folder: PathBuf,
}

impl Masks {
    /// The masks in a folder.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// The file of a photo's mask, if there is one.
    pub fn file(&self, photo: &LabelledPhoto) -> Option<PathBuf> {
        let name = photo.path.file_stem()?.to_string_lossy().into_owned() + ".png";
        Some(self.folder.join(name)).filter(|file| file.is_file())
    }

    /// Reads a photo's mask, if there is one.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(&self, photo: &LabelledPhoto) -> Result<Option<GrayImage>, DatasetError> {
        let Some(path) = self.file(photo) else {
            return Ok(None);
        };
        let as_photo = LabelledPhoto {
            path,
            region: None,
            ..photo.clone()
        };
        Ok(Some(imageops::grayscale(&as_photo.decode()?)))
    }
}

/// A whale and its photos.
#[derive(Clone, Debug)]
pub struct Photographed {
    /// The whale's name.
    pub name: String,
    /// Photos with boxes, one or more.
    pub photos: Vec<LabelledPhoto>,
}

impl Cast {
    /// `count` drawn whales of a population's seed.
    pub fn drawn(seed: u64, count: u32) -> Self {
        let skins = (0..count).map(|_| OnceLock::new()).collect();
        Self::Drawn { seed, skins }
    }

    /// The whales of photos with boxes; each photo without a name is a separate whale.
    pub fn photos<'a>(photos: impl IntoIterator<Item = &'a LabelledPhoto>) -> Self {
        let mut whales: Vec<Photographed> = vec![];
        let mut places = std::collections::BTreeMap::new();
        for photo in photos {
            let name = photo.whale.clone().unwrap_or_else(|| photo.name.clone());
            let place = *places.entry(name.clone()).or_insert_with(|| {
                whales.push(Photographed {
                    name,
                    photos: vec![],
                });
                whales.len() - 1
            });
            whales[place].photos.push(photo.clone());
        }
        Self::Photos {
            whales,
            masks: None,
        }
    }

    /// Cuts the flukes of photos out by their masks, where there are any.
    #[must_use]
    pub fn with_masks(self, masks: Option<Masks>) -> Self {
        match self {
            Self::Photos { whales, .. } => Self::Photos { whales, masks },
            drawn @ Self::Drawn { .. } => drawn,
        }
    }

    /// The number of whales.
    pub fn len(&self) -> usize {
        match self {
            Self::Drawn { skins, .. } => skins.len(),
            Self::Photos { whales, .. } => whales.len(),
        }
    }

    /// Whether there are no whales.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whale `number` modulo the count; for photos, one of its photos, cut out in one of the styles
    /// of [`Sprite::cut`].
    ///
    /// # Errors
    /// If its photo cannot be read.
    pub fn whale(&self, number: usize, rng: &mut ChaCha8Rng) -> Result<Whale, DatasetError> {
        self.cast(number, rng, cut)
    }

    /// The same with the fluke of a photo whole: by its mask, else with as much of its surroundings as the
    /// photo has ([`Sprite::whole`]).
    ///
    /// # Errors
    /// If its photo cannot be read.
    pub fn as_photographed(
        &self,
        number: usize,
        rng: &mut ChaCha8Rng,
    ) -> Result<Whale, DatasetError> {
        self.cast(number, rng, |photo, masks, _| {
            cut_by(photo, masks, Sprite::whole)
        })
    }

    fn cast(
        &self,
        number: usize,
        rng: &mut ChaCha8Rng,
        cut: impl Fn(&LabelledPhoto, Option<&Masks>, &mut ChaCha8Rng) -> Result<Sprite, DatasetError>,
    ) -> Result<Whale, DatasetError> {
        let number = number % self.len().max(1);
        match self {
            Self::Drawn { seed, skins } => {
                let individual = number as u32 + 1;
                let skin = skins[number]
                    .get_or_init(|| Arc::new(Skin::paint(&Individual::draw(*seed, individual))));
                Ok(Whale {
                    name: Individual::name(individual),
                    appearance: Appearance::Drawn(skin.clone()),
                })
            }
            Self::Photos { whales, masks } => {
                let whale = &whales[number];
                let photo = &whale.photos[rng.random_range(0..whale.photos.len())];
                Ok(Whale {
                    name: whale.name.clone(),
                    appearance: Appearance::Photo(Arc::new(cut(photo, masks.as_ref(), rng)?)),
                })
            }
        }
    }
}

/// The cut-out fluke of a photo, by its mask if there is one.
///
/// # Errors
/// If photo or mask cannot be read, or the box lies outside of the photo.
pub fn cut(
    photo: &LabelledPhoto,
    masks: Option<&Masks>,
    rng: &mut ChaCha8Rng,
) -> Result<Sprite, DatasetError> {
    cut_by(photo, masks, |picture, region| {
        Sprite::cut(picture, region, rng)
    })
}

fn cut_by(
    photo: &LabelledPhoto,
    masks: Option<&Masks>,
    by: impl FnOnce(&RgbImage, PixelBox) -> Option<Sprite>,
) -> Result<Sprite, DatasetError> {
    let (picture, region) = photo.decode_with_region()?;
    let (width, height) = picture.dimensions();
    let region = region.unwrap_or(PixelBox::whole(width, height));
    let mask = masks.map_or(Ok(None), |masks| masks.read(photo))?;
    let masked = mask.and_then(|mask| Sprite::masked(&picture, region, &mask));
    if let Some(sprite) = masked {
        return Ok(sprite);
    }
    by(&picture, region).ok_or_else(|| DatasetError::Photo {
        path: photo.path.clone(),
        source: flukewatch_common::prepare::PrepareError::BoxOutside {
            region,
            width,
            height,
        },
    })
}
