//! Distance-weighted sampling (Wu et al., *Sampling Matters in Deep Embedding Learning*, ICCV 2017).
//!
//! Distances of random points on the sphere in `n` dimensions concentrate around √2, so a negative
//! drawn uniformly is nearly always far away and contributes no gradient. Each negative is drawn
//! with weight `1 / q(d)`, where `q` is the density of those distances:
//! `ln w = (2 - n) ln d - (n - 3)/2 ln(1 - d²/4)`. d is clamped to at least 0.5, where the gradient
//! would be mostly noise, and nothing is drawn from 1.4 on, where the margin loss is zero.
//!
//! The largest logarithm of a row is subtracted before the exponential: with n = 512 the weights span
//! hundreds of decades. Implementations that subtract the maximum of the whole batch, or clip
//! afterwards, leave rows of zeros and divide by them.

use super::anchor::{Anchor, Miner};
use crate::about::{About, settings};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

const NEAREST: f64 = 0.5;
const FARTHEST: f64 = 1.4;

settings! {
    /// For each (anchor, positive) a negative with weight `1 / q(d)`.
    DistanceWeighted {}
}

const ABOUT: About = About {
    kind: "distance-weighted",
    formula: "for each pair of a whale, a negative with weight 1/q(d), q the density of distances on the sphere; never d >= 1.4",
    source: "Wu et al., Sampling Matters in Deep Embedding Learning, ICCV 2017",
    settings: DistanceWeighted::MEANINGS,
};

/// `ln w` of a negative at distance `d` in `dimension` dimensions; -∞ for one that is never drawn.
fn log_weight(d: f64, dimension: usize) -> f64 {
    let (d, n) = (d.max(NEAREST), dimension as f64);
    if d >= FARTHEST {
        return f64::NEG_INFINITY;
    }
    (2.0 - n) * d.ln() - (n - 3.0) / 2.0 * (1.0 - d * d / 4.0).ln()
}

impl Miner for DistanceWeighted {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn pick(&self, anchor: &Anchor<'_>, random: &mut ChaCha8Rng) -> Vec<(usize, usize)> {
        let negatives = &anchor.negatives;
        let logs: Vec<f64> = negatives
            .iter()
            .map(|&n| log_weight(f64::from(anchor.distances[n]), anchor.dimension))
            .collect();
        let peak = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if peak == f64::NEG_INFINITY {
            return vec![];
        }
        let weights: Vec<f64> = logs.iter().map(|l| (l - peak).exp()).collect();
        let total: f64 = weights.iter().sum();
        let positives = anchor.positives.iter();
        positives
            .filter_map(|&positive| {
                let mut left = random.random::<f64>() * total;
                let drawn = weights.iter().position(|w| {
                    left -= w;
                    left < 0.0
                });
                // Rounding may leave a tiny remainder: then the last candidate.
                let drawn = drawn.or_else(|| weights.iter().rposition(|w| *w > 0.0));
                Some((positive, negatives[drawn?]))
            })
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
        fn near_enough_and_every_pair_that_can((distances, classes, seed) in batches(), dimension in 1usize..600) {
            let count = classes.len();
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let triplets = mine(&DistanceWeighted {}, &distances, &classes, dimension, &mut random);
            for t in &triplets {
                prop_assert!(is_triplet(t, &classes));
                prop_assert!(f64::from(distances[t.anchor * count + t.negative]) < FARTHEST);
            }
            let can = |a: usize| {
                (0..count).any(|n| {
                    classes[n] != classes[a] && f64::from(distances[a * count + n]) < FARTHEST
                })
            };
            let expected: Vec<_> = able_pairs(&classes).into_iter().filter(|&(a, _)| can(a)).collect();
            let pairs: Vec<_> = triplets.iter().map(|t| (t.anchor, t.positive)).collect();
            prop_assert_eq!(pairs, expected);
        }
    }

    #[test]
    fn drawn_as_often_as_the_density_says() {
        // n = 8: q(d) = d^6 (1 - d²/4)^{5/2}. One anchor, four negatives; the one at 0.2 counts as at 0.5, the one at 1.5 never.
        let d = [0.0f32, 0.9, 0.2, 0.6, 1.0, 1.3, 1.5];
        let density = |d: f64| d.powi(6) * (1.0 - d * d / 4.0).powf(2.5);
        let weights = [0.5, 0.6, 1.0, 1.3].map(|d| 1.0 / density(d));
        let total: f64 = weights.iter().sum();
        let mut distances = vec![0.0f32; 49];
        distances[..7].copy_from_slice(&d);
        let mut random = rng();
        const DRAWS: usize = 20_000;
        let mut drawn = [0usize; 7];
        for _ in 0..DRAWS {
            let triplets = mine(
                &DistanceWeighted {},
                &distances,
                &[0, 0, 1, 2, 3, 4, 5],
                8,
                &mut random,
            );
            drawn[triplets[0].negative] += 1;
        }
        assert_eq!((drawn[0], drawn[1], drawn[6]), (0, 0, 0));
        for (times, weight) in drawn[2..6].iter().zip(weights) {
            let share = weight / total;
            let deviation = (share * (1.0 - share) / DRAWS as f64).sqrt();
            let got = *times as f64 / DRAWS as f64;
            assert!((got - share).abs() < 4.0 * deviation, "{got} {share}");
        }
    }

    #[test]
    fn near_negatives_in_high_dimension_are_drawn_most() {
        // n = 128, d = 0.6 against d = 1.3: ln w = 126 * ln(1.3/0.6) + 62.5 * ln((1 - 0.4225)/(1 - 0.09)) apart, that is 69.
        let row = [0.0, 0.9, 0.6, 1.3];
        let distances: Vec<f32> = (0..4).flat_map(|_| row).collect();
        let mut random = rng();
        let drawn: Vec<_> = (0..50)
            .flat_map(|_| {
                mine(
                    &DistanceWeighted {},
                    &distances,
                    &[0, 0, 1, 2],
                    128,
                    &mut random,
                )
            })
            .collect();
        assert!(
            drawn
                .iter()
                .filter(|t| t.anchor == 0)
                .all(|t| t.negative == 2)
        );
    }
}
