//! The chance that the first whale is right, from what is known of a ranking.
//!
//! Two curves: a logistic one of score and lead (Platt, 'Probabilistic Outputs for Support Vector Machines', 1999), smooth and
//! content with a hundred cases, and an isotonic one of the score alone (Zadrozny and Elkan, KDD 2002), which takes any rising
//! form and wants several hundred.

use serde::{Deserialize, Serialize};

/// What is known of a ranking when its chance is named.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// The score of the first whale.
    pub score: f32,
    /// How far the second whale is behind it; the score itself where there is no second.
    pub lead: f32,
}

impl Evidence {
    /// Of a ranking's scores, best whale first; `None` where nothing is enrolled.
    pub fn of(ranking: impl IntoIterator<Item = f32>) -> Option<Self> {
        let mut scores = ranking.into_iter();
        let score = scores.next()?;
        Some(Self {
            score,
            lead: score - scores.next().unwrap_or(0.0),
        })
    }
}

/// A curve from evidence to the chance, in 0..=1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "curve", rename_all = "lowercase", deny_unknown_fields)]
pub enum Chance {
    /// `1 / (1 + exp(-(a + b score + c lead)))`.
    Logistic {
        /// a, b and c.
        weights: [f32; 3],
    },
    /// Straight lines between points, level beyond the first and the last.
    Isotonic {
        /// Score and chance, both rising.
        points: Vec<(f32, f32)>,
    },
}

/// Which curve is fitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Curve {
    /// [`Chance::Logistic`].
    #[default]
    Logistic,
    /// [`Chance::Isotonic`].
    Isotonic,
}

/// The most points of an isotonic curve.
pub const MOST_POINTS: usize = 10_000;

impl Chance {
    /// Fits a curve to cases: the evidence, and whether the first whale was right. `None` without a case.
    pub fn fit(curve: Curve, cases: &[(Evidence, bool)]) -> Option<Self> {
        match curve {
            Curve::Logistic => logistic(cases),
            Curve::Isotonic => isotonic(cases),
        }
    }

    /// The chance, in 0..=1.
    pub fn of(&self, evidence: &Evidence) -> f64 {
        match self {
            Self::Logistic { weights } => sigmoid(&weights.map(f64::from), evidence),
            Self::Isotonic { points } => between(points, evidence.score),
        }
    }

    /// Why the curve makes no sense, if it does not: numbers that are not finite, chances outside 0..=1 or falling.
    pub fn fault(&self) -> Option<&'static str> {
        match self {
            Self::Logistic { weights } => weights
                .iter()
                .any(|w| !w.is_finite())
                .then_some("a weight of its chance is not finite"),
            Self::Isotonic { points } => {
                let bad = |(score, chance): &(f32, f32)| {
                    !score.is_finite() || !(0.0..=1.0).contains(chance)
                };
                if points.is_empty() || points.len() > MOST_POINTS {
                    Some("its chance has no points, or too many")
                } else if points.iter().any(bad) {
                    Some("a point of its chance is no score with a chance in 0 to 1")
                } else {
                    points
                        .windows(2)
                        .any(|w| w[1].0 < w[0].0 || w[1].1 < w[0].1)
                        .then_some("the points of its chance do not rise")
                }
            }
        }
    }
}

fn features(evidence: &Evidence) -> [f64; 3] {
    [1.0, f64::from(evidence.score), f64::from(evidence.lead)]
}

fn sigmoid(weights: &[f64; 3], evidence: &Evidence) -> f64 {
    let x = features(evidence);
    let sum: f64 = weights.iter().zip(x).map(|(w, x)| w * x).sum();
    1.0 / (1.0 + (-sum).exp())
}

