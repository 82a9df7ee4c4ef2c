//! Labelled photos, from a CSV, COCO's JSON or a folder with one folder of photos per whale. The
//! columns of a CSV, and the words that mean an unnamed whale, are described in docs/tables.md. A folder may have
//! folders of its own, e.g. of years.

mod boxes;
mod broken;
mod coco;
mod csv_table;
mod date;
mod drawn_boxes;
mod folder;
mod photo_folder;
mod same_photo;
mod table_split;
mod unnamed;

pub use broken::{BrokenPhoto, find_broken};

pub use csv_table::TableLine;
pub use date::{CaptureDate, DateError, WrittenDate};
use flukewatch_common::input_area::InputArea;
use flukewatch_common::photo_files::SkippedFiles;
use flukewatch_common::sha256::{hex, sha256_hex};
pub use same_photo::{RepeatedPhoto, SamePhoto};
pub use table_split::TableSplit;

use drawn_boxes::DrawnPhoto;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::prepare::{self, Photo, Preparation, PrepareError};
use image::RgbImage;
use ndarray::Array3;
use photo_folder::PhotoFolder;
use rayon::prelude::*;
use same_photo::Listed;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use unicode_normalization::UnicodeNormalization;

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
    /// Date of capture as written, if any.
    pub date: Option<WrittenDate>,
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
        "{path}:{line}: no column '{column}' in the header '{found}'; expected image,identity[,x0,y0,x1,y1], Image,Id, path,identity[,bbox] or COCO's JSON"
    )]
    Column {
        /// Path of the table.
        path: PathBuf,
        /// Line number of the header.
        line: u64,
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
    #[error("{path}:{line}: photo {photo} not found in {folder}{hint}")]
    NoPhoto {
        /// Path of the table.
        path: PathBuf,
        /// Line number, from 1.
        line: u64,
        /// Name of the photo.
        photo: String,
        /// Folder of the photos.
        folder: PathBuf,
        /// What may be wrong, or empty.
        hint: String,
    },
    /// A split that the table does not have.
    #[error("{path}: no photo of split '{split}'; found: {found}")]
    NoSplit {
        /// Path of the table.
        path: PathBuf,
        /// The split that was asked for.
        split: String,
        /// The splits of the table, or why it has none.
        found: String,
    },
    /// A photo with two names.
    #[error("{path}: {reason}; correct one, or leave the photo out (flukewatch audit lists all)")]
    TwoNames {
        /// Table and line, or folder.
        path: String,
        /// The photo, both names and lines.
        reason: String,
    },
    /// The table or folder has no photos.
    #[error("{0} contains no photos")]
    Empty(PathBuf),
    /// The folder has files, but no photos.
    #[error("{path} contains no photos that can be used: {skipped}")]
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

impl DatasetError {
    /// A table or folder without a photo, but perhaps with other files.
    fn no_photos(path: &Path, skipped: SkippedFiles) -> Self {
        let path = path.to_owned();
        if skipped.is_empty() {
            Self::Empty(path)
        } else {
            Self::AllSkipped { path, skipped }
        }
    }
}

/// Labelled photos, in the order of their table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dataset {
    /// The photos, in the order of the table.
    pub photos: Vec<LabelledPhoto>,
    /// Files of a folder that are not among them.
    pub skipped: SkippedFiles,
    /// The SHA-256 of the table's bytes, or of the names and whales of a folder's photos; hexadecimal.
    /// Empty for photos that were not read from either.
    pub sha256: String,
}

/// How to read a table or folder.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// Folder of a table's photos; by default the folder next to it with the same name.
    pub photos: Option<PathBuf>,
    /// Read only lines whose column `split` has this value, or another name for it, e.g. `val` for
    /// `validation`.
    pub split: Option<String>,
    /// Names of whales that would otherwise mean an unnamed one, e.g. `None`.
    pub allowed_names: Vec<String>,
    /// When two lines are the same photo.
    pub same_photo: SamePhoto,
    /// Whether a table's photos may be missing, for work that needs their labels only.
    pub may_lack_photos: bool,
}

