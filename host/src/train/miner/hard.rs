//! The hardest of the batch (Hermans, Beyer and Leibe, *In Defense of the Triplet Loss for Person Re-Identification*, 2017:
//! "batch hard").
//!
//! Strong once an embedding is half good. On one that starts from chance, or with wrong labels, the hardest are outliers and the
//! embedding may fall into a point; semi-hard or distance-weighted are calmer.

use super::{Miner, Triple, negatives, positives, row};
use rand_chacha::ChaCha8Rng;

/// For each anchor its farthest positive and its nearest negative.
pub struct Hard;

impl Miner for Hard {
    fn triples(
        &self,
        distances: &[f32],
        classes: &[i64],
        _: usize,
        _: &mut ChaCha8Rng,
    ) -> Vec<Triple> {
        (0..classes.len())
            .filter_map(|anchor| {
                let d = row(distances, classes.len(), anchor);
                let by_distance = |a: &usize, b: &usize| d[*a].total_cmp(&d[*b]);
                Some(Triple {
                    anchor,
                    positive: positives(classes, anchor).into_iter().max_by(by_distance)?,
                    negative: negatives(classes, anchor).into_iter().min_by(by_distance)?,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests_support::{able, batches, is_triple, rng};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn none_is_harder((distances, classes, _) in batches()) {
            let count = classes.len();
            let triples = Hard.triples(&distances, &classes, 8, &mut rng());
            for t in &triples {
                prop_assert!(is_triple(t, &classes));
                let d = row(&distances, count, t.anchor);
                for i in 0..count {
                    let same = classes[i] == classes[t.anchor];
                    prop_assert!(!same || d[i] <= d[t.positive]);
                    prop_assert!(same || d[i] >= d[t.negative]);
                }
            }
            let anchors: Vec<_> = triples.iter().map(|t| t.anchor).collect();
            prop_assert_eq!(anchors, able(&classes));
        }
    }
}
