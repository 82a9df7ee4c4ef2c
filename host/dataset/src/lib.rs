//! Labelled photos, in three formats:
//!
//! - a CSV with boxes: `image,identity,x0,y0,x1,y1`, optionally with `date` (ISO, e.g. 2024-06-19)
//!   and `encounter` (any text, equal for photos of one encounter); other columns are ignored;
//! - the Kaggle format: `Image,Id`, where `new_whale` is an unknown whale;
//! - a folder with one folder of photos per whale, which may have folders of its own, e.g. of years.

mod broken;
mod csv_table;
mod folder;

pub use broken::{BrokenPhoto, find_broken};

use flukewatch_common::photo_files::SkippedFiles;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::prepare::{self, Photo, Preparation, PrepareError};
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
    /// The folder has files, but no photos.
    #[error("{path} contains no photos in folders of whales: {skipped}")]
    AllSkipped {
        /// The folder.
        path: PathBuf,
        /// Its files.
        skipped: SkippedFiles,
    },
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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dataset {
    /// The photos, in the order of the table.
    pub photos: Vec<LabelledPhoto>,
    /// Files of a folder that are not among them.
    pub skipped: SkippedFiles,
}

impl Dataset {
    /// Reads a table or a folder of folders. The photos of a table are in `photos`, by default in
    /// the folder next to it with the same name; none is opened yet.
    ///
    /// # Errors
    /// If something is missing or malformed.
    pub fn open(path: &Path, photos: Option<&Path>) -> Result<Self, DatasetError> {
        let dataset = if path.is_dir() {
            folder::read(path)?
        } else {
            Self {
                photos: csv_table::read(path, photos)?,
                skipped: SkippedFiles::default(),
            }
        };
        if !dataset.photos.is_empty() {
            Ok(dataset)
        } else if dataset.skipped.is_empty() {
            Err(DatasetError::Empty(path.to_owned()))
        } else {
            Err(DatasetError::AllSkipped {
                path: path.to_owned(),
                skipped: dataset.skipped,
            })
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
        let (picture, region) = self.decode_with_region()?;
        let region = region.unwrap_or(PixelBox::whole(picture.width(), picture.height()));
        preparation
            .pixels(&picture, region)
            .map_err(|e| self.error(e))
    }

    /// Reads and decodes the file; for boxes see [`Self::decode_with_region`].
    ///
    /// # Errors
    /// If it cannot be read or decoded.
    pub fn decode(&self) -> Result<RgbImage, DatasetError> {
        Ok(self.decoded()?.picture)
    }

    /// Reads and decodes the file; with the box of the fluke, if it has one, in pixels of the decoded picture, which is
    /// half as wide and high as a file of more than 100 megapixels.
    ///
    /// # Errors
    /// If it cannot be read or decoded.
    pub fn decode_with_region(&self) -> Result<(RgbImage, Option<PixelBox>), DatasetError> {
        let photo = self.decoded()?;
        let region = self.region.map(|region| photo.region(region));
        Ok((photo.picture, region))
    }

    /// Checks the file and the box, without decoding where that is not needed: see [`prepare::check`].
    ///
    /// # Errors
    /// If the file cannot be decoded or the box lies outside it.
    pub fn check(&self) -> Result<(), DatasetError> {
        let header = prepare::check(&self.read()?).map_err(|e| self.error(e))?;
        let (width, height) = (header.width, header.height);
        match self.region {
            Some(region) if region.within(width, height).is_none() => {
                Err(self.error(PrepareError::BoxOutside {
                    region,
                    width,
                    height,
                }))
            }
            _ => Ok(()),
        }
    }

    fn decoded(&self) -> Result<Photo, DatasetError> {
        prepare::decode_photo(&self.read()?).map_err(|e| self.error(e))
    }

    fn read(&self) -> Result<Vec<u8>, DatasetError> {
        std::fs::read(&self.path).map_err(|source| DatasetError::File {
            path: self.path.clone(),
            source,
        })
    }

    fn error(&self, source: PrepareError) -> DatasetError {
        DatasetError::Photo {
            path: self.path.clone(),
            source,
        }
    }
}
