//! Embeddings with the labels of their photos.

use crate::gallery::label::PhotoLabel;
use crate::gallery::local::{LocalGallery, Norms};
use crate::gallery::relations::Relations;
use flukewatch_common::catalogue::Catalogue;
use flukewatch_common::embedding::{Embedding, EmbeddingError};
use flukewatch_common::whale_score::WhaleScore;
use ndarray::{Array2, ArrayView2};

/// Why values and labels do not fit.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum LabelledError {
    /// Not one row per photo.
    #[error("expected {photos} embeddings of {dimension} values, found {values} values")]
    Shape {
        /// Number of values given.
        values: usize,
        /// Number of labels.
        photos: usize,
        /// Number of values per embedding.
        dimension: usize,
    },
    /// A row that is not an embedding.
    #[error("photo {photo}: {source}")]
    Row {
        /// Name of the photo.
        photo: String,
        /// What is wrong with its row.
        source: EmbeddingError,
    },
}

/// Marks an unnamed photo in [`LabelledEmbeddings::whale_by_photo`].
const UNNAMED: u32 = u32::MAX;

/// Labels and L2-normalised embeddings `[N, D] f32` of photos.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledEmbeddings {
    labels: Vec<PhotoLabel>,
    whale_by_photo: Vec<u32>,
    whales: Vec<String>,
    photos_by_whale: Vec<Vec<usize>>,
    rows: Array2<f32>,
    whale_score: WhaleScore,
    relations: Relations,
    local: Option<LocalGallery>,
    /// Those among all named whales; empty without local matching.
    norms: Norms,
}

