//! Curves over a threshold swept from high to low: the fraction of known photos accepted against
//! the fraction of new photos accepted (ROC, OSCR).

use serde::Serialize;

/// One photo of the sweep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SweptPhoto {
    /// Best score of the photo.
    pub score: f32,
    /// Weight among the accepted known photos; 0 for a new photo and, for OSCR, for a known photo
    /// whose first whale is wrong.
    pub known_weight: f64,
    /// Weight among the new photos.
    pub new_weight: f64,
}

/// A point of a curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Fraction of the new photos accepted.
    pub new_accepted: f64,
    /// Fraction of the known photos accepted.
    pub known_accepted: f64,
}

/// The points from no photo accepted to all, photos of equal score together. `photos` are in order
/// of descending score, `known` is the weight of all known photos. Empty without known or new
/// photos.
pub fn curve(photos: &[SweptPhoto], known: f64) -> Vec<CurvePoint> {
    let all_new: f64 = photos.iter().map(|p| p.new_weight).sum();
    if known <= 0.0 || all_new <= 0.0 {
        return vec![];
    }
    let (mut accepted_known, mut accepted_new) = (0.0, 0.0);
    let mut points = vec![CurvePoint {
        new_accepted: 0.0,
        known_accepted: 0.0,
    }];
    for same in photos.chunk_by(|a, b| a.score == b.score) {
        accepted_known += same.iter().map(|p| p.known_weight).sum::<f64>();
        accepted_new += same.iter().map(|p| p.new_weight).sum::<f64>();
        points.push(CurvePoint {
            new_accepted: accepted_new / all_new,
            known_accepted: accepted_known / known,
        });
    }
    points
}

/// Area under a curve by the trapezoidal rule; NaN if it is empty. Over all known photos it is the
/// AUROC: the probability that a known photo scores above a new one, ties counting half.
pub fn area(curve: &[CurvePoint]) -> f64 {
    if curve.is_empty() {
        return f64::NAN;
    }
    curve
        .windows(2)
        .map(|p| {
            let width = p[1].new_accepted - p[0].new_accepted;
            width * (p[0].known_accepted + p[1].known_accepted) / 2.0
        })
        .sum()
}

/// The largest fraction of known photos accepted where at most `new_accepted` of the new ones are.
/// NaN for an empty curve.
pub fn known_accepted_at(curve: &[CurvePoint], new_accepted: f64) -> f64 {
    let within = curve
        .iter()
        .take_while(|p| p.new_accepted <= new_accepted + 1e-12);
    within.last().map_or(f64::NAN, |p| p.known_accepted)
}

/// The curve at evenly spaced fractions of accepted new photos, for plots and averages.
pub fn sampled(curve: &[CurvePoint], steps: usize) -> Vec<CurvePoint> {
    (0..=steps)
        .map(|i| {
            let new_accepted = i as f64 / steps as f64;
            CurvePoint {
                new_accepted,
                known_accepted: known_accepted_at(curve, new_accepted),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn swept(known: &[(f32, bool)], new: &[f32]) -> Vec<SweptPhoto> {
        let known = known.iter().map(|&(score, right)| SweptPhoto {
            score,
            known_weight: f64::from(u8::from(right)),
            new_weight: 0.0,
        });
        let new = new.iter().map(|&score| SweptPhoto {
            score,
            known_weight: 0.0,
            new_weight: 1.0,
        });
        let mut all: Vec<SweptPhoto> = known.chain(new).collect();
        all.sort_by(|a, b| b.score.total_cmp(&a.score));
        all
    }

    #[test]
    fn auroc_worked_by_hand() {
        // Pairs: 0.9 beats both, 0.5 beats 0.2 and ties with 0.5, 0.1 beats none: (2 + 1.5 + 0) /
        // 6.
        let all = swept(&[(0.9, true), (0.5, true), (0.1, true)], &[0.5, 0.2]);
        assert!((area(&curve(&all, 3.0)) - 3.5 / 6.0).abs() < 1e-12);
    }

    #[test]
    fn oscr_worked_by_hand() {
        // Falling: 0.9 right, 0.8 new, 0.7 wrong, 0.6 right, 0.5 new. The curve: (0, 1/3), (1/2,
        // 1/3), (1/2, 2/3), (1, 2/3).
        let all = swept(&[(0.9, true), (0.7, false), (0.6, true)], &[0.8, 0.5]);
        let found = curve(&all, 3.0);
        assert!((area(&found) - 0.5).abs() < 1e-12, "{found:?}");
        assert!((known_accepted_at(&found, 0.05) - 1.0 / 3.0).abs() < 1e-12);
        assert!((known_accepted_at(&found, 0.5) - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn the_curve_is_empty_without_known_or_new_photos() {
        assert!(area(&curve(&swept(&[], &[0.3]), 0.0)).is_nan());
        assert!(area(&curve(&swept(&[(0.3, true)], &[]), 1.0)).is_nan());
    }

    proptest! {
        #[test]
        fn swapping_known_and_new_gives_the_complement(
            known in proptest::collection::vec(-20i8..20, 1..30), new in proptest::collection::vec(-20i8..20, 1..30),
        ) {
            let scores = |s: &[i8]| s.iter().map(|&v| f32::from(v) / 20.0).collect::<Vec<_>>();
            let auroc = |known: &[i8], new: &[i8]| {
                let known: Vec<_> = scores(known).into_iter().map(|s| (s, true)).collect();
                area(&curve(&swept(&known, &scores(new)), known.len() as f64))
            };
            prop_assert!((auroc(&known, &new) + auroc(&new, &known) - 1.0).abs() < 1e-9);
            let pairs: f64 = known.iter().flat_map(|k| new.iter().map(move |n| match k.cmp(n) {
                std::cmp::Ordering::Greater => 1.0, std::cmp::Ordering::Equal => 0.5, std::cmp::Ordering::Less => 0.0,
            })).sum();
            prop_assert!((auroc(&known, &new) - pairs / (known.len() * new.len()) as f64).abs() < 1e-9);
        }
    }
}
