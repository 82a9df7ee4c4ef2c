//! Fits the probability that the first whale of a ranking is right.

use super::calibrator::{Calibrator, Curve, RankingFeatures, WeightedCase};
use super::prior::NewWhalePrior;

/// The lowest and the highest fraction of new whales that cases are weighted to: beyond, the few of one kind would count too much.
const FITTED_FRACTIONS: [f64; 2] = [0.1, 0.9];

/// A ranking that a probability is fitted on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CalibrationCase {
    /// The features of the ranking.
    pub features: RankingFeatures,
    /// Whether its whale is enrolled.
    pub known: bool,
    /// Whether the first whale is right.
    pub correct: bool,
}

/// A calibrator, and the prior of the probabilities that it gives.
#[derive(Clone, Debug, PartialEq)]
pub struct FittedProbability {
    /// The calibrator.
    pub calibrator: Calibrator,
    /// The fraction of new whales it was fitted for, and the expected one.
    pub prior: NewWhalePrior,
}

/// Fits a calibrator for use where a fraction `expected_new_whales` of the whales is new; `None` without a known or a new case.
///
/// New whales are easy to come by, so most cases may be new: the known and the new ones are weighted by [`prior_weights`]. A curve that
/// fits the cases as they are, corrected afterwards, would be best where hardly anything is right, which is not where it is used.
pub fn fit_probability(
    curve: Curve,
    cases: &[CalibrationCase],
    expected_new_whales: f64,
) -> Option<FittedProbability> {
    let known = cases.iter().filter(|case| case.known).count();
    let correct = cases.iter().filter(|case| case.correct).count();
    let prior = NewWhalePrior::of(known, correct, cases.len() - known, expected_new_whales)?;
    let weights = prior_weights(cases, expected_new_whales);
    let weighted: Vec<WeightedCase> = cases
        .iter()
        .zip(weights)
        .map(|(case, weight)| WeightedCase {
            features: case.features,
            correct: case.correct,
            weight,
        })
        .collect();
    Some(FittedProbability {
        calibrator: Calibrator::fit_weighted(curve, &weighted)?,
        prior: NewWhalePrior {
            fitted: fitted_fraction(expected_new_whales),
            ..prior
        },
    })
}

/// A weight for each case, on average 1, by which `expected_new_whales` of them are new (0.1 to 0.9 at most); 1 without a known or a new
/// case.
pub fn prior_weights(cases: &[CalibrationCase], expected_new_whales: f64) -> Vec<f64> {
    let new = cases.iter().filter(|case| !case.known).count() as f64 / cases.len() as f64;
    let expected = fitted_fraction(expected_new_whales);
    let [of_known, of_new] = [(1.0 - expected) / (1.0 - new), expected / new];
    let weight = |case: &CalibrationCase| if case.known { of_known } else { of_new };
    if of_known.is_finite() && of_new.is_finite() {
        cases.iter().map(weight).collect()
    } else {
        vec![1.0; cases.len()]
    }
}

fn fitted_fraction(expected_new_whales: f64) -> f64 {
    let [lowest, highest] = FITTED_FRACTIONS;
    expected_new_whales.clamp(lowest, highest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(score: f32, known: bool, correct: bool) -> CalibrationCase {
        let features = RankingFeatures {
            score,
            top_margin: 0.1,
        };
        CalibrationCase {
            features,
            known,
            correct,
        }
    }

    /// Scores at which hardly anything is right, except above 0.5, whatever the score: a curve through all cannot follow. Of 40 known
    /// whales 4 are wrong.
    fn cases(new: usize) -> Vec<CalibrationCase> {
        let known = (0..40).map(|i| case(0.5 + 0.01 * (i % 10) as f32, true, i % 10 != 0));
        let new = (0..new).map(|i| {
            let score = if i % 20 == 0 {
                0.5 + 0.005 * (i % 200 / 20) as f32
            } else {
                0.002 * (i % 200) as f32
            };
            case(score, false, false)
        });
        known.chain(new).collect()
    }

    fn mean_probability(
        cases: &[CalibrationCase],
        new: f64,
        of: impl Fn(&CalibrationCase) -> f64,
    ) -> f64 {
        let weights = prior_weights(cases, new);
        let sum: f64 = cases
            .iter()
            .zip(weights)
            .map(|(case, weight)| weight * of(case))
            .sum();
        sum / cases.len() as f64
    }

    #[test]
    fn weights_give_the_expected_fraction() {
        let cases = cases(400);
        let weights = prior_weights(&cases, 0.25);
        let sum = |known: bool| -> f64 {
            let cases = cases
                .iter()
                .zip(&weights)
                .filter(|(case, _)| case.known == known);
            cases.map(|(_, weight)| weight).sum()
        };
        assert!(
            (sum(true) - 0.75 * 440.0).abs() < 1e-9 && (sum(false) - 0.25 * 440.0).abs() < 1e-9
        );
        assert_eq!(prior_weights(&cases[..40], 0.25), [1.0; 40]);
        assert!(prior_weights(&[], 0.25).is_empty());
    }

    #[test]
    fn probabilities_are_right_on_average_under_the_expected_fraction() {
        // Twenty times as many new whales as known ones to fit on, and half of each in use.
        let cases = cases(800);
        let found = fit_probability(Curve::Logistic, &cases, 0.5).unwrap();
        assert_eq!((found.prior.fitted, found.prior.expected), (0.5, 0.5));
        assert!((found.prior.recall - 0.9).abs() < 1e-9);
        let expected = mean_probability(&cases, 0.5, |case| f64::from(u8::from(case.correct)));
        let error = |calibrator: &Calibrator, prior: &NewWhalePrior| {
            let probability =
                |case: &CalibrationCase| prior.correct(calibrator.probability(&case.features));
            (mean_probability(&cases, 0.5, probability) - expected).abs()
        };
        assert!((expected - 0.45).abs() < 1e-9);
        assert!(error(&found.calibrator, &found.prior) < 1e-3, "{found:?}");
        // Fitted to the cases as they are and corrected afterwards.
        let plain: Vec<_> = cases
            .iter()
            .map(|case| (case.features, case.correct))
            .collect();
        let plain = Calibrator::fit(Curve::Logistic, &plain).unwrap();
        let prior = NewWhalePrior::of(40, 36, 800, 0.5).unwrap();
        assert!(error(&plain, &prior) > 0.01, "{plain:?}");
    }

    #[test]
    fn both_kinds_of_cases_are_needed_and_extremes_stay_finite() {
        let cases = cases(400);
        assert_eq!(fit_probability(Curve::Logistic, &cases[..40], 0.5), None);
        assert_eq!(fit_probability(Curve::Logistic, &cases[40..], 0.5), None);
        for expected in [0.0, 1.0] {
            let found = fit_probability(Curve::Logistic, &cases, expected).unwrap();
            assert_eq!(found.prior.expected, expected);
            assert!((0.1..=0.9).contains(&found.prior.fitted));
            assert_eq!(found.calibrator.validate(), Ok(()));
        }
    }
}
