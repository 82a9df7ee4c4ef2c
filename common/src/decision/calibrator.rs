//! The probability that the first whale of a ranking is right.
//!
//! Two curves: a logistic one of score and top-1/top-2 margin (Platt, 'Probabilistic Outputs for
//! Support Vector Machines', 1999), smooth, for a hundred cases or more; and an isotonic one of the
//! score alone (Zadrozny and Elkan, KDD 2002), which takes any rising form and needs several
//! hundred. Both rise with the score, and the logistic one with the margin.

use serde::{Deserialize, Serialize};

/// The features of a ranking from which its probability is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RankingFeatures {
    /// The score of the first whale.
    pub score: f32,
    /// The score minus that of the second whale; the score itself without a second.
    pub top_margin: f32,
}

impl RankingFeatures {
    /// The features of a ranking's scores, best whale first; `None` for an empty ranking.
    pub fn of(ranking: impl IntoIterator<Item = f32>) -> Option<Self> {
        let mut scores = ranking.into_iter();
        let score = scores.next()?;
        Some(Self {
            score,
            top_margin: score - scores.next().unwrap_or(0.0),
        })
    }
}

/// A ranking to fit on, and how much it counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct WeightedCase {
    pub(super) features: RankingFeatures,
    /// Whether the first whale is right.
    pub(super) correct: bool,
    /// A weight above 0, on average 1.
    pub(super) weight: f64,
}

/// A curve from features to the probability, in 0..=1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "curve", rename_all = "lowercase", deny_unknown_fields)]
pub enum Calibrator {
    /// `1 / (1 + exp(-(a + b score + c top_margin)))`.
    Logistic {
        /// The parameters a, b and c.
        weights: [f32; 3],
    },
    /// Linear between points, constant beyond the first and the last.
    Isotonic {
        /// Pairs of score and probability, both rising.
        points: Vec<(f32, f32)>,
    },
}

/// The kind of curve to fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Curve {
    /// Fit a [`Calibrator::Logistic`].
    #[default]
    Logistic,
    /// Fit a [`Calibrator::Isotonic`].
    Isotonic,
}

/// The most points of an isotonic curve.
pub const MAX_POINTS: usize = 10_000;

impl Calibrator {
    /// Fits a curve to cases: the features, and whether the first whale was right. `None` without
    /// cases.
    pub fn fit(curve: Curve, cases: &[(RankingFeatures, bool)]) -> Option<Self> {
        let weigh = |&(features, correct): &(RankingFeatures, bool)| WeightedCase {
            features,
            correct,
            weight: 1.0,
        };
        Self::fit_weighted(curve, &cases.iter().map(weigh).collect::<Vec<_>>())
    }

    /// Like [`Calibrator::fit`], where a case counts by its weight.
    pub(super) fn fit_weighted(curve: Curve, cases: &[WeightedCase]) -> Option<Self> {
        match curve {
            Curve::Logistic => logistic(cases),
            Curve::Isotonic => isotonic(cases),
        }
    }

    /// The probability that the first whale is right, in 0..=1.
    pub fn probability(&self, features: &RankingFeatures) -> f64 {
        match self {
            Self::Logistic { weights } => sigmoid(&weights.map(f64::from), features),
            Self::Isotonic { points } => between(points, features.score),
        }
    }

    /// Whether a higher score or a larger margin never lowers the probability.
    pub fn is_monotone(&self) -> bool {
        match self {
            Self::Logistic { weights } => weights[1] >= 0.0 && weights[2] >= 0.0,
            Self::Isotonic { .. } => true,
        }
    }

    /// Checks that numbers are finite and probabilities in [0, 1] and rising.
    pub(super) fn validate(&self) -> Result<(), &'static str> {
        match self {
            Self::Logistic { weights } => {
                if weights.iter().any(|w| !w.is_finite()) {
                    return Err("a weight is not finite");
                }
            }
            Self::Isotonic { points } => {
                let valid = |(score, probability): &(f32, f32)| {
                    score.is_finite() && (0.0..=1.0).contains(probability)
                };
                if points.is_empty() || points.len() > MAX_POINTS {
                    return Err("expected 1 to 10000 points");
                }
                if !points.iter().all(valid) {
                    return Err("expected points of a finite score and a probability in [0, 1]");
                }
                if !points.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1) {
                    return Err("its points do not rise");
                }
            }
        }
        Ok(())
    }
}

fn inputs(features: &RankingFeatures) -> [f64; 3] {
    [
        1.0,
        f64::from(features.score),
        f64::from(features.top_margin),
    ]
}

fn sigmoid(weights: &[f64; 3], features: &RankingFeatures) -> f64 {
    let x = inputs(features);
    let sum: f64 = weights.iter().zip(x).map(|(w, x)| w * x).sum();
    1.0 / (1.0 + (-sum).exp())
}

