//! Soft-hard (the code of Roth and Brattoli, *Easily Extendable Basic Deep Metric Learning Pipeline*,
//! 2019): not the hardest, but any on the wrong side of the hardest opposite, so that one outlier does
//! not decide the whole batch.

use super::anchor::{Anchor, Miner};
use crate::about::{About, settings};
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

settings! {
    /// For each anchor a positive farther than its nearest negative and a negative nearer than its
    /// farthest positive, with equal probability. An anchor whose positives are all nearer than its
    /// negatives takes any of each.
    SoftHard {}
}

const ABOUT: About = About {
    kind: "soft-hard",
    formula: "for each anchor, a positive with d_ap > min d_an and a negative with d_an < max d_ap; if there is none, any",
    source: "Roth and Brattoli, Easily Extendable Basic Deep Metric Learning Pipeline (code), 2019",
    settings: SoftHard::MEANINGS,
};

impl Miner for SoftHard {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn pick(&self, anchor: &Anchor<'_>, random: &mut ChaCha8Rng) -> Vec<(usize, usize)> {
        let d = anchor.distances;
        let (same, other) = (&anchor.positives, &anchor.negatives);
        let farthest = same.iter().map(|&p| d[p]).fold(f32::NEG_INFINITY, f32::max);
        let nearest = other.iter().map(|&n| d[n]).fold(f32::INFINITY, f32::min);
        let hard = |all: &[usize], is_hard: &dyn Fn(f32) -> bool| -> Vec<usize> {
            let hard: Vec<usize> = all.iter().copied().filter(|&i| is_hard(d[i])).collect();
            if hard.is_empty() { all.to_vec() } else { hard }
        };
        // Both are drawn, even if one is missing: draws then do not depend on the other.
        let positive = hard(same, &|d| d > nearest).choose(random).copied();
        let negative = hard(other, &|d| d < farthest).choose(random).copied();
        positive.zip(negative).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::miner::tests_support::{able, batches, is_triplet, mine, rng};
    use proptest::prelude::*;
    use rand::SeedableRng;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn beyond_the_hardest_opposite((distances, classes, seed) in batches()) {
            let count = classes.len();
            let triplets = mine(&SoftHard {}, &distances, &classes, 8, &mut ChaCha8Rng::seed_from_u64(seed));
            for t in &triplets {
                prop_assert!(is_triplet(t, &classes));
                let d = &distances[t.anchor * count..(t.anchor + 1) * count];
                let same = |i: usize| classes[i] == classes[t.anchor];
                let overlap = (0..count).any(|p| {
                    p != t.anchor && same(p) && (0..count).any(|n| !same(n) && d[n] < d[p])
                });
                if overlap {
                    prop_assert!((0..count).any(|n| !same(n) && d[n] < d[t.positive]));
                    prop_assert!((0..count).any(|p| p != t.anchor && same(p) && d[p] > d[t.negative]));
                }
            }
            let anchors: Vec<_> = triplets.iter().map(|t| t.anchor).collect();
            prop_assert_eq!(anchors, able(&classes));
        }
    }

    #[test]
    fn every_hard_one_is_drawn() {
        // From anchor 0: positives at 0.3, 0.7, 0.9, negatives at 0.6, 0.8, 1.2: the hard ones are 0.7 and 0.9, 0.6 and 0.8.
        let mut distances = vec![0.0f32; 49];
        distances[..7].copy_from_slice(&[0.0, 0.3, 0.7, 0.9, 0.6, 0.8, 1.2]);
        let mut random = rng();
        let drawn: BTreeSet<_> = (0..100)
            .map(|_| {
                mine(
                    &SoftHard {},
                    &distances,
                    &[0, 0, 0, 0, 1, 1, 2],
                    8,
                    &mut random,
                )[0]
            })
            .map(|t| (t.positive, t.negative))
            .collect();
        assert_eq!(drawn, BTreeSet::from([(2, 4), (2, 5), (3, 4), (3, 5)]));
    }
}
