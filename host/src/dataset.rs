//! Labelled photos, from the forms in which people keep them.
//!
//! - a CSV with boxes: `image,identity,width,height,x0,y0,x1,y1`, and where known `date` (ISO, as 2024-06-19) and `encounter`
//!   (any name; photos of one encounter share it); other columns are passed over;
//! - the Kaggle form: `Image,Id`, where `new_whale` means an unknown whale;
//! - a folder with a folder of photos for each whale.

mod csv_table;
mod folder;

use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::prepare::{self, Preparation, PrepareError};
use image::RgbImage;
use jiff::civil::Date;
use ndarray::Array3;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What the Kaggle form calls a whale without a name.
pub const NEW_WHALE: &str = "new_whale";

/// A photo with what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledPhoto {
    /// The file.
    pub path: PathBuf,
    /// Its name in the table.
    pub name: String,
    /// The whale; `None` for one without a name.
    pub whale: Option<String>,
    /// The fluke; `None` for the whole photo.
    pub region: Option<PixelBox>,
    /// The day it was taken, if known.
    pub date: Option<Date>,
    /// The encounter that it belongs to, if known.
    pub encounter: Option<String>,
}

/// Why photos cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The table or folder itself.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A table without a column that it needs.
    #[error(
        "{path}: no column '{column}' in the first line ({found}); expected image,identity[,x0,y0,x1,y1] or Image,Id"
    )]
    Column {
        /// Which table.
        path: PathBuf,
        /// The column.
        column: &'static str,
        /// What stands there.
        found: String,
    },
    /// A line that makes no sense.
    #[error("{path}, line {line}: {reason}")]
    Line {
        /// Which table.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// A photo that the table names is not there.
    #[error(
        "{path}, line {line}: the photo {photo} is not there (photos are looked for in {folder})"
    )]
    NoPhoto {
        /// Which table.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// The photo.
        photo: String,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// Nothing in it.
    #[error("{0} holds no photo")]
    Empty(PathBuf),
    /// A photo that cannot be decoded.
    #[error("{path}: {source}")]
    Photo {
        /// Which.
        path: PathBuf,
        /// Why.
        source: PrepareError,
    },
}

/// Photos in the order of their table.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// The photos.
    pub photos: Vec<LabelledPhoto>,
}

impl Dataset {
    /// Reads a table (with its photos in `photos`, or in the folder beside it that bears its name) or a folder of folders.
    ///
    /// # Errors
    /// When something is missing or malformed; a table is read to its end before any photo is opened.
    pub fn open(path: &Path, photos: Option<&Path>) -> Result<Self, DatasetError> {
        let photos = if path.is_dir() {
            folder::read(path)?
        } else {
            csv_table::read(path, photos)?
        };
        if photos.is_empty() {
            Err(DatasetError::Empty(path.to_owned()))
        } else {
            Ok(Self { photos })
        }
    }

    /// At most `count` photos, spread evenly over the table.
    pub fn spread(&self, count: usize) -> Vec<&LabelledPhoto> {
        let all = &self.photos;
        let count = count.min(all.len());
        (0..count).map(|i| &all[i * all.len() / count]).collect()
    }

    /// The photos of each named whale, as positions in [`Dataset::photos`], whales by name.
    pub fn by_whale(&self) -> BTreeMap<&str, Vec<usize>> {
        let mut whales: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (i, photo) in self.photos.iter().enumerate() {
            if let Some(whale) = &photo.whale {
                whales.entry(whale).or_default().push(i);
            }
        }
        whales
    }
}

impl LabelledPhoto {
    /// Decoded, cut to the fluke and prepared: `[H, W, C] u8`.
    ///
    /// # Errors
    /// Names the file and what is wrong with it or with its box.
    pub fn prepared(&self, preparation: &Preparation) -> Result<Array3<u8>, DatasetError> {
        let picture = self.decode()?;
        preparation
            .pixels(&picture, self.region_of(picture.dimensions()))
            .map_err(|source| DatasetError::Photo {
                path: self.path.clone(),
                source,
            })
    }

    /// The fluke in the photo's pixels, of which there are so many across and down: its box, or all of it where it has none.
    pub fn region_of(&self, (width, height): (u32, u32)) -> PixelBox {
        self.region.unwrap_or(PixelBox::whole(width, height))
    }

    /// Reads and decodes the file.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn decode(&self) -> Result<RgbImage, DatasetError> {
        let bytes = std::fs::read(&self.path).map_err(|source| DatasetError::File {
            path: self.path.clone(),
            source,
        })?;
        prepare::decode(&bytes).map_err(|source| DatasetError::Photo {
            path: self.path.clone(),
            source,
        })
    }
}
