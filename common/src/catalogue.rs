//! The catalogue: the whales that are known, as embeddings of their photos, and the search in it.

use crate::embedding::{Embedding, dot};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// One enrolled photo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// The whale's name.
    pub whale: String,
    /// The photo's file name.
    pub photo: String,
    /// Where the photo comes from: a collection, a catalogue, a cruise.
    pub source: String,
}

/// A whale that a photo may show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Match {
    /// The whale's name.
    pub whale: String,
    /// The cosine of its most similar photo, in -1..=1.
    pub score: f32,
    /// That photo.
    pub photo: String,
}

/// Why a catalogue cannot be read or changed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CatalogueError {
    /// An embedding of another model.
    #[error("an embedding of {got} numbers does not belong in a catalogue of {expected}")]
    Dimension {
        /// The catalogue's.
        expected: usize,
        /// The embedding's.
        got: usize,
    },
    /// A name that says nothing.
    #[error("a whale needs a name (photo {photo})")]
    Unnamed {
        /// The photo without one.
        photo: String,
    },
    /// Not a catalogue, or cut off.
    #[error("the catalogue file cannot be read: {0}")]
    Format(&'static str),
    /// Written by a newer Flukewatch.
    #[error("the catalogue has format {got}; this program reads formats up to {known}: update it")]
    Newer {
        /// The file's.
        got: u16,
        /// The newest that is read.
        known: u16,
    },
}

/// Enrolled photos and their embeddings; searched exactly.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalogue {
    dimension: usize,
    entries: Vec<Enrolled>,
    embeddings: Vec<f32>,
}

const MAGIC: [u8; 4] = *b"FLKC";
const FORMAT: u16 = 1;

impl Catalogue {
    /// A catalogue without a whale, for embeddings of `dimension` numbers.
    pub fn new(dimension: usize) -> Self {
        Self {
            dimension,
            entries: vec![],
            embeddings: vec![],
        }
    }

    /// Adds a photo.
    ///
    /// # Errors
    /// When the embedding has another dimension or the whale no name.
    pub fn enrol(&mut self, entry: Enrolled, embedding: &Embedding) -> Result<(), CatalogueError> {
        if embedding.dimension() != self.dimension {
            return Err(CatalogueError::Dimension {
                expected: self.dimension,
                got: embedding.dimension(),
            });
        }
        if entry.whale.trim().is_empty() {
            return Err(CatalogueError::Unnamed { photo: entry.photo });
        }
        self.entries.push(entry);
        self.embeddings.extend_from_slice(embedding.as_slice());
        Ok(())
    }

    /// Numbers an embedding.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Enrolled photos.
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
    pub fn embedding(&self, index: usize) -> &[f32] {
        &self.embeddings[index * self.dimension..(index + 1) * self.dimension]
    }

    /// Different whales.
    pub fn whales(&self) -> usize {
        self.entries
            .iter()
            .map(|e| e.whale.as_str())
            .collect::<std::collections::HashSet<_>>()
            .len()
    }

    /// The `most` best whales for `query`, each by its most similar photo, best first; whales of equal score by name.
    ///
    /// # Errors
    /// When the query has another dimension.
    pub fn search(&self, query: &Embedding, most: usize) -> Result<Vec<Match>, CatalogueError> {
        self.search_where(query.as_slice(), most, |_| true)
    }

    /// As [`Catalogue::search`], over the photos whose index `takes_part`: for leave-one-out and for whales taken out.
    ///
    /// # Errors
    /// When the query has another dimension.
    pub fn search_where(
        &self,
        query: &[f32],
        most: usize,
        takes_part: impl Fn(usize) -> bool,
    ) -> Result<Vec<Match>, CatalogueError> {
        if query.len() != self.dimension {
            return Err(CatalogueError::Dimension {
                expected: self.dimension,
                got: query.len(),
            });
        }
        let mut best: HashMap<&str, (f32, usize)> = HashMap::new();
        for (index, (entry, row)) in self
            .entries
            .iter()
            .zip(self.embeddings.chunks_exact(self.dimension.max(1)))
            .enumerate()
        {
            if !takes_part(index) {
                continue;
            }
            let score = dot(query, row);
            best.entry(&entry.whale)
                .and_modify(|b| {
                    if score > b.0 {
                        *b = (score, index)
                    }
                })
                .or_insert((score, index));
        }
        let mut ranking: Vec<(&str, (f32, usize))> = best.into_iter().collect();
        ranking.sort_by(|a, b| b.1.0.total_cmp(&a.1.0).then_with(|| a.0.cmp(b.0)));
        ranking.truncate(most);
        Ok(ranking
            .into_iter()
            .map(|(whale, (score, index))| Match {
                whale: whale.to_owned(),
                score,
                photo: self.entries[index].photo.clone(),
            })
            .collect())
    }