/// Newton's method, drawn a little towards 0 so that groups that lie apart give a steep curve and no endless one.
fn logistic(cases: &[(Evidence, bool)]) -> Option<Chance> {
    const RIDGE: f64 = 1e-2;
    const ROUNDS: usize = 50;
    if cases.is_empty() {
        return None;
    }
    let mut weights = [0.0; 3];
    for _ in 0..ROUNDS {
        let mut slope = weights.map(|w| -RIDGE * w);
        let mut bend = [[0.0; 3]; 3];
        for (i, row) in bend.iter_mut().enumerate() {
            row[i] = RIDGE;
        }
        for (evidence, right) in cases {
            let (x, p) = (features(evidence), sigmoid(&weights, evidence));
            for i in 0..3 {
                slope[i] += (f64::from(u8::from(*right)) - p) * x[i];
                for j in 0..3 {
                    bend[i][j] += p * (1.0 - p) * x[i] * x[j];
                }
            }
        }
        let step = solve(bend, slope)?;
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
    Some(Chance::Logistic {
        weights: weights.map(|w| w as f32),
    })
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

/// Cases in a row whose chance is the same.
struct Level {
    scores: f64,
    right: f64,
    cases: f64,
}

impl Level {
    fn share(&self) -> f64 {
        self.right / self.cases
    }
}

/// Pool adjacent violators (Ayer et al. 1955), each level at its mean score. No level says 0 or 1: of n cases all right, one more
/// might have been wrong, so that its chance is (n + 1) / (n + 2), as Laplace has it.
fn isotonic(cases: &[(Evidence, bool)]) -> Option<Chance> {
    let mut sorted: Vec<(f32, bool)> = cases.iter().map(|(e, right)| (e.score, *right)).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut levels: Vec<Level> = vec![];
    for same in sorted.chunk_by(|a, b| a.0 == b.0) {
        let mut level = Level {
            scores: same.iter().map(|(score, _)| f64::from(*score)).sum(),
            right: same.iter().filter(|(_, right)| *right).count() as f64,
            cases: same.len() as f64,
        };
        while let Some(before) = levels.pop_if(|before| before.share() >= level.share()) {
            level.scores += before.scores;
            level.right += before.right;
            level.cases += before.cases;
        }
        levels.push(level);
    }
    let mut points: Vec<(f32, f32)> = levels
        .iter()
        .map(|level| {
            let least = 1.0 / (level.cases + 2.0);
            let chance = level.share().clamp(least, 1.0 - least);
            ((level.scores / level.cases) as f32, chance as f32)
        })
        .collect();
    // The clamp of a small level may stand above the next level's share.
    let mut highest = 0.0f32;
    for point in &mut points {
        highest = highest.max(point.1);
        point.1 = highest;
    }
    points.truncate(MOST_POINTS);
    (!points.is_empty()).then_some(Chance::Isotonic { points })
}

fn between(points: &[(f32, f32)], score: f32) -> f64 {
    let after = points.partition_point(|p| p.0 <= score);
    let before = after.checked_sub(1).and_then(|i| points.get(i));
    let wide = |&(score, chance): &(f32, f32)| (f64::from(score), f64::from(chance));
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

    fn evidence(score: f32, lead: f32) -> Evidence {
        Evidence { score, lead }
    }

    #[test]
    fn both_curves_learn_the_shares() {
        // At 0.2 a quarter is right, at 0.8 three quarters.
        let cases: Vec<_> = (0..400)
            .map(|i| {
                if i % 2 == 0 {
                    (evidence(0.2, 0.1), i % 8 == 0)
                } else {
                    (evidence(0.8, 0.1), i % 8 != 1)
                }
            })
            .collect();
        for curve in [Curve::Logistic, Curve::Isotonic] {
            let chance = Chance::fit(curve, &cases).unwrap();
            let at = |score| chance.of(&evidence(score, 0.1));
            assert!((at(0.2) - 0.25).abs() < 0.01, "{chance:?}");
            assert!((at(0.8) - 0.75).abs() < 0.01, "{chance:?}");
            assert!((at(0.5) - 0.5).abs() < 0.01, "{chance:?}");
            assert_eq!(chance.fault(), None);
        }
    }

    #[test]
    fn a_lead_counts_where_it_tells() {
        let cases: Vec<_> = (0..100)
            .map(|i| {
                (
                    evidence(0.5, if i % 2 == 0 { 0.3 } else { 0.0 }),
                    i % 2 == 0,
                )
            })
            .collect();
        let chance = Chance::fit(Curve::Logistic, &cases).unwrap();
        assert!(chance.of(&evidence(0.5, 0.3)) > 0.9 && chance.of(&evidence(0.5, 0.0)) < 0.1);
    }

    #[test]
    fn cases_of_one_kind_give_a_finite_curve() {
        for curve in [Curve::Logistic, Curve::Isotonic] {
            let chance = Chance::fit(curve, &[(evidence(0.5, 0.1), true); 5]).unwrap();
            let at = chance.of(&evidence(0.5, 0.1));
            assert!(
                at > 0.8 && at < 1.0 && chance.fault().is_none(),
                "{chance:?}"
            );
            assert_eq!(Chance::fit(curve, &[]), None);
        }
    }

    #[test]
    fn pooling_worked_by_hand() {
        // Scores 1 to 5, right: no, yes, no, yes, yes. 2 and 3 fall and are pooled to 1/2 at 2.5; 4 and 5 are equal and pooled.
        let right = [false, true, false, true, true];
        let cases: Vec<_> = right
            .iter()
            .enumerate()
            .map(|(i, r)| (evidence((i + 1) as f32, 0.0), *r))
            .collect();
        let expected = vec![(1.0, 1.0 / 3.0), (2.5, 0.5), (4.5, 0.75)];
        let Some(Chance::Isotonic { points }) = Chance::fit(Curve::Isotonic, &cases) else {
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
    fn curves_that_make_no_sense_are_told() {
        let isotonic = |points: &[(f32, f32)]| Chance::Isotonic {
            points: points.to_vec(),
        };
        for bad in [
            Chance::Logistic {
                weights: [0.0, f32::NAN, 0.0],
            },
            isotonic(&[]),
            isotonic(&[(0.5, 1.5)]),
            isotonic(&[(0.5, 0.5), (0.6, 0.4)]),
            isotonic(&[(0.5, 0.5), (0.4, 0.6)]),
        ] {
            assert!(bad.fault().is_some(), "{bad:?}");
            let _ = bad.of(&evidence(0.5, 0.5));
        }
    }

    proptest! {
        #[test]
        fn an_isotonic_curve_rises_and_stays_a_chance(
            cases in proptest::collection::vec((-1.0f32..1.0, any::<bool>()), 1..200),
            probes in proptest::collection::vec(-1.0f32..1.0, 2..20),
        ) {
            let cases: Vec<_> = cases.iter().map(|(s, r)| (evidence(*s, 0.0), *r)).collect();
            let chance = Chance::fit(Curve::Isotonic, &cases).unwrap();
            prop_assert_eq!(chance.fault(), None);
            let mut probes = probes;
            probes.sort_by(f32::total_cmp);
            let chances: Vec<f64> = probes.iter().map(|&s| chance.of(&evidence(s, 0.0))).collect();
            prop_assert!(chances.windows(2).all(|w| w[1] >= w[0] - 1e-12));
            prop_assert!(chances.iter().all(|c| (0.0..=1.0).contains(c)));
        }
    }
}