const RIDGE: f64 = 1e-2;

/// Maximises the penalised likelihood with weights of score and margin that are not negative: a
/// whale that leads more is never believed less.
fn logistic(cases: &[WeightedCase]) -> Option<Calibrator> {
    if cases.is_empty() {
        return None;
    }
    // The objective is concave: its maximum with both constraints is one of these.
    let free = [[true, true], [true, false], [false, true], [false, false]];
    let weights = free
        .into_iter()
        .filter_map(|[score, margin]| newton(cases, [true, score, margin]))
        .filter(|weights| weights[1] >= 0.0 && weights[2] >= 0.0)
        .max_by(|a, b| objective(cases, a).total_cmp(&objective(cases, b)))?;
    Some(Calibrator::Logistic {
        weights: weights.map(|w| w as f32),
    })
}

/// Log-likelihood minus the ridge penalty.
fn objective(cases: &[WeightedCase], weights: &[f64; 3]) -> f64 {
    let likelihood: f64 = cases
        .iter()
        .map(|case| {
            let p = sigmoid(weights, &case.features);
            let likelihood = if case.correct { p } else { 1.0 - p };
            case.weight * likelihood.max(f64::MIN_POSITIVE).ln()
        })
        .sum();
    likelihood - RIDGE / 2.0 * weights.iter().map(|w| w * w).sum::<f64>()
}

/// Newton's method over the `free` weights, the others being 0, with a small ridge penalty, so that
/// separable groups give a steep but finite curve.
fn newton(cases: &[WeightedCase], free: [bool; 3]) -> Option<[f64; 3]> {
    const ROUNDS: usize = 50;
    let mut weights = [0.0; 3];
    for _ in 0..ROUNDS {
        let mut gradient = weights.map(|w| -RIDGE * w);
        let mut hessian = [[0.0; 3]; 3];
        for (i, row) in hessian.iter_mut().enumerate() {
            row[i] = RIDGE;
        }
        for case in cases {
            let (x, p) = (inputs(&case.features), sigmoid(&weights, &case.features));
            for i in 0..3 {
                gradient[i] += case.weight * (f64::from(u8::from(case.correct)) - p) * x[i];
                for j in 0..3 {
                    hessian[i][j] += case.weight * p * (1.0 - p) * x[i] * x[j];
                }
            }
        }
        for fixed in (0..3).filter(|&at| !free[at]) {
            gradient[fixed] = 0.0;
            hessian[fixed] = [0.0; 3];
            for row in &mut hessian {
                row[fixed] = 0.0;
            }
            hessian[fixed][fixed] = 1.0;
        }
        let step = solve(hessian, gradient)?;
        // A full step may overshoot where the curve is nearly flat.
        let length = step.iter().map(|s| s * s).sum::<f64>().sqrt();
        let factor = (10.0 / length.max(1e-12)).min(1.0);
        weights
            .iter_mut()
            .zip(step)
            .for_each(|(w, s)| *w += factor * s);
        if length < 1e-9 {
            break;
        }
    }
    Some(weights)
}

/// Solves `a x = b` by elimination; `None` where `a` has no inverse.
fn solve(mut a: [[f64; 3]; 3], mut b: [f64; 3]) -> Option<[f64; 3]> {
    for at in 0..3 {
        let pivot = (at..3).max_by(|&i, &j| a[i][at].abs().total_cmp(&a[j][at].abs()))?;
        a.swap(at, pivot);
        b.swap(at, pivot);
        if a[at][at].abs() < 1e-300 {
            return None;
        }
        for row in (0..3).filter(|&row| row != at) {
            let factor = a[row][at] / a[at][at];
            let pivot_row = a[at];
            a[row]
                .iter_mut()
                .zip(pivot_row)
                .for_each(|(to, from)| *to -= factor * from);
            b[row] -= factor * b[at];
        }
    }
    Some([b[0] / a[0][0], b[1] / a[1][1], b[2] / a[2][2]])
}

/// Consecutive cases of the same probability.
struct Block {
    /// The sums of weighted scores, of weights of right cases, and of all weights.
    scores: f64,
    right: f64,
    weight: f64,
    cases: f64,
}

impl Block {
    fn share(&self) -> f64 {
        self.right / self.weight
    }
}