    /// The file: `FLKC`, format (u16 LE), length of the entries (u32 LE), dimension and entries in postcard, then the embeddings
    /// `[N, D] f32` little-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings and lengths always have a postcard form, so that this cannot fail.
        let entries =
            postcard::to_stdvec(&(self.dimension as u32, &self.entries)).unwrap_or_default();
        let mut bytes = Vec::with_capacity(10 + entries.len() + self.embeddings.len() * 4);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&(entries.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&entries);
        bytes.extend(self.embeddings.iter().flat_map(|v| v.to_le_bytes()));
        bytes
    }

    /// Reads what [`Catalogue::to_bytes`] wrote.
    ///
    /// # Errors
    /// For any other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CatalogueError> {
        let bad = CatalogueError::Format;
        let (head, rest) = bytes.split_at_checked(10).ok_or(bad("it is cut off"))?;
        if head[..4] != MAGIC {
            return Err(bad("it does not start with FLKC"));
        }
        let format = u16::from_le_bytes([head[4], head[5]]);
        if format > FORMAT {
            return Err(CatalogueError::Newer {
                got: format,
                known: FORMAT,
            });
        }
        let length = u32::from_le_bytes([head[6], head[7], head[8], head[9]]) as usize;
        let (entries, numbers) = rest.split_at_checked(length).ok_or(bad("it is cut off"))?;
        let (dimension, entries): (u32, Vec<Enrolled>) =
            postcard::from_bytes(entries).map_err(|_| bad("its list of photos is damaged"))?;
        let dimension = dimension as usize;
        if dimension == 0 || dimension > 65_536 {
            return Err(bad("its dimension makes no sense"));
        }
        if entries.len().checked_mul(dimension * 4) != Some(numbers.len()) {
            return Err(bad("it does not hold one embedding a photo"));
        }
        let embeddings: Vec<f32> = numbers
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect();
        if embeddings.iter().any(|v| !v.is_finite()) {
            return Err(bad("an embedding holds a number that is not finite"));
        }
        Ok(Self {
            dimension,
            entries,
            embeddings,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(whale: &str, photo: &str) -> Enrolled {
        Enrolled {
            whale: whale.into(),
            photo: photo.into(),
            source: "test".into(),
        }
    }

    fn embedding(values: &[f32]) -> Embedding {
        Embedding::normalised(values.to_vec()).unwrap()
    }

    fn three() -> Catalogue {
        let mut c = Catalogue::new(2);
        c.enrol(entry("A", "a1"), &embedding(&[1.0, 0.0])).unwrap();
        c.enrol(entry("A", "a2"), &embedding(&[0.0, 1.0])).unwrap();
        c.enrol(entry("B", "b1"), &embedding(&[0.6, 0.8])).unwrap();
        c
    }

    #[test]
    fn a_whale_counts_once_by_its_best_photo() {
        let found = three().search(&embedding(&[0.0, 1.0]), 5).unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|m| (m.whale.as_str(), m.photo.as_str()))
            .collect();
        assert_eq!(names, [("A", "a2"), ("B", "b1")]);
        assert!((found[1].score - 0.8).abs() < 1e-6);
    }

    #[test]
    fn a_photo_can_be_left_out() {
        let found = three().search_where(&[0.0, 1.0], 1, |i| i != 1).unwrap();
        assert_eq!(found[0].whale, "B");
    }

    #[test]
    fn an_empty_catalogue_knows_no_whale() {
        assert!(
            Catalogue::new(2)
                .search(&embedding(&[1.0, 1.0]), 5)
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn another_models_embedding_is_refused() {
        let error = three().search(&embedding(&[1.0, 0.0, 0.0]), 5).unwrap_err();
        assert_eq!(
            error,
            CatalogueError::Dimension {
                expected: 2,
                got: 3
            }
        );
    }

    #[test]
    fn the_file_reads_back_and_refuses_what_is_cut() {
        let bytes = three().to_bytes();
        assert_eq!(Catalogue::from_bytes(&bytes).unwrap(), three());
        for end in 0..bytes.len() {
            assert!(
                Catalogue::from_bytes(&bytes[..end]).is_err(),
                "cut at {end}"
            );
        }
        let mut newer = bytes;
        newer[4] = 9;
        assert_eq!(
            Catalogue::from_bytes(&newer),
            Err(CatalogueError::Newer { got: 9, known: 1 })
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), head in any::<bool>()) {
            let mut bytes = bytes;
            if head && bytes.len() >= 6 {
                bytes[..6].copy_from_slice(b"FLKC\x01\x00");
            }
            let _ = Catalogue::from_bytes(&bytes);
        }
    }
}
