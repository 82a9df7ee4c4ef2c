//! Helpers for the tests of miners.

use super::anchor::{Batch, Miner, Triplet, triplets};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub(super) fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(7)
}

/// A batch of 0 to 12 photos of at most four classes, with symmetric distances in steps of 0.1, so that ties occur.
pub(super) fn batches() -> impl Strategy<Value = (Vec<f32>, Vec<i64>, u64)> {
    (0usize..12).prop_flat_map(|count| {
        (
            prop::collection::vec(0u8..=20, count * count),
            prop::collection::vec(0i64..4, count),
            any::<u64>(),
        )
            .prop_map(move |(steps, classes, seed)| {
                let at = |i: usize, j: usize| {
                    let (i, j) = (i.min(j), i.max(j));
                    if i == j {
                        0.0
                    } else {
                        f32::from(steps[i * count + j]) / 10.0
                    }
                };
                let distances = (0..count * count)
                    .map(|k| at(k / count, k % count))
                    .collect();
                (distances, classes, seed)
            })
    })
}

pub(super) fn is_triplet(t: &Triplet, classes: &[i64]) -> bool {
    t.anchor != t.positive
        && classes[t.anchor] == classes[t.positive]
        && classes[t.anchor] != classes[t.negative]
}

/// Anchors that have a positive and a negative.
pub(super) fn able(classes: &[i64]) -> Vec<usize> {
    (0..classes.len())
        .filter(|&a| {
            let same = classes.iter().filter(|&c| *c == classes[a]).count();
            same > 1 && same < classes.len()
        })
        .collect()
}

/// All (anchor, positive) of a batch that has a negative for the anchor, in order.
pub(super) fn able_pairs(classes: &[i64]) -> Vec<(usize, usize)> {
    able(classes)
        .into_iter()
        .flat_map(|a| {
            (0..classes.len())
                .filter(move |&p| p != a && classes[p] == classes[a])
                .map(move |p| (a, p))
        })
        .collect()
}

pub(super) fn mine(
    miner: &dyn Miner,
    distances: &[f32],
    classes: &[i64],
    dimension: usize,
    random: &mut ChaCha8Rng,
) -> Vec<Triplet> {
    let batch = Batch {
        distances,
        classes,
        dimension,
    };
    triplets(miner, &batch, random)
}
