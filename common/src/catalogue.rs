//! The catalogue: the known whales as embeddings of their photos, and exact search over them.
//!
//! Search returns the whales, photos and scores of comparing the query with every embedding in floats, to
//! the last bit. It reads one byte per number, and floats only for the few photos that can decide; `scan`
//! says why that is enough. A large catalogue stays in its file, which is mapped: [`Catalogue::open`].
//!
//! ```
//! use flukewatch_common::catalogue::{Catalogue, Enrolled};
//! use flukewatch_common::embedding::Embedding;
//!
//! let mut catalogue = Catalogue::new(2);
//! for (whale, photo, numbers) in [("Salt", "a.jpg", [1.0, 0.0]), ("Cat Eyes", "b.jpg", [0.6, 0.8])] {
//!     let source = "Gulf of Maine".into();
//!     let entry = Enrolled { whale: whale.into(), photo: photo.into(), source, ..Enrolled::default() };
//!     catalogue.enrol(entry, &Embedding::normalised(numbers.to_vec())?)?;
//! }
//! let seen = Embedding::normalised(vec![0.0, 1.0])?;
//! assert_eq!(catalogue.search(&seen, 1)?[0].whale, "Cat Eyes");
//! catalogue.withdraw_whale("Cat Eyes");
//! assert_eq!(catalogue.search(&seen, 1)?[0].whale, "Salt");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod candidates;
mod codes;
mod file;
pub(crate) mod kernel;
pub(crate) mod mapped;
mod names;
mod rows;
mod scan;
#[cfg(test)]
mod tests;

pub use candidates::{CandidateWhale, ScoredPhoto};

use crate::embedding::Embedding;
use crate::input_area::InputArea;
use crate::whale_score::WhaleScore;
use names::Names;
use rows::Rows;
use scan::{Hit, WITHDRAWN};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// One enrolled photo.
///
/// Encounter, date and near-duplicate say which photos must not be compared when thresholds are
/// fitted on the catalogue: those of one meeting with the whale.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// The whale's name.
    pub whale: String,
    /// The photo's file name.
    pub photo: String,
    /// Where the photo comes from: a collection, a catalogue, a cruise.
    pub source: String,
    /// The name of the encounter, if known.
    pub encounter: Option<String>,
    /// When the photo was taken, if known: `2024-06-19`, `2024-06` or `2024`.
    pub date: Option<String>,
    /// The name of the first photo of its group of near-duplicates, if it is in one.
    pub near_duplicate_of: Option<String>,
    /// The part of the photo that the model's input covers; `None` where the catalogue was made before this was stored.
    pub input_area: Option<InputArea>,
}

/// A candidate: a whale that a photo may show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Match {
    /// The whale's name.
    pub whale: String,
    /// The score, in -1..=1: the cosine of the most similar photo, or a [`WhaleScore`] of several.
    pub score: f32,
    /// The most similar photo.
    pub photo: String,
}

/// Errors of reading, searching or changing a catalogue.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CatalogueError {
    /// The embedding has another dimension, so it is of another model.
    #[error("embedding of dimension {got}; expected the catalogue's {expected}")]
    Dimension {
        /// The catalogue's dimension.
        expected: usize,
        /// The embedding's dimension.
        got: usize,
    },
    /// The name of a whale is empty.
    #[error("photo {photo}: the whale's name is empty")]
    Unnamed {
        /// The photo whose whale has no name.
        photo: String,
    },
    /// The file cannot be read.
    #[error("the catalogue file cannot be read: {why}")]
    Read {
        /// The error of the operating system.
        why: String,
    },
    /// The checksum of the file does not match.
    #[error("the catalogue file is damaged (checksum mismatch): copy it again")]
    Damaged,
    /// The mapped file was modified while in use.
    #[error(
        "the catalogue file was modified while in use: restart; to replace a bundle, write the new one beside it and rename it"
    )]
    Changed,
    /// The file is not a catalogue, or it is truncated.
    #[error("the catalogue file cannot be read: {0}")]
    Format(&'static str),
    /// Written by an older Flukewatch.
    #[error("unsupported catalogue format {got}; expected format {known}: enrol the whales again")]
    Older {
        /// The format of the file.
        got: u16,
        /// The format that this program supports.
        known: u16,
    },
    /// Written by a newer Flukewatch.
    #[error(
        "catalogue format {got} is newer than this program, which reads format {known}: update the program"
    )]
    Newer {
        /// The format of the file.
        got: u16,
        /// The format that this program supports.
        known: u16,
    },
}

impl From<io::Error> for CatalogueError {
    fn from(error: io::Error) -> Self {
        Self::Read {
            why: error.to_string(),
        }
    }
}

/// The size from which a catalogue's file is mapped, in bytes. A smaller one is read, so that overwriting
/// the file does not disturb a running program.
pub const MMAP_THRESHOLD: u64 = 4 << 20;

/// The kernel that computes the scores on this machine, e.g. `AVX2`.
pub fn search_kernel() -> &'static str {
    kernel::Kernel::best().name()
}

