//! Plain chance: each pair of one class with any photo of another.

use super::{Miner, Triple, negatives, positives};
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

/// For each (anchor, positive) a negative, all equally likely.
pub struct Random;

impl Miner for Random {
    fn triples(
        &self,
        _: &[f32],
        classes: &[i64],
        _: usize,
        random: &mut ChaCha8Rng,
    ) -> Vec<Triple> {
        let mut triples = vec![];
        for anchor in 0..classes.len() {
            let others = negatives(classes, anchor);
            for positive in positives(classes, anchor) {
                if let Some(&negative) = others.choose(random) {
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
        fn every_pair_once((distances, classes, seed) in batches()) {
            let triples = Random.triples(&distances, &classes, 8, &mut ChaCha8Rng::seed_from_u64(seed));
            prop_assert!(triples.iter().all(|t| is_triple(t, &classes)));
            let pairs: Vec<_> = triples.iter().map(|t| (t.anchor, t.positive)).collect();
            prop_assert_eq!(pairs, able_pairs(&classes));
        }
    }

    #[test]
    fn all_negatives_are_equally_likely() {
        // Anchor 0 has the negatives 2, 3, 4: of 3,000 draws 1,000 each, standard deviation sqrt(3000 · 1/3 · 2/3) = 26.
        let mut random = rng();
        let mut drawn = [0usize; 5];
        for _ in 0..3000 {
            drawn[Random.triples(&[0.5; 25], &[0, 0, 1, 1, 2], 8, &mut random)[0].negative] += 1;
        }
        assert!(
            drawn[2..].iter().all(|n| n.abs_diff(1000) < 110),
            "{drawn:?}"
        );
        assert_eq!(drawn[0] + drawn[1], 0);
    }
}
