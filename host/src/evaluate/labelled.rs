//! Embeddings with what is known of their photos, apart from where they come from.

use crate::dataset::LabelledPhoto;
use flukewatch_common::catalogue::Catalogue;
use flukewatch_common::embedding::{Embedding, EmbeddingError};
use flukewatch_common::whale_score::WhaleScore;
use jiff::civil::Date;
use ndarray::{Array2, ArrayView2};

/// What is known of a photo.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PhotoLabel {
    /// Its name in the table.
    pub name: String,
    /// The whale; `None` for one without a name.
    pub whale: Option<String>,
    /// The day it was taken, if known.
    pub date: Option<Date>,
    /// Its encounter, if known.
    pub encounter: Option<String>,
}

impl From<&LabelledPhoto> for PhotoLabel {
    fn from(photo: &LabelledPhoto) -> Self {
        Self {
            name: photo.name.clone(),
            whale: photo.whale.clone(),
            date: photo.date,
            encounter: photo.encounter.clone(),
        }
    }
}

/// Why numbers and labels do not belong together.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum LabelledError {
    /// Not one row a photo.
    #[error("{numbers} numbers are not {photos} embeddings of {dimension} numbers each")]
    Shape {
        /// Numbers in all.
        numbers: usize,
        /// Labels.
        photos: usize,
        /// Numbers an embedding.
        dimension: usize,
    },
    /// A row that is no embedding.
    #[error("photo {photo}: {source}")]
    Row {
        /// Which.
        photo: String,
        /// Why.
        source: EmbeddingError,
    },
}

/// Marks a photo without a named whale in [`LabelledEmbeddings::whale_by_photo`].
const UNNAMED: u32 = u32::MAX;

/// Photos, their labels and their embeddings `[N, D] f32`, row-major, L2-normalised.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledEmbeddings {
    labels: Vec<PhotoLabel>,
    whale_by_photo: Vec<u32>,
    whales: Vec<String>,
    photos_by_whale: Vec<Vec<usize>>,
    rows: Array2<f32>,
    whale_score: WhaleScore,
}

impl LabelledEmbeddings {
    /// Takes `[N, D] f32` row-major `numbers` and normalises each row.
    ///
    /// # Errors
    /// When the numbers are not one row a label, or a row has no direction.
    pub fn new(
        labels: Vec<PhotoLabel>,
        dimension: usize,
        numbers: Vec<f32>,
    ) -> Result<Self, LabelledError> {
        let shape = LabelledError::Shape {
            numbers: numbers.len(),
            photos: labels.len(),
            dimension,
        };
        let Ok(mut rows) = Array2::from_shape_vec((labels.len(), dimension), numbers) else {
            return Err(shape);
        };
        for (mut row, label) in rows.rows_mut().into_iter().zip(&labels) {
            let normalised =
                Embedding::normalised(row.to_vec()).map_err(|source| LabelledError::Row {
                    photo: label.name.clone(),
                    source,
                })?;
            row.iter_mut()
                .zip(normalised.as_slice())
                .for_each(|(to, from)| *to = *from);
        }
        let mut whales: Vec<String> = labels.iter().filter_map(|l| l.whale.clone()).collect();
        whales.sort_unstable();
        whales.dedup();
        let whale_by_photo: Vec<u32> = labels
            .iter()
            .map(|label| {
                let whale = label.whale.as_ref();
                whale.map_or(UNNAMED, |w| {
                    whales.binary_search(w).map_or(UNNAMED, |at| at as u32)
                })
            })
            .collect();
        let mut photos_by_whale = vec![vec![]; whales.len()];
        for (photo, &whale) in whale_by_photo.iter().enumerate() {
            if whale != UNNAMED {
                photos_by_whale[whale as usize].push(photo);
            }
        }
        Ok(Self {
            labels,
            whale_by_photo,
            whales,
            photos_by_whale,
            rows,
            whale_score: WhaleScore::BEST,
        })
    }

    /// The photos of a catalogue.
    ///
    /// # Errors
    /// Never for a catalogue that was filled with embeddings; see [`LabelledEmbeddings::new`].
    pub fn of_catalogue(catalogue: &Catalogue) -> Result<Self, LabelledError> {
        let labels = catalogue
            .entries()
            .iter()
            .map(|entry| PhotoLabel {
                name: entry.photo.clone(),
                whale: Some(entry.whale.clone()),
                ..PhotoLabel::default()
            })
            .collect();
        let numbers = (0..catalogue.len())
            .flat_map(|i| catalogue.embedding(i).iter().copied())
            .collect();
        Self::new(labels, catalogue.dimension(), numbers)
    }

