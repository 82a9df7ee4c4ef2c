//! Semi-hard negatives (Schroff, Kalenichenko and Philbin, *FaceNet*, CVPR 2015): farther than the positive, but within the
//! margin. They still cost something, and are not the outliers that make an embedding fall into a point.
//!
//! A pair without such a negative gives no triple. Some codes take any negative then: too easy ones dilute the mean, and ones
//! nearer than the positive are what the rule is there to avoid.

use super::{Miner, Triple, negatives, positives, row};
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

/// For each (anchor, positive) a negative with `d_ap < d_an < d_ap + margin`, all such equally likely.
pub struct SemiHard {
    /// m, a distance.
    pub margin: f32,
}

impl Miner for SemiHard {
    fn triples(
        &self,
        distances: &[f32],
        classes: &[i64],
        _: usize,
        random: &mut ChaCha8Rng,
    ) -> Vec<Triple> {
        let mut triples = vec![];
        for anchor in 0..classes.len() {
            let d = row(distances, classes.len(), anchor);
            let others = negatives(classes, anchor);
            for positive in positives(classes, anchor) {
                let within: Vec<usize> = others
                    .iter()
                    .copied()
                    .filter(|&n| d[positive] < d[n] && d[n] < d[positive] + self.margin)
                    .collect();
                if let Some(&negative) = within.choose(random) {
                    triples.push(Triple {
                        anchor,
                        positive,
                        negative,
                    });
                }
            }
        }
        triples
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests_support::{able_pairs, batches, is_triple, rng};
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;

    proptest! {
        #[test]
        fn within_the_margin_and_every_pair_that_can((distances, classes, seed) in batches()) {
            let (miner, count) = (SemiHard { margin: 0.25 }, classes.len());
            let triples = miner.triples(&distances, &classes, 8, &mut ChaCha8Rng::seed_from_u64(seed));
            let fits = |a: usize, p: usize, n: usize| {
                let (ap, an) = (distances[a * count + p], distances[a * count + n]);
                classes[n] != classes[a] && ap < an && an < ap + 0.25
            };
            for t in &triples {
                prop_assert!(is_triple(t, &classes) && fits(t.anchor, t.positive, t.negative));
            }
            let expected: Vec<_> = able_pairs(&classes)
                .into_iter()
                .filter(|&(a, p)| (0..count).any(|n| fits(a, p, n)))
                .collect();
            let pairs: Vec<_> = triples.iter().map(|t| (t.anchor, t.positive)).collect();
            prop_assert_eq!(pairs, expected);
        }
    }

    #[test]
    fn worked_by_hand() {
        // From anchor 0: positive at 0.5, negatives at 0.4 (too hard), 0.6 (semi-hard), 0.8 (too easy for m = 0.2).
        let mut distances = vec![0.0f32; 25];
        distances[..5].copy_from_slice(&[0.0, 0.5, 0.4, 0.6, 0.8]);
        let triples = SemiHard { margin: 0.2 }.triples(&distances, &[0, 0, 1, 2, 3], 8, &mut rng());
        let expected = Triple {
            anchor: 0,
            positive: 1,
            negative: 3,
        };
        assert_eq!(triples, [expected]);
    }
}
