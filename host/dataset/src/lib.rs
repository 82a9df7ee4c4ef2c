//! Labelled photos, in three formats:
//!
//! - a CSV with boxes: `image,identity,x0,y0,x1,y1`, optionally with `date` (ISO, e.g. 2024-06-19)
//!   and `encounter` (any text, equal for photos of one encounter); other columns are ignored;
//! - the Kaggle format: `Image,Id`, where `new_whale` is an unknown whale;
//! - a folder with one folder of photos per whale.

mod csv_table;
mod folder;

use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::prepare::{self, Preparation, PrepareError};
use image::RgbImage;
use jiff::civil::Date;
use ndarray::Array3;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Label of an unknown whale.
pub const NEW_WHALE: &str = "new_whale";

/// A photo and its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledPhoto {
    /// File of the photo.
    pub path: PathBuf,
    /// Name in the table.
    pub name: String,
    /// Name of the whale; `None` if unknown.
    pub whale: Option<String>,
    /// Box of the fluke; `None` for the whole photo.
    pub region: Option<PixelBox>,
    /// Day of capture, if known.
    pub date: Option<Date>,
    /// Name of the encounter, if known; equal for its photos.
    pub encounter: Option<String>,
}

/// Why photos cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A table, folder or photo that cannot be opened.
    #[error("{path}: {source}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system reports.
        source: std::io::Error,
    },
    /// A required column is missing.
    #[error(
        "{path}:1: no column '{column}' in the header '{found}'; expected image,identity[,x0,y0,x1,y1] or Image,Id"
    )]
    Column {
        /// Path of the table.
        path: PathBuf,
        /// Name of the column.
        column: &'static str,
        /// The first line of the table.
        found: String,
    },
    /// A line of the table is invalid.
    #[error("{path}:{line}: {reason}")]
    Line {
        /// Path of the table.
        path: PathBuf,
        /// Line number, from 1.
        line: u64,
        /// What is wrong with the line.
        reason: String,
    },
    /// A photo of the table that does not exist.
    #[error("{path}:{line}: photo {photo} not found in {folder}")]
    NoPhoto {
        /// Path of the table.
        path: PathBuf,
        /// Line number, from 1.
        line: u64,
        /// Name of the photo.
        photo: String,
        /// Folder of the photos.
        folder: PathBuf,
    },
    /// The table or folder has no photos.
    #[error("{0} contains no photos")]
    Empty(PathBuf),
    /// A photo that cannot be decoded.
    #[error("{path}: {source}")]
    Photo {
        /// File of the photo.
        path: PathBuf,
        /// What the decoder reports.
        source: PrepareError,
    },
}

/// Labelled photos, in the order of their table.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// The photos, in the order of the table.
    pub photos: Vec<LabelledPhoto>,
}

impl Dataset {
    /// Reads a table or a folder of folders. The photos of a table are in `photos`, by default in
    /// the folder next to it with the same name; none is opened yet.
    ///
    /// # Errors
    /// If something is missing or malformed.
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

    /// At most `count` photos, evenly spaced in the table.
    pub fn spread(&self, count: usize) -> Vec<&LabelledPhoto> {
        let all = &self.photos;
        let count = count.min(all.len());
        (0..count).map(|i| &all[i * all.len() / count]).collect()
    }

    /// Positions of the photos of each named whale.
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
    /// Decodes the photo, crops it to the fluke and prepares it.
    ///
    /// # Shapes
    /// `[H, W, C] u8`.
    ///
    /// # Errors
    /// If the file cannot be decoded or the box lies outside it.
    pub fn prepared(&self, preparation: &Preparation) -> Result<Array3<u8>, DatasetError> {
        let picture = self.decode()?;
        preparation
            .pixels(&picture, self.region_of(picture.dimensions()))
            .map_err(|source| DatasetError::Photo {
                path: self.path.clone(),
                source,
            })
    }

    /// The box of the fluke, or the whole photo of this width and height if it has none.
    pub fn region_of(&self, (width, height): (u32, u32)) -> PixelBox {
        self.region.unwrap_or(PixelBox::whole(width, height))
    }

    /// Reads and decodes the file.
    ///
    /// # Errors
    /// If it cannot be read or decoded.
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
