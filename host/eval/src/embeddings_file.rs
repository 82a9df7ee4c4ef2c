//! Files of embeddings. The extension says which: `.npy` (NumPy), `.parquet`, `.csv` or
//! `.safetensors`. They are described in docs/embeddings.md.

mod columns;
mod csv_file;
mod npy;
mod parquet_file;
mod safetensors;

use flukewatch_common::embedding::{Embedding, EmbeddingError};
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_dataset::{LabelledPhoto, NEW_WHALE, normalised};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A NumPy array `[N, D]`, and beside it a CSV of its rows.
    Npy,
    /// One row per photo, the embedding in a column of lists.
    Parquet,
    /// One line per photo, one column per number.
    Csv,
    /// One tensor `[N, D]` with the photos in the metadata.
    Safetensors,
}

/// Why a file of embeddings cannot be read, written or used.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddingsFileError {
    /// A file that cannot be opened or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system reports.
        source: std::io::Error,
    },
    /// A name with another extension.
    #[error(
        "{0}: unknown format; expected a name that ends in .npy, .parquet, .csv or .safetensors"
    )]
    Extension(PathBuf),
    /// A file that is not of its format, or lacks something.
    #[error("{path}: {reason}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An invalid line of a CSV.
    #[error("{path}:{line}: {reason}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: u64,
        /// What is wrong with the line.
        reason: String,
    },
    /// An invalid row of another format.
    #[error("{path}: row {row} (counted from 0): {reason}")]
    Row {
        /// The file.
        path: PathBuf,
        /// Row number, from 0 as in NumPy and pandas.
        row: usize,
        /// What is wrong with the row.
        reason: String,
    },
    /// A photo of the table that the file does not have.
    #[error(
        "{path}: no embedding of photo {photo}; compute it, or leave the photo out of the table"
    )]
    NoPhoto {
        /// The file.
        path: PathBuf,
        /// Name of the photo.
        photo: String,
    },
    /// A photo of which the file has several embeddings.
    #[error(
        "{path}: {count} different embeddings of photo {photo}, and not exactly one with its box; write the box in columns x0, y0, x1, y1 as the table does"
    )]
    Ambiguous {
        /// The file.
        path: PathBuf,
        /// Name of the photo.
        photo: String,
        /// Number of embeddings with this name.
        count: usize,
    },
    /// An array without names of photos that does not have one row per photo.
    #[error(
        "{path}: {rows} rows, but the table has {photos} photos, each counted once; without {names} there must be one row per photo, in the order of the table"
    )]
    Count {
        /// The file.
        path: PathBuf,
        /// Number of rows.
        rows: usize,
        /// Number of photos.
        photos: usize,
        /// The file that would name the photos.
        names: PathBuf,
    },
}

/// The photo of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct RowPhoto {
    /// Name in the table.
    pub name: String,
    /// Box of the fluke, if the file has it.
    pub region: Option<PixelBox>,
}

/// The near-duplicates among photos, by names: from each to the first of its group.
pub type NearDuplicates = BTreeMap<String, String>;

/// Key of the near-duplicates in the metadata of a file.
const NEAR_DUPLICATES: &str = "near_duplicates";
/// Key of the bundle's id in the metadata of a file.
const BUNDLE: &str = "bundle";

/// Embeddings that were read from a file, each L2-normalised.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingsFile {
    /// Where they were read from.
    pub path: PathBuf,
    /// Id of the bundle that computed them, if the file has it.
    pub bundle: Option<String>,
    /// The near-duplicates among the photos; `None` if the file does not say.
    pub near_duplicates: Option<NearDuplicates>,
    /// The photo of each row; `None` for an array without names.
    pub photos: Option<Vec<RowPhoto>>,
    /// Number of values of each embedding.
    pub dimension: usize,
    /// `[N, D] f32`, row-major.
    pub values: Vec<f32>,
}

impl Format {
    /// The format of a file of this name.
    ///
    /// # Errors
    /// If the extension is not one of the four.
    pub fn of(path: &Path) -> Result<Self, EmbeddingsFileError> {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        match extension.to_ascii_lowercase().as_str() {
            "npy" => Ok(Self::Npy),
            "parquet" => Ok(Self::Parquet),
            "csv" => Ok(Self::Csv),
            "safetensors" => Ok(Self::Safetensors),
            _ => Err(EmbeddingsFileError::Extension(path.to_owned())),
        }
    }
}

/// The file beside an array that names the photo of each row.
pub fn rows_file(npy: &Path) -> PathBuf {
    npy.with_extension("rows.csv")
}

