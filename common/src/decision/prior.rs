//! The fraction of new whales that a probability assumes.

use serde::{Deserialize, Serialize};

/// The fraction of new whales that a user expects who states none.
pub const DEFAULT_EXPECTED: f64 = 0.5;

/// How many whales are new: where a calibrator was fitted, and where it is used.
///
/// A first whale is right only if its whale is enrolled, so a probability depends on how many of the
/// whales that are met are not. [`NewWhalePrior::correct`] moves it from one fraction to the other
/// (Saerens, Latinne and Decaestecker, 'Adjusting the Outputs of a Classifier to New a Priori
/// Probabilities', 2002). Known whales that rank second or later count as wrong, under both
/// fractions: their first whale is as much a stranger as that of a new whale.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewWhalePrior {
    /// The fraction of new whales among the cases of the fit.
    pub fitted: f64,
    /// The fraction of the known ones among these cases whose first whale was right.
    pub recall: f64,
    /// The fraction of new whales that is expected in use.
    pub expected: f64,
}

impl NewWhalePrior {
    /// The prior of a fit on `known` cases, of which `right` had the right first whale, and on `new`
    /// ones; `None` without a known or a new case.
    pub fn of(known: usize, right: usize, new: usize, expected: f64) -> Option<Self> {
        (known > 0 && new > 0).then(|| Self {
            fitted: new as f64 / (known + new) as f64,
            recall: right as f64 / known as f64,
            expected,
        })
    }

    /// A probability under the fraction of the fit as one under the expected fraction.
    pub fn correct(&self, probability: f64) -> f64 {
        let right = |new: f64| logit((1.0 - new) * self.recall);
        let shifted = logit(probability) + right(self.expected) - right(self.fitted);
        1.0 / (1.0 + (-shifted).exp())
    }

    /// Whether all fractions are in 0..=1.
    pub(super) fn is_valid(&self) -> bool {
        [self.fitted, self.recall, self.expected]
            .iter()
            .all(|fraction| (0.0..=1.0).contains(fraction))
    }
}

/// The logit of a fraction, finite even for 0 and 1.
fn logit(fraction: f64) -> f64 {
    let inside = fraction.clamp(1e-9, 1.0 - 1e-9);
    (inside / (1.0 - inside)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correction_worked_by_hand() {
        // Of 100 known whales 80 are right, and there are 100 new ones. At some score stand 40
        // right cases and 60 wrong ones: 10 known whales and 50 new ones, as everywhere among the
        // wrong. Ten times as many known whales: 400 right ones of 550.
        let prior = NewWhalePrior::of(100, 80, 100, 1.0 / 11.0).unwrap();
        assert_eq!((prior.fitted, prior.recall), (0.5, 0.8));
        // Under the prior of the fit 40 %; wrong cases are 20 + 100 in all, of which 60 are here.
        let (right, wrong) = (40.0 / 80.0, 60.0 / 120.0);
        let (all_right, all_wrong) = (800.0, 200.0 + 100.0);
        let expected = right * all_right / (right * all_right + wrong * all_wrong);
        assert!((prior.correct(0.4) - expected).abs() < 1e-9);
    }

    #[test]
    fn the_fitted_fraction_changes_nothing_and_extremes_stay_finite() {
        let prior = NewWhalePrior::of(10, 10, 30, 0.75).unwrap();
        assert!((prior.correct(0.37) - 0.37).abs() < 1e-9);
        for expected in [0.0, 1.0] {
            let extreme = NewWhalePrior { expected, ..prior };
            for probability in [0.0, 0.5, 1.0] {
                assert!((0.0..=1.0).contains(&extreme.correct(probability)));
            }
        }
        assert_eq!(NewWhalePrior::of(0, 0, 5, 0.5), None);
    }
}