impl LabelledEmbeddings {
    /// Normalises each row of `values`.
    ///
    /// # Shapes
    /// `values`: `[N, D] f32`, row-major.
    ///
    /// # Errors
    /// If there is not one row per label, or a row is zero.
    pub fn new(
        labels: Vec<PhotoLabel>,
        dimension: usize,
        values: Vec<f32>,
    ) -> Result<Self, LabelledError> {
        let shape = LabelledError::Shape {
            values: values.len(),
            photos: labels.len(),
            dimension,
        };
        let Ok(mut rows) = Array2::from_shape_vec((labels.len(), dimension), values) else {
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
                    let number = whales.binary_search(w);
                    number.expect("every label's whale is in the list") as u32
                })
            })
            .collect();
        let mut photos_by_whale = vec![vec![]; whales.len()];
        for (photo, &whale) in whale_by_photo.iter().enumerate() {
            if whale != UNNAMED {
                photos_by_whale[whale as usize].push(photo);
            }
        }
        let relations = Relations::of(&labels);
        Ok(Self {
            labels,
            relations,
            whale_by_photo,
            whales,
            photos_by_whale,
            rows,
            whale_score: WhaleScore::BEST,
            local: None,
            norms: Norms::default(),
        })
    }

    /// The photos of a catalogue.
    ///
    /// # Errors
    /// Never for a catalogue of embeddings; see [`LabelledEmbeddings::new`].
    pub fn of_catalogue(catalogue: &Catalogue) -> Result<Self, LabelledError> {
        let labels = catalogue
            .entries()
            .iter()
            .map(PhotoLabel::of_entry)
            .collect();
        let values = (0..catalogue.len())
            .flat_map(|i| catalogue.embedding(i).iter().copied())
            .collect();
        Self::new(labels, catalogue.dimension(), values)
    }

    /// Adds descriptors and norms, one per photo ([`crate::gallery::matching::with_local`]).
    pub(crate) fn with_descriptors(mut self, local: LocalGallery, norms: Norms) -> Self {
        assert_eq!(
            local.descriptors().len(),
            self.len(),
            "descriptors of each photo"
        );
        assert_eq!(norms.values().len(), self.len(), "a norm of each photo");
        self.local = Some(local);
        self.norms = norms;
        self
    }

    /// The descriptors and their score, if whales are scored by them.
    pub fn local(&self) -> Option<&LocalGallery> {
        self.local.as_ref()
    }

    /// The norm of each photo among all named whales; empty without local matching.
    pub fn norms(&self) -> &Norms {
        &self.norms
    }

    /// Sets how a whale is scored by its photos; by default, its most similar photo counts.
    pub fn scored_by(mut self, whale_score: WhaleScore) -> Self {
        self.whale_score = whale_score;
        self
    }

    /// How a whale is scored by its photos.
    pub fn whale_score(&self) -> WhaleScore {
        self.whale_score
    }

    /// Number of photos, including unnamed ones.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether it holds zero photos.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Number of photos of named whales.
    pub fn named_photos(&self) -> usize {
        self.photos_by_whale.iter().map(Vec::len).sum()
    }

    /// The named whales in alphabetical order; positions here are whale numbers.
    pub fn whales(&self) -> &[String] {
        &self.whales
    }

    /// The whale on a photo, as a number; `None` if unnamed.
    pub fn whale_of(&self, photo: usize) -> Option<usize> {
        let whale = self.whale_by_photo[photo];
        (whale != UNNAMED).then_some(whale as usize)
    }

    /// Which photos belong to the same encounter or are near-duplicates.
    pub(super) fn relations(&self) -> &Relations {
        &self.relations
    }

    /// The number of a photo's encounter; `None` if neither its name nor whale and day are known.
    pub fn encounter_of(&self, photo: usize) -> Option<usize> {
        self.relations.encounter_of(photo)
    }

    /// The photos of a whale, in the order of the table.
    pub fn photos_of(&self, whale: usize) -> &[usize] {
        &self.photos_by_whale[whale]
    }

    /// The label of a photo.
    pub fn label(&self, photo: usize) -> &PhotoLabel {
        &self.labels[photo]
    }

    /// `[N, D] f32`, L2-normalised.
    pub fn rows(&self) -> ArrayView2<'_, f32> {
        self.rows.view()
    }

    /// Photos of whales with two photos or more, whale by whale.
    pub fn with_multiple_photos(&self) -> Vec<usize> {
        self.photos_by_whale
            .iter()
            .filter(|photos| photos.len() >= 2)
            .flatten()
            .copied()
            .collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Photos in the plane: whale (`?` for none) and direction in degrees.
    pub(crate) fn plane(photos: &[(&str, f32)]) -> LabelledEmbeddings {
        plane_with(photos, |_, _| {})
    }

    /// Like [`plane`], with a change to each label.
    pub(crate) fn plane_with(
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
        let values = photos
            .iter()
            .flat_map(|(_, degrees)| {
                let (sin, cos) = degrees.to_radians().sin_cos();
                [cos, sin]
            })
            .collect();
        LabelledEmbeddings::new(labels, 2, values).unwrap()
    }

    #[test]
    fn whales_are_numbered_by_name() {
        let e = plane(&[("B", 0.0), ("A", 10.0), ("?", 20.0), ("B", 30.0)]);
        assert_eq!(e.whales(), ["A", "B"]);
        assert_eq!((e.whale_of(0), e.whale_of(2)), (Some(1), None));
        assert_eq!((e.photos_of(1), e.named_photos()), (&[0, 3][..], 3));
        assert_eq!(e.with_multiple_photos(), [0, 3]);
    }

    #[test]
    fn rows_are_normalised_or_rejected() {
        let label = |name: &str| PhotoLabel {
            name: name.into(),
            ..PhotoLabel::default()
        };
        let labels = vec![label("a"), label("b")];
        let e = LabelledEmbeddings::new(labels.clone(), 2, vec![3.0, 4.0, 0.0, 2.0]).unwrap();
        assert!((e.rows()[[0, 0]] - 0.6).abs() < 1e-6 && (e.rows()[[1, 1]] - 1.0).abs() < 1e-6);
        assert!(matches!(
            LabelledEmbeddings::new(labels.clone(), 2, vec![3.0, 4.0, 0.0]),
            Err(LabelledError::Shape { values: 3, .. })
        ));
        assert!(matches!(
            LabelledEmbeddings::new(labels, 2, vec![3.0, 4.0, 0.0, 0.0]),
            Err(LabelledError::Row { photo, source: EmbeddingError::Zero }) if photo == "b"
        ));
    }
}
