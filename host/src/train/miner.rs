//! Which triples of a batch a loss learns from: one miner a module. They see plain numbers and need no libtorch.

pub mod distance_weighted;
pub mod hard;
pub mod random;
pub mod semi_hard;
pub mod soft_hard;

use super::recipe::MinerChoice;
use rand_chacha::ChaCha8Rng;

/// Positions in the batch: `anchor` and `positive` are different photos of one class, `negative` is of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Triple {
    /// Whose distances are compared.
    pub anchor: usize,
    /// To come nearer.
    pub positive: usize,
    /// To go farther.
    pub negative: usize,
}

/// Picks triples by distance.
pub trait Miner {
    /// `distances` `[N * N]`, row-major, Euclidean distances of L2-normalised embeddings of `dimension` numbers; `classes` `[N]`.
    /// An anchor without a positive or without a negative gives no triple. `random` draws what the miner draws.
    fn triples(
        &self,
        distances: &[f32],
        classes: &[i64],
        dimension: usize,
        random: &mut ChaCha8Rng,
    ) -> Vec<Triple>;
}

/// The miner that a recipe asks for.
pub fn build(choice: &MinerChoice) -> Box<dyn Miner> {
    match choice {
        MinerChoice::Random {} => Box::new(random::Random),
        MinerChoice::Hard {} => Box::new(hard::Hard),
        MinerChoice::SemiHard { margin } => Box::new(semi_hard::SemiHard {
            margin: *margin as f32,
        }),
        MinerChoice::SoftHard {} => Box::new(soft_hard::SoftHard),
        MinerChoice::DistanceWeighted {} => Box::new(distance_weighted::DistanceWeighted),
    }
}

/// Other photos of the anchor's class.
fn positives(classes: &[i64], anchor: usize) -> Vec<usize> {
    (0..classes.len())
        .filter(|&i| i != anchor && classes[i] == classes[anchor])
        .collect()
}

/// Photos of other classes.
fn negatives(classes: &[i64], anchor: usize) -> Vec<usize> {
    (0..classes.len())
        .filter(|&i| classes[i] != classes[anchor])
        .collect()
}

/// The distances from `anchor`, `[N]`.
fn row(distances: &[f32], count: usize, anchor: usize) -> &[f32] {
    &distances[anchor * count..(anchor + 1) * count]
}

#[cfg(test)]
mod tests_support {
    use super::Triple;
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

    pub(super) fn is_triple(t: &Triple, classes: &[i64]) -> bool {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_and_one_photo_make_no_triple() {
        for choice in MinerChoice::all() {
            let miner = build(&choice);
            let mut random = tests_support::rng();
            assert!(miner.triples(&[], &[], 8, &mut random).is_empty());
            assert!(miner.triples(&[0.0], &[3], 8, &mut random).is_empty());
        }
    }

    #[test]
    fn one_class_or_only_strangers_make_no_triple() {
        let distances = [0.7f32; 9];
        for choice in MinerChoice::all() {
            for classes in [[1, 1, 1], [0, 1, 2]] {
                let triples =
                    build(&choice).triples(&distances, &classes, 8, &mut tests_support::rng());
                assert!(triples.is_empty(), "{choice:?} {classes:?}");
            }
        }
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let distances: Vec<f32> = (0..64).map(|i| (i * 37 % 64) as f32 / 50.0).collect();
        let classes = [0, 0, 0, 1, 1, 1, 2, 2];
        for choice in MinerChoice::all() {
            let draw =
                || build(&choice).triples(&distances, &classes, 8, &mut tests_support::rng());
            assert_eq!(draw(), draw());
        }
    }
}