/// Enrolled photos and their embeddings; searched exactly.
#[derive(Clone, Debug)]
pub struct Catalogue {
    entries: Vec<Enrolled>,
    rows: Rows,
    /// The whale of each row; [`WITHDRAWN`] where the photo was withdrawn.
    whales: Vec<u32>,
    names: Names,
    /// The row of each photo, in ascending order; none where photo and row are always the same.
    rows_by_photo: Option<Vec<u32>>,
}

impl PartialEq for Catalogue {
    /// Whether both hold the same photos and embeddings in the same order, mapped or in memory.
    fn eq(&self, other: &Self) -> bool {
        self.dimension() == other.dimension()
            && self.entries == other.entries
            && (0..self.len()).all(|photo| self.embedding(photo) == other.embedding(photo))
    }
}

impl Catalogue {
    /// An empty catalogue for embeddings of `dimension` numbers.
    pub fn new(dimension: usize) -> Self {
        Self {
            entries: vec![],
            rows: Rows::new(dimension),
            whales: vec![],
            names: Names::default(),
            rows_by_photo: None,
        }
    }

    /// Adds a photo at the end.
    ///
    /// # Errors
    /// When the embedding has another dimension or the whale no name.
    pub fn enrol(&mut self, entry: Enrolled, embedding: &Embedding) -> Result<(), CatalogueError> {
        self.expect_dimension(embedding.dimension())?;
        if entry.whale.trim().is_empty() {
            return Err(CatalogueError::Unnamed { photo: entry.photo });
        }
        self.add(entry, embedding.as_slice());
        Ok(())
    }

    fn add(&mut self, entry: Enrolled, row: &[f32]) {
        let whale = self.names.number(&entry.whale);
        self.names.add_photo(whale);
        if let Some(rows) = &mut self.rows_by_photo {
            rows.push(self.rows.len() as u32);
        }
        self.rows.push(row);
        self.whales.push(whale);
        self.entries.push(entry);
    }

    /// Withdraws all photos of a whale and returns how many.
    pub fn withdraw_whale(&mut self, whale: &str) -> usize {
        self.withdraw(|entry| entry.whale == whale)
    }

    /// Withdraws the photos of this name, usually one, and returns how many.
    pub fn withdraw_photo(&mut self, photo: &str) -> usize {
        self.withdraw(|entry| entry.photo == photo)
    }

    /// Withdraws all photos for which `matches` is true and returns how many. The others keep their order.
    /// Nothing is rebuilt: withdrawn embeddings are skipped by searches and not written.
    pub fn withdraw(&mut self, matches: impl Fn(&Enrolled) -> bool) -> usize {
        let before = self.entries.len();
        if !self.entries.iter().any(&matches) {
            return 0;
        }
        let mut rows = self
            .rows_by_photo
            .take()
            .unwrap_or_else(|| (0..before as u32).collect());
        let mut photo = 0;
        rows.retain(|&row| {
            let goes = matches(&self.entries[photo]);
            photo += 1;
            if goes {
                let whale = std::mem::replace(&mut self.whales[row as usize], WITHDRAWN);
                self.names.remove_photo(whale);
            }
            !goes
        });
        self.entries.retain(|entry| !matches(entry));
        self.rows_by_photo = Some(rows);
        before - self.entries.len()
    }

    /// The dimension of the embeddings.
    pub fn dimension(&self) -> usize {
        self.rows.dimension()
    }

    /// The number of enrolled photos.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is enrolled.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The enrolled photos, in the order of their enrolment.
    pub fn entries(&self) -> &[Enrolled] {
        &self.entries
    }

    /// The embedding of the photo at `index`, `[D] f32`.
    ///
    /// # Panics
    /// When there is no photo at `index`.
    pub fn embedding(&self, index: usize) -> &[f32] {
        self.rows.floats(self.row(index))
    }

    /// The number of whales with at least one photo.
    pub fn whales(&self) -> usize {
        self.names.with_photos()
    }

    /// The `most` best whales for `query`, each by its most similar photo, best first; whales of equal score by name.
    ///
    /// # Errors
    /// When the query has another dimension, or the catalogue's file was changed since it was opened.
    pub fn search(&self, query: &Embedding, most: usize) -> Result<Vec<Match>, CatalogueError> {
        self.search_where(query.as_slice(), most, |_| true)
    }

    /// Like [`Catalogue::search`], over the photos for whose index `takes_part` is true: for
    /// leave-one-out tests. It is called only for photos that can change the result.
    ///
    /// # Errors
    /// Those of [`Catalogue::search`].
    pub fn search_where(
        &self,
        query: &[f32],
        most: usize,
        takes_part: impl Fn(usize) -> bool,
    ) -> Result<Vec<Match>, CatalogueError> {
        self.expect_dimension(query.len())?;
        self.expect_unchanged()?;
        let found = scan::search(
            query,
            &self.rows,
            &self.whales,
            self.names.count(),
            most,
            |row| self.photo(row as u32).is_some_and(&takes_part),
            |a, b| self.names.name(a).cmp(self.names.name(b)),
        );
        Ok(self.matches(found))
    }