/// What a user should know about a table or folder that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadingNotes {
    /// Photos that were listed before, and are left out.
    pub repeated: Vec<RepeatedPhoto>,
    /// Names that mean an unnamed whale, and how often each occurs.
    pub unnamed: BTreeMap<String, usize>,
    /// Number of photos with a box and a rotation in their EXIF data, of which the table does not
    /// say whether the box was drawn before or after it.
    pub unclear_boxes: usize,
    /// Number of categories of COCO annotations, if their names are those of the whales.
    pub categories_as_whales: Option<usize>,
}

/// Text in Unicode's composed form (NFC), in which names are compared: systems and programs write
/// accents as one character or two.
pub fn normalised(text: &str) -> String {
    text.nfc().collect()
}

impl Dataset {
    /// [`Dataset::read`] with default options, without its notes. The photos of a table are in
    /// `photos`, by default in the folder next to it with the same name.
    ///
    /// # Errors
    /// If something is missing or malformed.
    pub fn open(path: &Path, photos: Option<&Path>) -> Result<Self, DatasetError> {
        let options = ReadOptions {
            photos: photos.map(PathBuf::from),
            ..ReadOptions::default()
        };
        Ok(Self::read(path, &options)?.0)
    }

    /// Reads a table or a folder of folders. Of the photos, the headers of those with a box are
    /// read, and files that may be copies.
    ///
    /// # Errors
    /// If something is missing, malformed or contradicts itself.
    pub fn read(path: &Path, options: &ReadOptions) -> Result<(Self, ReadingNotes), DatasetError> {
        let mut notes = ReadingNotes::default();
        let mut skipped = SkippedFiles::default();
        let sha256;
        let listed = if path.is_dir() {
            if let Some(split) = &options.split {
                return Err(DatasetError::NoSplit {
                    path: path.to_owned(),
                    split: split.clone(),
                    found: "a folder, not a table with a column 'split'".into(),
                });
            }
            let folder = folder::read(path)?;
            skipped = folder.skipped;
            sha256 = folder::sha256(&folder.photos);
            let photos = folder.photos.into_iter();
            photos.map(|photo| Listed { line: None, photo }).collect()
        } else {
            let bytes = std::fs::read(path).map_err(|source| DatasetError::File {
                path: path.to_owned(),
                source,
            })?;
            sha256 = sha256_hex(&bytes);
            let mut rows = table(path, &bytes, options, &mut notes)?;
            notes.unclear_boxes = drawn_boxes::turn(path, &mut rows)?;
            let listed = |row: DrawnPhoto| Listed {
                line: Some(row.line),
                photo: row.photo,
            };
            rows.into_iter().map(listed).collect()
        };
        let mut listed: Vec<Listed> = listed;
        if listed.is_empty() {
            return Err(DatasetError::no_photos(path, skipped));
        }
        let photos = listed.iter_mut().map(|l| &mut l.photo);
        notes.unnamed = unnamed::unname(photos, &options.allowed_names);
        let (photos, repeated) = same_photo::once(path, listed, options.same_photo)?;
        notes.repeated = repeated;
        let dataset = Self {
            photos,
            skipped,
            sha256,
        };
        Ok((dataset, notes))
    }

    /// All photos of a folder and of the folders in it, without labels: pictures of open sea, for example.
    ///
    /// # Errors
    /// If the folder cannot be read or has no photos.
    pub fn unlabelled(folder: &Path) -> Result<Self, DatasetError> {
        let mut found = folder::read_unlabelled(folder)?;
        if found.photos.is_empty() {
            return Err(DatasetError::no_photos(folder, found.skipped));
        }
        found.sha256 = folder::sha256(&found.photos);
        Ok(found)
    }

