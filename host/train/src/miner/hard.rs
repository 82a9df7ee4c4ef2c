//! Batch hard (Hermans, Beyer and Leibe, *In Defense of the Triplet Loss for Person
//! Re-Identification*, 2017).
//!
//! Strong once an embedding is half trained. With random initial weights or wrong labels the hardest
//! photos are outliers and the embedding may collapse; semi-hard and distance-weighted are more stable.

use super::anchor::{Anchor, Miner};
use crate::about::{About, settings};
use rand_chacha::ChaCha8Rng;

settings! {
    /// For each anchor its farthest positive and its nearest negative.
    Hard {}
}

const ABOUT: About = About {
    kind: "hard",
    formula: "for each anchor, its farthest positive and its nearest negative",
    source: "Hermans et al., In Defense of the Triplet Loss, 2017 (batch hard)",
    settings: Hard::MEANINGS,
};

impl Miner for Hard {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn pick(&self, anchor: &Anchor<'_>, _: &mut ChaCha8Rng) -> Vec<(usize, usize)> {
        let by_distance =
            |a: &usize, b: &usize| anchor.distances[*a].total_cmp(&anchor.distances[*b]);
        let farthest = anchor.positives.iter().copied().max_by(by_distance);
        let nearest = anchor.negatives.iter().copied().min_by(by_distance);
        farthest.zip(nearest).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::miner::tests_support::{able, batches, is_triplet, mine, rng};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn none_is_harder((distances, classes, _) in batches()) {
            let count = classes.len();
            let triplets = mine(&Hard {}, &distances, &classes, 8, &mut rng());
            for t in &triplets {
                prop_assert!(is_triplet(t, &classes));
                let d = &distances[t.anchor * count..(t.anchor + 1) * count];
                for i in 0..count {
                    let same = classes[i] == classes[t.anchor];
                    prop_assert!(!same || d[i] <= d[t.positive]);
                    prop_assert!(same || d[i] >= d[t.negative]);
                }
            }
            let anchors: Vec<_> = triplets.iter().map(|t| t.anchor).collect();
            prop_assert_eq!(anchors, able(&classes));
        }
    }
}
