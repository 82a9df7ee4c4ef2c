//! The loop that all miners share: anchor by anchor.

use crate::about::{About, InvalidSetting};
use rand_chacha::ChaCha8Rng;
use std::fmt;

/// Positions in a batch: `anchor` and `positive` are different photos of one class, `negative` is of
/// another class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Triplet {
    /// The photo whose distances are compared.
    pub anchor: usize,
    /// Pulled towards the anchor.
    pub positive: usize,
    /// Pushed away from the anchor.
    pub negative: usize,
}

/// What a miner sees of a batch of N photos.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// `[N * N]`, row-major: Euclidean distances of L2-normalised embeddings.
    pub distances: &'a [f32],
    /// Class of each photo, `[N]`.
    pub classes: &'a [i64],
    /// Length of an embedding.
    pub dimension: usize,
}

/// One photo of a batch, as anchor.
#[derive(Debug)]
pub struct Anchor<'a> {
    /// `[N]`, from the anchor.
    pub distances: &'a [f32],
    /// Positions of other photos of its class.
    pub positives: Vec<usize>,
    /// Positions of photos of other classes.
    pub negatives: Vec<usize>,
    /// Length of an embedding.
    pub dimension: usize,
}

/// A rule that picks triplets by distance.
pub trait Miner: fmt::Debug {
    /// Formula, source and settings.
    fn about(&self) -> &'static About;

    /// Checks that all settings are in range.
    ///
    /// # Errors
    /// Names the setting and its range.
    fn check(&self) -> Result<(), InvalidSetting> {
        Ok(())
    }

    /// Picks (positive, negative) pairs for an anchor, which may have none of either.
    fn pick(&self, anchor: &Anchor<'_>, random: &mut ChaCha8Rng) -> Vec<(usize, usize)>;
}

pub(super) fn triplets(
    miner: &dyn Miner,
    batch: &Batch<'_>,
    random: &mut ChaCha8Rng,
) -> Vec<Triplet> {
    let classes = batch.classes;
    let of_class = |same: bool, anchor: usize| -> Vec<usize> {
        (0..classes.len())
            .filter(|&i| i != anchor && (classes[i] == classes[anchor]) == same)
            .collect()
    };
    (0..classes.len())
        .flat_map(|anchor| {
            let seen = Anchor {
                distances: &batch.distances[anchor * classes.len()..(anchor + 1) * classes.len()],
                positives: of_class(true, anchor),
                negatives: of_class(false, anchor),
                dimension: batch.dimension,
            };
            let picked = miner.pick(&seen, random);
            picked.into_iter().map(move |(positive, negative)| Triplet {
                anchor,
                positive,
                negative,
            })
        })
        .collect()
}