/// Pool adjacent violators (Ayer et al. 1955), each block at its mean score. Probabilities are
/// limited by Laplace's rule of succession: n cases that are all right give (n + 1) / (n + 2), not
/// 1, whatever their weights.
fn isotonic(cases: &[WeightedCase]) -> Option<Calibrator> {
    let mut sorted: Vec<&WeightedCase> = cases.iter().collect();
    sorted.sort_by(|a, b| a.features.score.total_cmp(&b.features.score));
    let mut blocks: Vec<Block> = vec![];
    for same in sorted.chunk_by(|a, b| a.features.score == b.features.score) {
        let sum = |of: &dyn Fn(&WeightedCase) -> f64| same.iter().map(|case| of(case)).sum();
        let mut block = Block {
            scores: sum(&|case| case.weight * f64::from(case.features.score)),
            right: sum(&|case| if case.correct { case.weight } else { 0.0 }),
            weight: sum(&|case| case.weight),
            cases: same.len() as f64,
        };
        while let Some(before) = blocks.pop_if(|before| before.share() >= block.share()) {
            block.scores += before.scores;
            block.right += before.right;
            block.weight += before.weight;
            block.cases += before.cases;
        }
        blocks.push(block);
    }
    let mut points: Vec<(f32, f32)> = blocks
        .iter()
        .map(|block| {
            let least = 1.0 / (block.cases + 2.0);
            let probability = block.share().clamp(least, 1.0 - least);
            ((block.scores / block.weight) as f32, probability as f32)
        })
        .collect();
    // The clamp of a small block may exceed the next block's fraction.
    let mut highest = 0.0f32;
    for point in &mut points {
        highest = highest.max(point.1);
        point.1 = highest;
    }
    points.truncate(MAX_POINTS);
    (!points.is_empty()).then_some(Calibrator::Isotonic { points })
}