    /// The SHA-256 of each photo, hexadecimal; of a JPEG without metadata, as programs change it.
    ///
    /// # Errors
    /// If a photo cannot be read.
    pub fn picture_hashes(&self) -> Result<Vec<String>, DatasetError> {
        let photos = self.photos.par_iter();
        photos.map(LabelledPhoto::picture_hash).collect()
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

/// Parses a table: CSV, or COCO's JSON. `path` is only named in errors. With `split`, lines of
/// other splits are left out.
///
/// # Errors
/// If the bytes are not a table of photos, or a line is malformed.
pub fn parse(
    path: &Path,
    bytes: &[u8],
    split: Option<&str>,
) -> Result<Vec<TableLine>, DatasetError> {
    lines(path, bytes, split, &mut ReadingNotes::default())
}

fn lines(
    path: &Path,
    bytes: &[u8],
    split: Option<&str>,
    notes: &mut ReadingNotes,
) -> Result<Vec<TableLine>, DatasetError> {
    if coco::is_json(bytes) {
        let table = coco::parse(path, bytes, split)?;
        notes.categories_as_whales = table.categories;
        Ok(table.lines)
    } else {
        csv_table::parse(path, bytes, split)
    }
}

/// The splits of a table with the number of lines of each; `None` for a folder, and for a table without
/// a column `split`.
///
/// # Errors
/// If the table cannot be read, or a line has another split.
pub fn splits(path: &Path) -> Result<Option<BTreeMap<TableSplit, usize>>, DatasetError> {
    if path.is_dir() {
        return Ok(None);
    }
    let bytes = std::fs::read(path).map_err(|source| DatasetError::File {
        path: path.to_owned(),
        source,
    })?;
    let mut found = BTreeMap::new();
    for TableLine { line, split, .. } in parse(path, &bytes, None)? {
        let Some(text) = split else {
            return Ok(None);
        };
        let Some(split) = TableSplit::named(&text) else {
            return Err(DatasetError::Line {
                path: path.to_owned(),
                line,
                reason: format!(
                    "split '{text}'; expected train, validation or test, or choose the lines yourself with --split NAME, or --split all"
                ),
            });
        };
        *found.entry(split).or_insert(0) += 1;
    }
    Ok(Some(found).filter(|found| !found.is_empty()))
}

/// The lines of a table and the files of their photos.
fn table(
    path: &Path,
    bytes: &[u8],
    options: &ReadOptions,
    notes: &mut ReadingNotes,
) -> Result<Vec<DrawnPhoto>, DatasetError> {
    let folder = options.photos.clone();
    let mut folder = PhotoFolder::new(folder.unwrap_or_else(|| path.with_extension("")));
    let table: Arc<Path> = path.into();
    let lines = lines(path, bytes, options.split.as_deref(), notes)?;
    let photo = |line: TableLine| {
        let file = match folder.find(&line.image) {
            Ok(file) => file,
            Err(_) if options.may_lack_photos => folder.root().join(&line.image),
            Err(hint) => {
                return Err(DatasetError::NoPhoto {
                    path: path.to_owned(),
                    line: line.line,
                    photo: line.image,
                    folder: folder.root().to_owned(),
                    hint: match hint.as_str() {
                        "" => hint,
                        _ => format!("; {hint}"),
                    },
                });
            }
        };
        let date = line.date.map(|text| WrittenDate {
            text,
            table: Arc::clone(&table),
            line: line.line,
        });
        Ok(DrawnPhoto {
            line: line.line,
            size: line.size,
            photo: LabelledPhoto {
                path: file,
                name: line.image,
                whale: Some(line.identity),
                region: line.region,
                date,
                encounter: line.encounter,
            },
        })
    };
    lines.into_iter().map(photo).collect()
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

    /// The SHA-256 of the file, hexadecimal; of a JPEG without metadata, as programs change it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn picture_hash(&self) -> Result<String, DatasetError> {
        Ok(hex(&same_photo::picture_hash(&self.read()?)))
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

    /// The part of the photo that the model's input covers; only the file's header is decoded.
    ///
    /// # Errors
    /// If the file cannot be read or the box lies outside it.
    pub fn input_area(&self, preparation: &Preparation) -> Result<InputArea, DatasetError> {
        let header = prepare::header(&self.read()?).map_err(|e| self.error(e))?;
        let (width, height) = (header.width, header.height);
        let region = self.region.unwrap_or(PixelBox::whole(width, height));
        let crop = preparation
            .widened(region, width, height)
            .map_err(|e| self.error(e))?;
        Ok(preparation.input_area(crop, width, height))
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
