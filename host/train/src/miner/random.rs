//! Uniform sampling: each pair of one class with any photo of another class. A baseline.

use super::anchor::{Anchor, Miner};
use crate::about::{About, settings};
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

settings! {
    /// For each (anchor, positive) a negative, all equally likely.
    Random {}
}

const ABOUT: About = About {
    kind: "random",
    formula: "for each pair of a whale, any photo of another whale",
    source: "uniform sampling; a baseline",
    settings: Random::MEANINGS,
};

impl Miner for Random {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn pick(&self, anchor: &Anchor<'_>, random: &mut ChaCha8Rng) -> Vec<(usize, usize)> {
        let positives = anchor.positives.iter();
        positives
            .filter_map(|&positive| Some((positive, *anchor.negatives.choose(random)?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::miner::tests_support::{able_pairs, batches, is_triplet, mine, rng};
    use proptest::prelude::*;
    use rand::SeedableRng;

    proptest! {
        #[test]
        fn every_pair_once((distances, classes, seed) in batches()) {
            let triplets = mine(&Random {}, &distances, &classes, 8, &mut ChaCha8Rng::seed_from_u64(seed));
            prop_assert!(triplets.iter().all(|t| is_triplet(t, &classes)));
            let pairs: Vec<_> = triplets.iter().map(|t| (t.anchor, t.positive)).collect();
            prop_assert_eq!(pairs, able_pairs(&classes));
        }
    }

    #[test]
    fn all_negatives_are_equally_likely() {
        // Anchor 0 has the negatives 2, 3, 4: of 3,000 draws 1,000 each, standard deviation sqrt(3000 · 1/3 · 2/3) = 26.
        let mut random = rng();
        let mut drawn = [0usize; 5];
        for _ in 0..3000 {
            drawn[mine(&Random {}, &[0.5; 25], &[0, 0, 1, 1, 2], 8, &mut random)[0].negative] += 1;
        }
        assert!(
            drawn[2..].iter().all(|n| n.abs_diff(1000) < 110),
            "{drawn:?}"
        );
        assert_eq!(drawn[0] + drawn[1], 0);
    }
}