fn between(points: &[(f32, f32)], score: f32) -> f64 {
    let after = points.partition_point(|p| p.0 <= score);
    let before = after.checked_sub(1).and_then(|i| points.get(i));
    let wide = |&(score, probability): &(f32, f32)| (f64::from(score), f64::from(probability));
    match (before.map(wide), points.get(after).map(wide)) {
        (Some(low), Some(high)) => {
            let along = (f64::from(score) - low.0) / (high.0 - low.0);
            low.1 + along * (high.1 - low.1)
        }
        (Some(last), None) => last.1,
        (None, Some(first)) => first.1,
        (None, None) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn features(score: f32, top_margin: f32) -> RankingFeatures {
        RankingFeatures { score, top_margin }
    }

    #[test]
    fn both_curves_fit_the_fractions() {
        // At 0.2 a quarter is right, at 0.8 three quarters.
        let cases: Vec<_> = (0..400)
            .map(|i| {
                if i % 2 == 0 {
                    (features(0.2, 0.1), i % 8 == 0)
                } else {
                    (features(0.8, 0.1), i % 8 != 1)
                }
            })
            .collect();
        for curve in [Curve::Logistic, Curve::Isotonic] {
            let calibrator = Calibrator::fit(curve, &cases).unwrap();
            let at = |score| calibrator.probability(&features(score, 0.1));
            assert!((at(0.2) - 0.25).abs() < 0.01, "{calibrator:?}");
            assert!((at(0.8) - 0.75).abs() < 0.01, "{calibrator:?}");
            assert!((at(0.5) - 0.5).abs() < 0.01, "{calibrator:?}");
            assert_eq!(calibrator.validate(), Ok(()));
        }
    }

    #[test]
    fn the_margin_counts_where_it_is_informative() {
        let cases: Vec<_> = (0..100)
            .map(|i| {
                (
                    features(0.5, if i % 2 == 0 { 0.3 } else { 0.0 }),
                    i % 2 == 0,
                )
            })
            .collect();
        let calibrator = Calibrator::fit(Curve::Logistic, &cases).unwrap();
        assert!(
            calibrator.probability(&features(0.5, 0.3)) > 0.9
                && calibrator.probability(&features(0.5, 0.0)) < 0.1
        );
    }

    #[test]
    fn a_larger_margin_is_never_believed_less() {
        // Cases in which the margin misleads: right ones have the smaller margin. Without the
        // constraint its weight would be negative.
        let cases: Vec<_> = (0..400)
            .map(|i| {
                let right = i % 2 == 0;
                let score = 0.3 + 0.001 * (i / 2) as f32 + if right { 0.2 } else { 0.0 };
                (features(score, if right { 0.05 } else { 0.15 }), right)
            })
            .collect();
        let weigh = |&(features, correct): &(RankingFeatures, bool)| WeightedCase {
            features,
            correct,
            weight: 1.0,
        };
        let weighted: Vec<WeightedCase> = cases.iter().map(weigh).collect();
        assert!(newton(&weighted, [true; 3]).unwrap()[2] < 0.0);
        let calibrator = Calibrator::fit(Curve::Logistic, &cases).unwrap();
        let Calibrator::Logistic { weights } = calibrator else {
            panic!("{calibrator:?}");
        };
        assert!(weights[1] > 0.0 && weights[2] == 0.0, "{weights:?}");
        assert!(calibrator.is_monotone());
        // Both features mislead: the share of right cases is all that is left.
        let inverted: Vec<_> = cases
            .iter()
            .map(|(f, right)| (features(1.0 - f.score, f.top_margin), *right))
            .collect();
        let Some(Calibrator::Logistic { weights }) = Calibrator::fit(Curve::Logistic, &inverted)
        else {
            panic!("no curve");
        };
        assert_eq!(weights[1..], [0.0, 0.0]);
        assert!(weights[0].abs() < 1e-3, "{weights:?}");
    }

    #[test]
    fn cases_of_one_kind_give_a_finite_curve() {
        for curve in [Curve::Logistic, Curve::Isotonic] {
            let calibrator = Calibrator::fit(curve, &[(features(0.5, 0.1), true); 5]).unwrap();
            let at = calibrator.probability(&features(0.5, 0.1));
            assert!(
                at > 0.8 && at < 1.0 && calibrator.validate().is_ok(),
                "{calibrator:?}"
            );
            assert_eq!(Calibrator::fit(curve, &[]), None);
        }
    }

    #[test]
    fn pooling_worked_by_hand() {
        // Scores 1 to 5, right: no, yes, no, yes, yes. 2 and 3 fall and are pooled to 1/2 at 2.5; 4 and 5 are equal and pooled.
        let right = [false, true, false, true, true];
        let cases: Vec<_> = right
            .iter()
            .enumerate()
            .map(|(i, r)| (features((i + 1) as f32, 0.0), *r))
            .collect();
        let expected = vec![(1.0, 1.0 / 3.0), (2.5, 0.5), (4.5, 0.75)];
        let Some(Calibrator::Isotonic { points }) = Calibrator::fit(Curve::Isotonic, &cases) else {
            panic!("no curve");
        };
        assert_eq!(points.len(), expected.len(), "{points:?}");
        for (got, want) in points.iter().zip(expected) {
            assert!(
                (got.0 - want.0).abs() < 1e-6 && (got.1 - want.1).abs() < 1e-6,
                "{points:?}"
            );
        }
    }

    #[test]
    fn invalid_curves_are_rejected() {
        let isotonic = |points: &[(f32, f32)]| Calibrator::Isotonic {
            points: points.to_vec(),
        };
        for bad in [
            Calibrator::Logistic {
                weights: [0.0, f32::NAN, 0.0],
            },
            isotonic(&[]),
            isotonic(&[(0.5, 1.5)]),
            isotonic(&[(0.5, 0.5), (0.6, 0.4)]),
            isotonic(&[(0.5, 0.5), (0.4, 0.6)]),
        ] {
            assert!(bad.validate().is_err(), "{bad:?}");
            let _ = bad.probability(&features(0.5, 0.5));
        }
    }

    #[test]
    fn a_weight_counts_like_so_many_cases() {
        let case = |score: f32, correct: bool, weight: f64| WeightedCase {
            features: features(score, score / 4.0),
            correct,
            weight,
        };
        let weighted = [
            case(0.2, false, 3.0),
            case(0.3, true, 1.0),
            case(0.4, false, 2.0),
            case(0.8, true, 4.0),
        ];
        let repeat = |case: &WeightedCase| {
            let count = case.weight as usize;
            vec![
                WeightedCase {
                    weight: 1.0,
                    ..*case
                };
                count
            ]
        };
        let repeated: Vec<WeightedCase> = weighted.iter().flat_map(repeat).collect();
        // At the mean score of the two cases that the isotonic curve pools.
        for curve in [Curve::Logistic, Curve::Isotonic] {
            let [a, b] = [&weighted[..], &repeated[..]]
                .map(|cases| Calibrator::fit_weighted(curve, cases).unwrap());
            let at = |calibrator: &Calibrator| calibrator.probability(&features(1.1 / 3.0, 0.1));
            assert!((at(&a) - at(&b)).abs() < 1e-6, "{a:?} {b:?}");
        }
    }

    proptest! {
        #[test]
        fn an_isotonic_curve_rises_within_0_and_1(
            cases in proptest::collection::vec((-1.0f32..1.0, any::<bool>()), 1..200),
            probes in proptest::collection::vec(-1.0f32..1.0, 2..20),
        ) {
            let cases: Vec<_> = cases.iter().map(|(s, r)| (features(*s, 0.0), *r)).collect();
            let calibrator = Calibrator::fit(Curve::Isotonic, &cases).unwrap();
            prop_assert_eq!(calibrator.validate(), Ok(()));
            let mut probes = probes;
            probes.sort_by(f32::total_cmp);
            let probabilities: Vec<f64> = probes.iter().map(|&s| calibrator.probability(&features(s, 0.0))).collect();
            prop_assert!(probabilities.windows(2).all(|w| w[1] >= w[0] - 1e-12));
            prop_assert!(probabilities.iter().all(|c| (0.0..=1.0).contains(c)));
        }
    }
}
