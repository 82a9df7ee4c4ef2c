//! How the similarity of descriptors is mixed into the score of a photo.

use super::descriptors::Descriptors;
use super::similarity::{agreement, similarity};
use serde::{Deserialize, Serialize};

/// The number of typical pairs that a norm is averaged with, so that a catalogue of few whales gets a usable one.
const PRIOR_PAIRS: f32 = 4.0;
/// The best whales that are left out of the norm of a query: one of them may be its own.
pub(super) const LEFT_OUT: usize = 5;

/// The score of a photo from its cosine and the similarity of its descriptors:
/// `cosine + weight * (similarity - (query norm + gallery norm) / 2 - intercept - slope * cosine)`.
///
/// The norm of a photo is its mean similarity to unrelated candidates: some photos are similar to everything.
/// `intercept + slope * cosine` is the normalised similarity that is expected at a cosine. A pair whose similarity is not computed thus
/// keeps its cosine, and scores stay on the scale of cosines.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalScore {
    /// The weight of the similarity above expectation; 0 leaves the cosine.
    pub weight: f32,
    /// The expected normalised similarity at the cosine 0.
    pub intercept: f32,
    /// How much more similarity is expected per unit of cosine.
    pub slope: f32,
    /// The norm of a typical photo.
    pub typical_norm: f32,
    /// The number of best whales by cosine that are scored by their descriptors.
    pub whales: usize,
    /// The number of most similar photos of each such whale whose descriptors are compared.
    pub photos: usize,
    /// What the fine grid adds to the similarity; `None` without a fine grid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fine: Option<FineWeights>,
}

/// The weights with which the agreement of two photos is added to their [`similarity`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FineWeights {
    /// Of the coarse grid's mutual matches.
    pub coarse_mutual: f32,
    /// Of the fine grid's best matches.
    pub best: f32,
    /// Of its mutual matches.
    pub mutual: f32,
    /// Of its matches that agree on one affine map.
    pub affine: f32,
}

/// The most whales and photos that a [`LocalScore`] may compare.
const MAX_WHALES: usize = 1000;
const MAX_PHOTOS: usize = 16;
/// The largest weight of a fine grid's agreement.
const MAX_FINE_WEIGHT: f32 = 10.0;
/// The largest value of a norm and of an expected similarity, far above those of any model.
pub(super) const MAX_SIMILARITY: f32 = 2.0;

impl FineWeights {
    fn named(self) -> [(&'static str, f32); 4] {
        [
            ("coarse_mutual", self.coarse_mutual),
            ("best", self.best),
            ("mutual", self.mutual),
            ("affine", self.affine),
        ]
    }
}

/// A local score with a number out of range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid local score: {0}")]
pub struct InvalidLocalScore(String);

impl LocalScore {
    /// # Errors
    /// When a number is out of range.
    pub fn validate(&self) -> Result<(), InvalidLocalScore> {
        let fail = |why: String| Err(InvalidLocalScore(why));
        if !(0.0..=100.0).contains(&self.weight) {
            return fail(format!("weight {}; expected 0 to 100", self.weight));
        }
        for (name, value) in [
            ("intercept", self.intercept),
            ("slope", self.slope),
            ("typical_norm", self.typical_norm),
        ] {
            if !(-MAX_SIMILARITY..=MAX_SIMILARITY).contains(&value) {
                return fail(format!(
                    "{name} {value}; expected -{MAX_SIMILARITY} to {MAX_SIMILARITY}"
                ));
            }
        }
        if let Some(fine) = self.fine {
            for (name, value) in fine.named() {
                if !(-MAX_FINE_WEIGHT..=MAX_FINE_WEIGHT).contains(&value) {
                    return fail(format!(
                        "fine.{name} {value}; expected -{MAX_FINE_WEIGHT} to {MAX_FINE_WEIGHT}"
                    ));
                }
            }
        }
        if !(1..=MAX_WHALES).contains(&self.whales) || !(1..=MAX_PHOTOS).contains(&self.photos) {
            return fail(format!(
                "{} photos of {} whales; expected 1 to {MAX_PHOTOS} photos of 1 to {MAX_WHALES} whales",
                self.photos, self.whales
            ));
        }
        Ok(())
    }

    /// The similarity of two photos: that of [`similarity`], with what the fine grid adds where both have one.
    ///
    /// # Panics
    /// When the layouts differ.
    pub fn similarity(&self, one: &Descriptors, other: &Descriptors) -> f32 {
        let Some(weights) = self.fine else {
            return similarity(one, other);
        };
        let (coarse, fine) = agreement(one, other);
        let fine = fine.unwrap_or_default();
        coarse.best
            + weights.coarse_mutual * coarse.mutual
            + weights.best * fine.best
            + weights.mutual * fine.mutual
            + weights.affine * fine.affine
    }

    /// The score of a photo, in -1..=1.
    pub fn of(&self, cosine: f32, similarity: f32, query_norm: f32, gallery_norm: f32) -> f32 {
        let normalised = similarity - (query_norm + gallery_norm) / 2.0;
        let above = normalised - self.intercept - self.slope * cosine;
        (cosine + self.weight * above).clamp(-1.0, 1.0)
    }

    /// The norm of a photo from its similarities to unrelated candidates.
    pub fn norm(&self, similarities: impl IntoIterator<Item = f32>) -> f32 {
        let (mut sum, mut count) = (PRIOR_PAIRS * self.typical_norm, PRIOR_PAIRS);
        for similarity in similarities {
            sum += similarity;
            count += 1.0;
        }
        sum / count
    }
}