/// Writes the embeddings of photos in the format of the file's extension; an array and its rows
/// are two files.
///
/// # Errors
/// If the extension is unknown or the file cannot be written.
pub fn write(
    path: &Path,
    bundle: &str,
    photos: &[LabelledPhoto],
    dimension: usize,
    values: &[f32],
) -> Result<(), EmbeddingsFileError> {
    write_with_near_duplicates(path, bundle, photos, dimension, values, None)
}

/// Like [`write`], with the near-duplicates among the photos. Only Parquet and safetensors store
/// them.
///
/// # Errors
/// Those of [`write`].
pub fn write_with_near_duplicates(
    path: &Path,
    bundle: &str,
    photos: &[LabelledPhoto],
    dimension: usize,
    values: &[f32],
    near_duplicates: Option<&NearDuplicates>,
) -> Result<(), EmbeddingsFileError> {
    let metadata = near_duplicates.map(|pairs| serde_json::json!(pairs).to_string());
    let metadata = [Some(bundle.to_owned()), metadata];
    let metadata: Vec<(&str, String)> = [BUNDLE, NEAR_DUPLICATES]
        .into_iter()
        .zip(metadata)
        .filter_map(|(key, value)| Some((key, value?)))
        .collect();
    match Format::of(path)? {
        Format::Npy => {
            csv_file::write(&rows_file(path), photos, 0, &[])?;
            npy::write(path, photos.len(), dimension, values)
        }
        Format::Parquet => parquet_file::write(path, metadata, photos, dimension, values),
        Format::Csv => csv_file::write(path, photos, dimension, values),
        Format::Safetensors => safetensors::write(path, metadata, photos, dimension, values),
    }
}

/// Reads the embeddings of a file in the format of its extension.
///
/// # Errors
/// If the file cannot be read, is not of its format, or has a row that is not an embedding: with a
/// value that is missing or not finite, or zero everywhere.
pub fn read(path: &Path) -> Result<EmbeddingsFile, EmbeddingsFileError> {
    match Format::of(path)? {
        Format::Npy => {
            let (dimension, values) = npy::read(path)?;
            let names = rows_file(path);
            let photos = names
                .exists()
                .then(|| csv_file::photos(&names))
                .transpose()?;
            let rows = values.len() / dimension;
            match &photos {
                Some(photos) if photos.len() != rows => Err(EmbeddingsFileError::Content {
                    path: path.to_owned(),
                    reason: format!(
                        "{rows} rows, but {} names {} photos; both must be of the same run",
                        names.display(),
                        photos.len()
                    ),
                }),
                _ => Ok(EmbeddingsFile {
                    path: path.to_owned(),
                    bundle: None,
                    near_duplicates: None,
                    photos,
                    dimension,
                    values,
                }),
            }
        }
        Format::Parquet => parquet_file::read(path),
        Format::Csv => csv_file::read(path),
        Format::Safetensors => safetensors::read(path),
    }
}

impl EmbeddingsFile {
    /// The rows of `photos`, in their order. Names are compared as tables do; where a photo has
    /// several flukes, their boxes decide.
    ///
    /// # Shapes
    /// `[photos, D] f32`, row-major.
    ///
    /// # Errors
    /// If a photo has no row, or it is not clear which.
    pub fn rows_of(&self, photos: &[LabelledPhoto]) -> Result<Vec<f32>, EmbeddingsFileError> {
        let Some(named) = &self.photos else {
            self.check_count(photos)?;
            return Ok(self.values.clone());
        };
        let mut rows: HashMap<String, Vec<usize>> = HashMap::new();
        for (row, photo) in named.iter().enumerate() {
            rows.entry(key(&photo.name)).or_default().push(row);
        }
        let mut flukes: HashMap<String, usize> = HashMap::new();
        for photo in photos {
            *flukes.entry(key(&photo.name)).or_default() += 1;
        }
        let mut wanted = Vec::with_capacity(photos.len() * self.dimension);
        for photo in photos {
            let key = key(&photo.name);
            let candidates = rows.get(&key).map(Vec::as_slice).unwrap_or_default();
            let row = match candidates {
                [] => {
                    return Err(EmbeddingsFileError::NoPhoto {
                        path: self.path.clone(),
                        photo: photo.name.clone(),
                    });
                }
                [row] if flukes[&key] == 1 => *row,
                _ => self
                    .with_box(named, candidates, photo.region)
                    .ok_or_else(|| EmbeddingsFileError::Ambiguous {
                        path: self.path.clone(),
                        photo: photo.name.clone(),
                        count: candidates.len(),
                    })?,
            };
            wanted.extend_from_slice(self.row(row));
        }
        Ok(wanted)
    }