    /// The same photos, whales scored in this way instead of by their most similar photo.
    pub fn scored_by(mut self, whale_score: WhaleScore) -> Self {
        self.whale_score = whale_score;
        self
    }

    /// How whales are scored.
    pub fn whale_score(&self) -> WhaleScore {
        self.whale_score
    }

    /// Photos, those without a named whale included.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no photo.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Photos of named whales.
    pub fn named(&self) -> usize {
        self.photos_by_whale.iter().map(Vec::len).sum()
    }

    /// The named whales, by name; their positions here are their numbers.
    pub fn whales(&self) -> &[String] {
        &self.whales
    }

    /// The number of the whale on a photo; `None` for one without a name.
    pub fn whale_of(&self, photo: usize) -> Option<usize> {
        let whale = self.whale_by_photo[photo];
        (whale != UNNAMED).then_some(whale as usize)
    }

    /// The photos of a whale, in the order of the table.
    pub fn photos_of(&self, whale: usize) -> &[usize] {
        &self.photos_by_whale[whale]
    }

    /// What is known of a photo.
    pub fn label(&self, photo: usize) -> &PhotoLabel {
        &self.labels[photo]
    }

    /// `[N, D] f32`, L2-normalised.
    pub fn rows(&self) -> ArrayView2<'_, f32> {
        self.rows.view()
    }

    /// Photos whose whale has another, whale by whale.
    pub fn with_company(&self) -> Vec<usize> {
        self.photos_by_whale
            .iter()
            .filter(|photos| photos.len() >= 2)
            .flatten()
            .copied()
            .collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Photos in the plane: whale (`?` for none) and direction in degrees.
    pub fn plane(photos: &[(&str, f32)]) -> LabelledEmbeddings {
        plane_with(photos, |_, _| {})
    }

    /// As [`plane`], with something more to say of each photo.
    pub fn plane_with(
        photos: &[(&str, f32)],
        more: impl Fn(usize, &mut PhotoLabel),
    ) -> LabelledEmbeddings {
        let labels = photos
            .iter()
            .enumerate()
            .map(|(i, (whale, _))| {
                let mut label = PhotoLabel {
                    name: format!("{i}.jpg"),
                    whale: (*whale != "?").then(|| (*whale).to_owned()),
                    ..PhotoLabel::default()
                };
                more(i, &mut label);
                label
            })
            .collect();
        let numbers = photos
            .iter()
            .flat_map(|(_, degrees)| {
                let (sin, cos) = degrees.to_radians().sin_cos();
                [cos, sin]
            })
            .collect();
        LabelledEmbeddings::new(labels, 2, numbers).unwrap()
    }

    #[test]
    fn whales_are_numbered_by_name() {
        let e = plane(&[("B", 0.0), ("A", 10.0), ("?", 20.0), ("B", 30.0)]);
        assert_eq!(e.whales(), ["A", "B"]);
        assert_eq!((e.whale_of(0), e.whale_of(2)), (Some(1), None));
        assert_eq!((e.photos_of(1), e.named()), (&[0, 3][..], 3));
        assert_eq!(e.with_company(), [0, 3]);
    }

    #[test]
    fn rows_are_normalised_or_refused() {
        let label = |name: &str| PhotoLabel {
            name: name.into(),
            ..PhotoLabel::default()
        };
        let labels = vec![label("a"), label("b")];
        let e = LabelledEmbeddings::new(labels.clone(), 2, vec![3.0, 4.0, 0.0, 2.0]).unwrap();
        assert!((e.rows()[[0, 0]] - 0.6).abs() < 1e-6 && (e.rows()[[1, 1]] - 1.0).abs() < 1e-6);
        assert!(matches!(
            LabelledEmbeddings::new(labels.clone(), 2, vec![3.0, 4.0, 0.0]),
            Err(LabelledError::Shape { numbers: 3, .. })
        ));
        assert!(matches!(
            LabelledEmbeddings::new(labels, 2, vec![3.0, 4.0, 0.0, 0.0]),
            Err(LabelledError::Row { photo, source: EmbeddingError::Zero }) if photo == "b"
        ));
    }
}
