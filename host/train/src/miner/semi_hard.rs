//! Semi-hard negatives (Schroff, Kalenichenko and Philbin, *FaceNet*, CVPR 2015): farther than the
//! positive, but within the margin. They still cost something, and are not the outliers that make an
//! embedding collapse.
//!
//! A pair without such a negative gives no triplet. Some implementations then take any negative: too
//! easy ones dilute the mean, and ones nearer than the positive are what the rule should avoid.

use super::anchor::{Anchor, Miner};
use crate::about::{About, InvalidSetting, require, settings};
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

settings! {
    /// For each (anchor, positive) a negative with `d_ap < d_an < d_ap + margin`, all equally likely.
    SemiHard {
        margin: f64 = 0.2, "m, a distance; usually the margin of the loss";
    }
}

const ABOUT: About = About {
    kind: "semi-hard",
    formula: "for each pair of a whale, a negative with d_ap < d_an < d_ap + m; if there is none, no triplet",
    source: "Schroff et al., FaceNet, CVPR 2015",
    settings: SemiHard::MEANINGS,
};

impl Miner for SemiHard {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn check(&self) -> Result<(), InvalidSetting> {
        require(
            self.margin > 0.0 && self.margin <= 2.0,
            "margin",
            "more than 0 and at most 2",
            self.margin,
        )
    }

    fn pick(&self, anchor: &Anchor<'_>, random: &mut ChaCha8Rng) -> Vec<(usize, usize)> {
        let (d, margin) = (anchor.distances, self.margin as f32);
        let positives = anchor.positives.iter();
        positives
            .filter_map(|&positive| {
                let within: Vec<usize> = anchor
                    .negatives
                    .iter()
                    .copied()
                    .filter(|&n| d[positive] < d[n] && d[n] < d[positive] + margin)
                    .collect();
                Some((positive, *within.choose(random)?))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::miner::anchor::Triplet;
    use crate::miner::tests_support::{able_pairs, batches, is_triplet, mine, rng};
    use proptest::prelude::*;
    use rand::SeedableRng;

    proptest! {
        #[test]
        fn within_the_margin_and_every_pair_that_can((distances, classes, seed) in batches()) {
            let (miner, count) = (SemiHard { margin: 0.25 }, classes.len());
            let triplets = mine(&miner, &distances, &classes, 8, &mut ChaCha8Rng::seed_from_u64(seed));
            let fits = |a: usize, p: usize, n: usize| {
                let (ap, an) = (distances[a * count + p], distances[a * count + n]);
                classes[n] != classes[a] && ap < an && an < ap + 0.25
            };
            for t in &triplets {
                prop_assert!(is_triplet(t, &classes) && fits(t.anchor, t.positive, t.negative));
            }
            let expected: Vec<_> = able_pairs(&classes)
                .into_iter()
                .filter(|&(a, p)| (0..count).any(|n| fits(a, p, n)))
                .collect();
            let pairs: Vec<_> = triplets.iter().map(|t| (t.anchor, t.positive)).collect();
            prop_assert_eq!(pairs, expected);
        }
    }

    #[test]
    fn worked_by_hand() {
        // From anchor 0: positive at 0.5, negatives at 0.4 (too hard), 0.6 (semi-hard), 0.8 (too easy for m = 0.2).
        let mut distances = vec![0.0f32; 25];
        distances[..5].copy_from_slice(&[0.0, 0.5, 0.4, 0.6, 0.8]);
        let triplets = mine(
            &SemiHard { margin: 0.2 },
            &distances,
            &[0, 0, 1, 2, 3],
            8,
            &mut rng(),
        );
        let expected = Triplet {
            anchor: 0,
            positive: 1,
            negative: 3,
        };
        assert_eq!(triplets, [expected]);
    }
}
