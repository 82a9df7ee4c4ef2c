//! Which whale an encounter shows: its best crops, embedded and matched one by one, speak together.
//!
//! A whale's score for the encounter is the **mean of its scores for the crops**. The alternative, matching the mean of the
//! embeddings, ranks about as well but gives higher scores the more crops there are (averaging shortens the vector, normalising
//! lengthens it again), and the decision rule's thresholds are fitted on single photos. The mean of scores stays on their scale.

use crate::encounter::Crop;
use flukewatch_common::bundle::Bundle;
use flukewatch_common::catalogue::{Catalogue, CatalogueError, Match};
use flukewatch_common::decision::{DecisionRule, Verdict};
use flukewatch_common::embedder::{Embedder, EmbedderError};
use flukewatch_common::embedding::{Embedding, EmbeddingError};
use flukewatch_common::prepare::Colour;
use flukewatch_common::sighting::MAX_CANDIDATES;

/// Why an encounter has no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentifyError {
    /// The model makes nothing of any crop.
    #[error("the model makes nothing of the encounter's crops: {0}")]
    Embed(#[from] EmbedderError),
    /// Catalogue and model do not belong together.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The embeddings cancel each other out.
    #[error("the crops' embeddings have no mean: {0}")]
    Mean(#[from] EmbeddingError),
    /// An encounter without a crop.
    #[error("the encounter has no crop")]
    NoCrop,
}

/// What the boat says of an encounter.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// Known, new or review.
    pub verdict: Verdict,
    /// The whales that it may be, best first, at most [`MAX_CANDIDATES`].
    pub candidates: Vec<Match>,
    /// The chance that the first of them is right, in 0..=1, if the bundle has a curve for it.
    pub chance: Option<f32>,
    /// The mean of the embeddings, normalised.
    pub embedding: Embedding,
}

/// Crops and their embeddings, in the same order.
#[derive(Debug, Default)]
pub struct Embedded<'c> {
    /// The crops that speak.
    pub crops: Vec<&'c Crop>,
    /// What they say.
    pub embeddings: Vec<Embedding>,
}

/// Names whales by a bundle.
pub struct Identifier {
    embedder: Embedder,
    catalogue: Catalogue,
    decision: DecisionRule,
    bundle: String,
    grey: bool,
}

impl Identifier {
    /// Names whales by `bundle`, its model run by `embedder`.
    pub fn new(bundle: Bundle, embedder: Embedder) -> Self {
        let id = bundle.id().to_owned();
        let grey = bundle.manifest.preparation.colour == Colour::Grey;
        let mut catalogue = bundle.catalogue;
        catalogue.spare_memory(true);
        Self {
            embedder,
            catalogue,
            decision: bundle.decision,
            bundle: id,
            grey,
        }
    }

    /// Whether the model looks at brightness alone.
    pub fn sees_grey(&self) -> bool {
        self.grey
    }

    /// The bundle's id.
    pub fn bundle(&self) -> &str {
        &self.bundle
    }

    /// What runs the model.
    pub fn engine(&self) -> &str {
        self.embedder.engine_name()
    }

    /// How the bundle decides.
    pub fn rule(&self) -> &DecisionRule {
        &self.decision
    }

    /// The embeddings of `crops`, each beside its crop. A crop of which the model makes nothing is passed over where another speaks.
    ///
    /// # Errors
    /// When no crop speaks.
    pub fn embed<'c>(&mut self, crops: &'c [Crop]) -> Result<Embedded<'c>, IdentifyError> {
        let mut embedded = Embedded::default();
        let mut failed = None;
        for crop in crops {
            match self.embedder.embed(&crop.pixels, Some(crop.region)) {
                Ok(embedding) => {
                    embedded.crops.push(crop);
                    embedded.embeddings.push(embedding);
                }
                Err(e) => {
                    tracing::warn!("a crop is passed over: {e}");
                    failed = Some(e);
                }
            }
        }
        if embedded.crops.is_empty() {
            return Err(failed.map_or(IdentifyError::NoCrop, IdentifyError::Embed));
        }
        Ok(embedded)
    }

    /// Names the whale that `embeddings` are of, all together.
    ///
    /// # Errors
    /// When there is none, or they are not this bundle's.
    pub fn identify(&self, embeddings: &[Embedding]) -> Result<Identity, IdentifyError> {
        if embeddings.is_empty() {
            return Err(IdentifyError::NoCrop);
        }
        let candidates = self.catalogue.search_together(
            embeddings,
            self.decision.whale_score,
            MAX_CANDIDATES,
        )?;
        let chance = self.decision.chance(&candidates).map(|c| c as f32);
        Ok(Identity {
            verdict: self.decision.decide(&candidates),
            candidates,
            chance,
            embedding: mean(embeddings)?,
        })
    }
}

fn mean(embeddings: &[Embedding]) -> Result<Embedding, EmbeddingError> {
    let mut sum = vec![0.0; embeddings.first().map_or(0, Embedding::dimension)];
    for embedding in embeddings {
        for (total, value) in sum.iter_mut().zip(embedding.as_slice()) {
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
        let e = |v: [f32; 2]| Embedding::normalised(v.to_vec()).unwrap();
        let between = mean(&[e([1.0, 0.0]), e([0.0, 1.0])]).unwrap();
        assert!((between.cosine(&e([1.0, 1.0])) - 1.0).abs() < 1e-6);
        assert!(mean(&[e([1.0, 0.0]), e([-1.0, 0.0])]).is_err());
    }
}