    /// The `most` best whales for one or several embeddings of the same whale. `rule` scores a
    /// whale for each query by the cosines of its photos; its score is the mean over the queries,
    /// its photo the most similar one. Best first; whales of equal score by name. Empty without a
    /// query.
    ///
    /// # Errors
    /// Those of [`Catalogue::search`].
    pub fn search_encounter(
        &self,
        queries: &[Embedding],
        rule: WhaleScore,
        most: usize,
    ) -> Result<Vec<Match>, CatalogueError> {
        for query in queries {
            self.expect_dimension(query.dimension())?;
        }
        self.expect_unchanged()?;
        let queries: Vec<&[f32]> = queries.iter().map(Embedding::as_slice).collect();
        let found = scan::search_encounter(
            &queries,
            rule,
            &self.rows,
            &self.whales,
            self.names.count(),
            most,
            |a, b| self.names.name(a).cmp(self.names.name(b)),
        );
        Ok(self.matches(found))
    }

    /// The `most` best whales for one or several embeddings of the same whale, by the mean of the cosines of their most similar
    /// photos, each with its `photos_each` most similar photos for each query. Empty without a query.
    ///
    /// # Errors
    /// Those of [`Catalogue::search`].
    pub fn candidates(
        &self,
        queries: &[&Embedding],
        most: usize,
        photos_each: usize,
    ) -> Result<Vec<CandidateWhale>, CatalogueError> {
        for query in queries {
            self.expect_dimension(query.dimension())?;
        }
        self.expect_unchanged()?;
        let queries: Vec<&[f32]> = queries.iter().map(|q| q.as_slice()).collect();
        let hits = scan::search_encounter(
            &queries,
            WhaleScore::BEST,
            &self.rows,
            &self.whales,
            self.names.count(),
            most,
            |a, b| self.names.name(a).cmp(self.names.name(b)),
        );
        Ok(candidates::candidates(
            &hits,
            &queries,
            photos_each,
            &self.rows,
            &self.whales,
            &self.names,
            |row| self.photo(row),
        ))
    }

    /// Opens a catalogue's file. From [`MMAP_THRESHOLD`] bytes on it is mapped instead of read: its
    /// embeddings take memory only while they are used. The checksum is verified in both cases.
    ///
    /// The file must not be written to while the catalogue is in use; to replace it, write a new
    /// one and rename it.
    ///
    /// # Errors
    /// When the file cannot be read or was not written by [`Catalogue::write_to`].
    pub fn open(path: &Path) -> Result<Self, CatalogueError> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        Self::open_within(&file, 0, bytes, MMAP_THRESHOLD)
    }

    /// Like [`Catalogue::open`], for the `bytes` bytes from `offset` on; mapped from `map_from`
    /// bytes on.
    pub(crate) fn open_within(
        file: &File,
        offset: u64,
        bytes: u64,
        map_from: u64,
    ) -> Result<Self, CatalogueError> {
        file::open(file, offset, bytes, map_from)
    }

    /// Whether all or the first of its embeddings are in a mapped file.
    pub fn is_mapped(&self) -> bool {
        self.rows.is_mapped()
    }

    /// Whether a search in a mapped file releases its pages as it goes. That costs milliseconds and keeps
    /// the memory of a boat's computer free.
    pub fn release_pages(&mut self, release: bool) {
        self.rows.release_pages(release);
    }

    /// Writes the file; `docs/bundle.md` describes its format.
    ///
    /// # Errors
    /// When writing to `out` fails.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        file::write(self, out)
    }

    /// The number of bytes that [`Catalogue::write_to`] writes.
    pub fn file_bytes(&self) -> u64 {
        file::bytes(self)
    }

    /// The file, as [`Catalogue::write_to`] writes it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![];
        self.write_to(&mut bytes)
            .expect("writing to memory does not fail");
        bytes
    }

    /// Reads what [`Catalogue::to_bytes`] wrote.
    ///
    /// # Errors
    /// When the bytes were not written by [`Catalogue::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CatalogueError> {
        file::read(bytes)
    }

    fn expect_dimension(&self, got: usize) -> Result<(), CatalogueError> {
        let expected = self.dimension();
        if got == expected {
            Ok(())
        } else {
            Err(CatalogueError::Dimension { expected, got })
        }
    }

    fn expect_unchanged(&self) -> Result<(), CatalogueError> {
        if self.rows.unchanged() {
            Ok(())
        } else {
            Err(CatalogueError::Changed)
        }
    }

    /// The row of a photo.
    fn row(&self, photo: usize) -> usize {
        match &self.rows_by_photo {
            Some(rows) => rows[photo] as usize,
            None => photo,
        }
    }

    /// The photo of a row; `None` where it was withdrawn.
    fn photo(&self, row: u32) -> Option<usize> {
        match &self.rows_by_photo {
            Some(rows) => rows.binary_search(&row).ok(),
            None => Some(row as usize),
        }
    }

    fn matches(&self, found: Vec<Hit>) -> Vec<Match> {
        let matched = |found: Hit| {
            let entry = &self.entries[self.photo(found.row)?];
            Some(Match {
                whale: entry.whale.clone(),
                score: found.score,
                photo: entry.photo.clone(),
            })
        };
        found.into_iter().filter_map(matched).collect()
    }
}