    /// For each of `photos` the name of the first photo of its group of near-duplicates, if it is in
    /// one and not the first itself; `None` if the file does not say which are.
    pub fn first_copies_of(&self, photos: &[LabelledPhoto]) -> Option<Vec<Option<String>>> {
        let near_duplicates = self.near_duplicates.as_ref()?;
        let firsts: HashMap<String, &String> = near_duplicates
            .iter()
            .map(|(copy, first)| (key(copy), first))
            .collect();
        let names: HashMap<String, &String> = photos
            .iter()
            .map(|photo| (key(&photo.name), &photo.name))
            .collect();
        let first_of = |photo: &LabelledPhoto| {
            let first = *firsts.get(&key(&photo.name))?;
            Some(names.get(&key(first)).map_or(first, |name| *name).clone())
        };
        Some(photos.iter().map(first_of).collect())
    }

    /// Names the rows of an array without names: the first is the first photo of `photos`, and so on.
    ///
    /// # Errors
    /// If there is not one row per photo.
    pub fn named_as(mut self, photos: &[LabelledPhoto]) -> Result<Self, EmbeddingsFileError> {
        if self.photos.is_none() {
            self.check_count(photos)?;
            let named = photos.iter().map(|photo| RowPhoto {
                name: photo.name.clone(),
                region: photo.region,
            });
            self.photos = Some(named.collect());
        }
        Ok(self)
    }

    /// Without names, there must be one row per photo.
    fn check_count(&self, photos: &[LabelledPhoto]) -> Result<(), EmbeddingsFileError> {
        let rows = self.values.len() / self.dimension;
        if rows == photos.len() {
            return Ok(());
        }
        Err(EmbeddingsFileError::Count {
            path: self.path.clone(),
            rows,
            photos: photos.len(),
            names: rows_file(&self.path),
        })
    }

    /// The row with this box; the first, if several with it are equal.
    fn with_box(
        &self,
        named: &[RowPhoto],
        candidates: &[usize],
        region: Option<PixelBox>,
    ) -> Option<usize> {
        let mut same = candidates
            .iter()
            .filter(|&&row| named[row].region == region);
        let first = *same.next()?;
        same.all(|&other| self.row(other) == self.row(first))
            .then_some(first)
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.dimension..(row + 1) * self.dimension]
    }
}

/// A photo's name as it is compared.
fn key(name: &str) -> String {
    normalised(name).replace('\\', "/")
}

/// The near-duplicates of a file's metadata, if it has them.
fn parsed_near_duplicates(
    path: &Path,
    text: Option<&str>,
) -> Result<Option<NearDuplicates>, EmbeddingsFileError> {
    text.map(serde_json::from_str)
        .transpose()
        .map_err(|error| EmbeddingsFileError::Content {
            path: path.to_owned(),
            reason: format!(
                "'{NEAR_DUPLICATES}' in the metadata is not an object of names: {error}"
            ),
        })
}

/// The labels of a photo as its table writes them: identity, encounter and date.
fn labels(photo: &LabelledPhoto) -> [&str; 3] {
    [
        photo.whale.as_deref().unwrap_or(NEW_WHALE),
        photo.encounter.as_deref().unwrap_or_default(),
        photo.date.as_ref().map_or("", |date| date.text()),
    ]
}

/// The sides of a box, in the order of the columns.
fn sides(region: PixelBox) -> [u32; 4] {
    [region.x0, region.y0, region.x1, region.y1]
}

/// Normalises a row, or says what is wrong with it.
fn unit(values: Vec<f32>) -> Result<Embedding, String> {
    let found: Vec<f32> = values.clone();
    Embedding::normalised(values).map_err(|error| match error {
        EmbeddingError::NotFinite(at) => {
            format!(
                "value {at} (counted from 0) is {}; expected a finite number",
                found[at]
            )
        }
        other => other.to_string(),
    })
}

/// Normalises every row of an array; an error names the row.
fn normalise_rows(
    path: &Path,
    dimension: usize,
    values: &mut [f32],
) -> Result<(), EmbeddingsFileError> {
    for (row, place) in values.chunks_exact_mut(dimension).enumerate() {
        let normalised = unit(place.to_vec()).map_err(|reason| EmbeddingsFileError::Row {
            path: path.to_owned(),
            row,
            reason,
        })?;
        place.copy_from_slice(normalised.as_slice());
    }
    Ok(())
}

/// Reads a whole file.
fn bytes(path: &Path) -> Result<Vec<u8>, EmbeddingsFileError> {
    std::fs::read(path).map_err(|source| EmbeddingsFileError::File {
        path: path.to_owned(),
        source,
    })
}

/// Writes a whole file.
fn write_bytes(path: &Path, content: &[u8]) -> Result<(), EmbeddingsFileError> {
    flukewatch_common::atomic_file::write_atomically(path, content).map_err(|source| {
        EmbeddingsFileError::File {
            path: path.to_owned(),
            source,
        }
    })
}

#[cfg(test)]
mod tests;
