//! Identifies the individual of an encounter from its best crops.
//!
//! Individuals are ranked by the cosines of their photos; where the bundle has local matching, the best ones are scored by the
//! descriptors of their photos as well.
//!
//! An individual's score for the encounter is the **mean of its scores for the crops**. Matching the mean
//! of the embeddings ranks about as well, but its scores grow with the number of crops (averaging shortens
//! the vector, normalising lengthens it again). The decision rule's thresholds are fitted on the same means,
//! of encounters of 1 to 5 photos.

use flukewatch_common::bundle::{Bundle, LocalInfo};
use flukewatch_common::catalogue::{Catalogue, Match};
use flukewatch_common::decision::{Decision, DecisionRule};
use flukewatch_common::embedding::{Embedding, EmbeddingError};
use flukewatch_common::local_matching::{
    EmbeddedPhoto, LocalCatalogue, LocalPhotos, LocalScore, SearchError, search_encounter,
};
use flukewatch_common::matching_regions::{DescribedPicture, MatchingRegions};
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::prepare::{Colour, Preparation, PrepareError};
use flukewatch_common::sighting::MAX_CANDIDATES;
use flukewatch_inference::embedder::{Embedder, EmbedderError};
use image::RgbImage;

/// An encounter that cannot be identified.
#[derive(Debug, thiserror::Error)]
pub enum IdentifyError {
    /// No crop could be embedded.
    #[error("cannot embed any crop of the encounter: {0}")]
    Embed(#[from] EmbedderError),
    /// The catalogue cannot be searched.
    #[error(transparent)]
    Catalogue(#[from] SearchError),
    /// The embeddings cancel each other out.
    #[error("the embeddings of the crops have no mean: {0}")]
    Mean(#[from] EmbeddingError),
    /// An encounter without a crop.
    #[error("the encounter has no crop")]
    NoCrop,
    /// A recorded crop cannot be decoded.
    #[error("cannot decode any crop of the recording: {0}")]
    Decode(#[from] PrepareError),
}

/// A crop as a model takes it.
#[derive(Clone, Debug)]
pub struct CropImage {
    /// The fluke with padding.
    pub pixels: RgbImage,
    /// The fluke in [`CropImage::pixels`].
    pub region: PixelBox,
}

/// How an encounter matches the catalogue.
#[derive(Clone, Debug, PartialEq)]
pub struct EncounterMatch {
    /// Known, new or review.
    pub decision: Decision,
    /// The candidates, best first, at most [`MAX_CANDIDATES`].
    pub candidates: Vec<Match>,
    /// The probability that the first candidate is right, where the bundle is calibrated.
    pub probability: Option<f32>,
    /// The mean of the embeddings, normalised.
    pub embedding: Embedding,
}

/// Crops that could be embedded.
#[derive(Debug, Default)]
pub struct EmbeddedCrops {
    /// The indices of the crops, ascending.
    pub crops: Vec<usize>,
    /// One per index.
    pub embedded: Vec<EmbeddedPhoto>,
}

/// Identifies individuals with a bundle.
pub struct Identifier {
    embedder: Embedder,
    catalogue: Catalogue,
    local: Option<(LocalPhotos, LocalInfo)>,
    decision: DecisionRule,
    bundle: String,
    preparation: Preparation,
}

impl Identifier {
    /// Identifies with `bundle`, whose model `embedder` runs.
    pub fn new(bundle: Bundle, embedder: Embedder) -> Self {
        let id = bundle.id().to_owned();
        let mut catalogue = bundle.catalogue;
        catalogue.release_pages(true);
        Self {
            embedder,
            catalogue,
            local: bundle.local.zip(bundle.manifest.local),
            decision: bundle.decision,
            bundle: id,
            preparation: bundle.manifest.preparation,
        }
    }

    /// Whether the model uses luma only.
    pub fn is_grey(&self) -> bool {
        self.preparation.colour == Colour::Grey
    }

    /// Id of the bundle in use.
    pub fn bundle(&self) -> &str {
        &self.bundle
    }

    /// The name of the inference engine.
    pub fn engine(&self) -> &str {
        self.embedder.engine_name()
    }

    /// The bundle's decision rule.
    pub fn rule(&self) -> &DecisionRule {
        &self.decision
    }

    /// How the similarity of descriptors is mixed into scores, where the bundle has local matching.
    pub fn local_score(&self) -> Option<&LocalScore> {
        self.local.as_ref().map(|(_, info)| &info.score)
    }

    /// Embeds `crops`. Crops that cannot be embedded are skipped.
    ///
    /// # Errors
    /// When no crop can be embedded.
    pub fn embed(&mut self, crops: &[CropImage]) -> Result<EmbeddedCrops, IdentifyError> {
        let mut embedded = EmbeddedCrops::default();
        let mut failed = None;
        for (index, crop) in crops.iter().enumerate() {
            let photo = self
                .embedder
                .embed_with_local(&crop.pixels, Some(crop.region));
            match photo {
                Ok(photo) => {
                    embedded.crops.push(index);
                    embedded.embedded.push(photo);
                }
                Err(e) => {
                    tracing::warn!(error = %e, "skipping crop that cannot be embedded");
                    failed = Some(e);
                }
            }
        }
        if embedded.crops.is_empty() {
            return Err(failed.map_or(IdentifyError::NoCrop, IdentifyError::Embed));
        }
        Ok(embedded)
    }

    /// Identifies the individual of `photos`, all together.
    ///
    /// # Errors
    /// When there are none, or they are of another model.
    pub fn identify(&self, photos: &[EmbeddedPhoto]) -> Result<EncounterMatch, IdentifyError> {
        if photos.is_empty() {
            return Err(IdentifyError::NoCrop);
        }
        let local = self.local.as_ref().map(|(photos, info)| LocalCatalogue {
            photos,
            score: &info.score,
        });
        let candidates = search_encounter(
            &self.catalogue,
            local,
            photos,
            self.decision.whale_score,
            MAX_CANDIDATES,
        )?;
        let probability = self.decision.probability(&candidates).map(|c| c as f32);
        Ok(EncounterMatch {
            decision: self.decision.decide(&candidates),
            candidates,
            probability,
            embedding: mean(photos)?,
        })
    }

    /// The regions of a crop that match the photos of its candidates; `None` where the bundle has no
    /// local matching or there are no candidates.
    pub fn matching_regions(
        &self,
        crop: &CropImage,
        photo: &EmbeddedPhoto,
        candidates: &[Match],
    ) -> Option<MatchingRegions> {
        let ((photos, _), descriptors) = self.local.as_ref().zip(photo.local.as_ref())?;
        if candidates.is_empty() {
            return None;
        }
        let (width, height) = crop.pixels.dimensions();
        let seen = self.preparation.widened(crop.region, width, height).ok()?;
        let picture = DescribedPicture {
            descriptors,
            area: self.preparation.input_area(seen, width, height),
            crop: self.preparation.crop_in_input(seen.width(), seen.height()),
        };
        // They only explain the candidates: a sighting without them is complete.
        MatchingRegions::find(picture, &self.catalogue, photos, candidates)
            .inspect_err(|error| tracing::warn!(%error, "cannot compare regions"))
            .ok()
    }
}

fn mean(photos: &[EmbeddedPhoto]) -> Result<Embedding, EmbeddingError> {
    let mut sum = vec![0.0; photos.first().map_or(0, |p| p.embedding.dimension())];
    for photo in photos {
        for (total, value) in sum.iter_mut().zip(photo.embedding.as_slice()) {
            *total += value;
        }
    }
    Embedding::normalised(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_embedding_lies_between() {
        let e = |v: [f32; 2]| EmbeddedPhoto {
            embedding: Embedding::normalised(v.to_vec()).unwrap(),
            local: None,
        };
        let between = mean(&[e([1.0, 0.0]), e([0.0, 1.0])]).unwrap();
        let expected = e([1.0, 1.0]).embedding;
        assert!((between.cosine(&expected) - 1.0).abs() < 1e-6);
        assert!(mean(&[e([1.0, 0.0]), e([-1.0, 0.0])]).is_err());
    }
}
