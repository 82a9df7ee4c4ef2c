//! The decision about an encounter: a known whale, a new one, or one for review.

mod calibrator;
mod fit;
mod prior;

pub use calibrator::{Calibrator, Curve, MAX_POINTS, RankingFeatures};
pub use fit::{CalibrationCase, FittedProbability, fit_probability, prior_weights};
pub use prior::{DEFAULT_EXPECTED, NewWhalePrior};

use crate::catalogue::Match;
use crate::whale_score::{MAX_PHOTOS, WhaleScore};
use serde::{Deserialize, Serialize};

/// The decision of a [`DecisionRule`] about an encounter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A whale of the catalogue.
    Known {
        /// The name of the whale in the catalogue.
        whale: String,
    },
    /// A whale that the catalogue does not hold.
    New,
    /// Between the thresholds: a person should review it.
    Review,
}

/// What a sighting says about its whale: a [`Decision`], or that there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// A whale of the catalogue.
    Known {
        /// The name of the whale in the catalogue.
        whale: String,
    },
    /// A whale that the catalogue does not hold.
    New,
    /// Between the thresholds: a person should review it.
    Review,
    /// The encounter is recorded, and no model has identified it.
    Unidentified {
        /// Why not, in words.
        reason: String,
    },
}

impl From<Decision> for Verdict {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Known { whale } => Self::Known { whale },
            Decision::New => Self::New,
            Decision::Review => Self::Review,
        }
    }
}

/// The rule: the score of the best whale against two thresholds.
///
/// `best >= known_at` is known, `best < new_below` is new, and a score between them is for review.
/// The thresholds belong to one model, one whale score and one catalogue; [`DecisionRule::fit`]
/// sets them again when whales are enrolled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionRule {
    /// The lowest score of a known whale.
    pub known_at: f32,
    /// Scores below this are a new whale; at most `known_at`.
    pub new_below: f32,
    /// The data that the thresholds were fitted on, for display.
    pub fitted_on: String,
    /// How a whale is scored.
    pub whale_score: WhaleScore,
    /// Computes the probability that the first whale is right, if it was fitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibrator: Option<Calibrator>,
    /// How many whales are new, if the calibrator's fit says so; its probabilities are corrected by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prior_new_whales: Option<NewWhalePrior>,
}

/// Limits on the errors of a rule, each a fraction in 0..=1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorLimits {
    /// The largest fraction of photos of whales that are not enrolled that may be identified as
    /// known.
    pub false_match_rate: f64,
    /// The largest fraction of photos of enrolled whales that may be called new.
    pub false_new_rate: f64,
    /// The largest fraction of photos of whales that are not enrolled that may not be called new
    /// (known or for review). It takes precedence over `false_new_rate`: to miss fewer new whales,
    /// more known ones are called new.
    pub missed_new_rate: Option<f64>,
}

impl Default for ErrorLimits {
    /// 0.05 for both errors that put a wrong verdict into the record.
    fn default() -> Self {
        Self {
            false_match_rate: 0.05,
            false_new_rate: 0.05,
            missed_new_rate: None,
        }
    }
}

/// The fewest scores of known whales and of impostors that thresholds are fitted on.
pub const MIN_SAMPLES: usize = 20;

/// The error of a decision rule with numbers out of range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid decision rule: {0}")]
pub struct InvalidDecision(String);

impl DecisionRule {
    /// The verdict on a ranking, best whale first. An empty ranking (nothing enrolled) is a new whale.
    pub fn decide(&self, ranking: &[Match]) -> Decision {
        match ranking.first() {
            None => Decision::New,
            Some(best) if best.score >= self.known_at => Decision::Known {
                whale: best.whale.clone(),
            },
            Some(best) if best.score < self.new_below => Decision::New,
            Some(_) => Decision::Review,
        }
    }

    /// A rule of two thresholds, for whales scored by their most similar photo, without a probability.
    pub fn thresholds(known_at: f32, new_below: f32, fitted_on: &str) -> Self {
        Self {
            known_at,
            new_below,
            fitted_on: fitted_on.to_owned(),
            whale_score: WhaleScore::BEST,
            calibrator: None,
            prior_new_whales: None,
        }
    }

    /// The rule of a new model: whales scored by [`WhaleScore::BLEND`], thresholds still to be
    /// fitted.
    pub fn unfitted() -> Self {
        Self {
            whale_score: WhaleScore::BLEND,
            ..Self::thresholds(0.6, 0.4, "nothing yet: enrol whales first")
        }
    }

    /// The probability that the first whale of a ranking is right, in 0..=1; `None` without a
    /// calibrator, and 0 for an empty ranking.
    pub fn probability(&self, ranking: &[Match]) -> Option<f64> {
        match RankingFeatures::of(ranking.iter().map(|m| m.score)) {
            Some(features) => self.probability_of(&features),
            None => self.calibrator.as_ref().map(|_| 0.0),
        }
    }

    /// The probability that the first whale of a ranking with these features is right, in 0..=1;
    /// `None` without a calibrator.
    pub fn probability_of(&self, features: &RankingFeatures) -> Option<f64> {
        let probability = self.calibrator.as_ref()?.probability(features);
        Some(match &self.prior_new_whales {
            Some(prior) => prior.correct(probability),
            None => probability,
        })
    }

    /// The fraction of new whales that is expected in use: as the rule says, or
    /// [`DEFAULT_EXPECTED`].
    pub fn expected_new_whales(&self) -> f64 {
        self.prior_new_whales
            .map_or(DEFAULT_EXPECTED, |prior| prior.expected)
    }

    /// The same rule where another fraction of the whales is new. Probabilities of a rule that does
    /// not say what it was fitted under stay as they are.
    pub fn expecting_new_whales(mut self, fraction: f64) -> Self {
        if let Some(prior) = &mut self.prior_new_whales {
            prior.expected = fraction;
        }
        self
    }

    /// The same rule with a fitted probability, or without one.
    pub fn with_probability(self, fitted: Option<FittedProbability>) -> Self {
        let (calibrator, prior_new_whales) = fitted.map(|f| (f.calibrator, f.prior)).unzip();
        Self {
            calibrator,
            prior_new_whales,
            ..self
        }
    }

    /// What a person should know of a valid rule before using it.
    pub fn warning(&self) -> Option<&'static str> {
        let monotone = self.calibrator.as_ref().is_none_or(Calibrator::is_monotone);
        (!monotone).then_some(
            "the probability falls where the score or its margin to the second whale rises: \
             fit it again with 'flukewatch calibrate'",
        )
    }

    /// # Errors
    /// When thresholds, whale score or calibrator are out of range.
    pub fn validate(&self) -> Result<(), InvalidDecision> {
        let (known_at, new_below) = (self.known_at, self.new_below);
        if !known_at.is_finite() || !new_below.is_finite() || new_below > known_at {
            return Err(InvalidDecision(format!(
                "new_below {new_below} must not exceed known_at {known_at}"
            )));
        }
        if !self.whale_score.is_valid() {
            let WhaleScore { best_weight, top_k } = self.whale_score;
            return Err(InvalidDecision(format!(
                "whale_score: best_weight {best_weight} must be in [0, 1], top_k {top_k} in 1 to {MAX_PHOTOS}"
            )));
        }
        if let Some(prior) = self.prior_new_whales.filter(|prior| !prior.is_valid()) {
            return Err(InvalidDecision(format!(
                "prior_new_whales: fitted {}, recall {} and expected {} must be in [0, 1]",
                prior.fitted, prior.recall, prior.expected
            )));
        }
        match &self.calibrator {
            Some(calibrator) => calibrator
                .validate()
                .map_err(|why| InvalidDecision(format!("calibrator: {why}"))),
            None => Ok(()),
        }
    }

    /// Fits the thresholds to scores of representative photos.
    ///
    /// `known`: the best score, over all whales, of photos of enrolled whales; `impostor`: the best
    /// score of photos whose whale is left out of the catalogue. `known_at` and `new_below` keep
    /// within `limits`. Both groups hold scores over all whales, since the decision uses these: the
    /// score of the photo's own whale alone is far lower, and a threshold fitted to it would call
    /// hardly any whale new.
    ///
    /// `known_at` follows from the impostors alone: known whales that score high, such as those of
    /// bursts, never move it. Where the groups overlap, what lies between the thresholds is for
    /// review; where they hardly do, `new_below` is `known_at` and nothing is.
    /// Returns `None` where either group has fewer than [`MIN_SAMPLES`] scores.
    pub fn fit(
        known: &[f32],
        impostor: &[f32],
        limits: &ErrorLimits,
        fitted_on: String,
    ) -> Option<Self> {
        if known.len() < MIN_SAMPLES || impostor.len() < MIN_SAMPLES {
            return None;
        }
        let sorted = |scores: &[f32]| {
            let mut s = scores.to_vec();
            s.sort_by(f32::total_cmp);
            s
        };
        let (known, impostor) = (sorted(known), sorted(impostor));
        let share = |count: usize, share: f64| {
            ((count as f64 * share.clamp(0.0, 1.0)).floor() as usize).min(count - 1)
        };
        let above_all_but = |fraction: f64| {
            let above = share(impostor.len(), fraction);
            impostor[impostor.len() - 1 - above].next_up()
        };
        // A new whale with a name is missed, too.
        let missed = limits.missed_new_rate.unwrap_or(1.0);
        let known_at = above_all_but(limits.false_match_rate.min(missed));
        let mut new_below = known[share(known.len(), limits.false_new_rate)].min(known_at);
        if limits.missed_new_rate.is_some() {
            new_below = new_below.max(above_all_but(missed));
        }
        Some(Self::thresholds(known_at, new_below, &fitted_on))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranking(score: f32) -> Vec<Match> {
        vec![Match {
            whale: "HW-1".into(),
            score,
            photo: "a.jpg".into(),
        }]
    }

    #[test]
    fn scores_give_the_three_verdicts() {
        let rule = DecisionRule::thresholds(0.6, 0.4, "");
        assert_eq!(
            rule.decide(&ranking(0.6)),
            Decision::Known {
                whale: "HW-1".into()
            }
        );
        assert_eq!(rule.decide(&ranking(0.5)), Decision::Review);
        assert_eq!(rule.decide(&ranking(0.39)), Decision::New);
        assert_eq!(rule.decide(&[]), Decision::New);
    }

    #[test]
    fn overlapping_groups_leave_scores_for_review() {
        let known: Vec<f32> = (0..100).map(|i| 0.30 + 0.005 * i as f32).collect();
        let impostor: Vec<f32> = (0..100).map(|i| 0.005 * i as f32).collect();
        let rule =
            DecisionRule::fit(&known, &impostor, &ErrorLimits::default(), "test".into()).unwrap();
        let false_matches = impostor.iter().filter(|&&s| s >= rule.known_at).count();
        let false_new = known.iter().filter(|&&s| s < rule.new_below).count();
        assert_eq!((false_matches, false_new), (5, 5));
        assert!(rule.new_below < rule.known_at);
    }

    #[test]
    fn known_scores_never_move_the_threshold_of_known_whales() {
        let impostor: Vec<f32> = (0..100).map(|i| 0.005 * i as f32).collect();
        let fitted = |known: f32| {
            let limits = ErrorLimits::default();
            DecisionRule::fit(&[known; 50], &impostor, &limits, String::new()).unwrap()
        };
        let at = impostor[94].next_up();
        for (known, new_below) in [(0.3, 0.3), (0.9, at)] {
            let rule = fitted(known);
            assert_eq!((rule.known_at, rule.new_below), (at, new_below));
        }
    }

    #[test]
    fn separate_groups_leave_nothing_for_review() {
        let rule = DecisionRule::fit(
            &[0.9; 30],
            &[0.1; 30],
            &ErrorLimits::default(),
            "test".into(),
        )
        .unwrap();
        assert_eq!(
            (rule.known_at, rule.new_below),
            (0.1f32.next_up(), 0.1f32.next_up())
        );
    }

    #[test]
    fn too_few_scores_give_no_rule() {
        assert_eq!(
            DecisionRule::fit(
                &[0.9; 19],
                &[0.1; 30],
                &ErrorLimits::default(),
                "test".into()
            ),
            None
        );
    }

    #[test]
    fn a_limit_on_missed_new_whales_takes_precedence() {
        let known: Vec<f32> = (0..100).map(|i| 0.30 + 0.005 * i as f32).collect();
        let impostor: Vec<f32> = (0..100).map(|i| 0.005 * i as f32).collect();
        for (most, missed) in [(0.2, 20), (0.01, 1)] {
            let limits = ErrorLimits {
                missed_new_rate: Some(most),
                ..ErrorLimits::default()
            };
            let rule = DecisionRule::fit(&known, &impostor, &limits, String::new()).unwrap();
            let not_new = impostor.iter().filter(|&&s| s >= rule.new_below).count();
            assert_eq!(not_new, missed, "{rule:?}");
            assert!(rule.new_below <= rule.known_at);
            let named = impostor.iter().filter(|&&s| s >= rule.known_at).count();
            assert!(named <= 5);
        }
    }

    #[test]
    fn the_calibrator_is_optional_and_the_whale_score_is_not() {
        let without = r#"{"known_at":0.6,"new_below":0.4,"fitted_on":"x"}"#;
        assert!(serde_json::from_str::<DecisionRule>(without).is_err());
        let text = r#"{"known_at":0.6,"new_below":0.4,"fitted_on":"x","whale_score":{"best_weight":1.0,"top_k":1}}"#;
        let rule: DecisionRule = serde_json::from_str(text).unwrap();
        assert_eq!(rule, DecisionRule::thresholds(0.6, 0.4, "x"));
        assert_eq!(
            (rule.probability(&ranking(0.5)), rule.validate()),
            (None, Ok(()))
        );
    }

    #[test]
    fn a_probability_that_falls_with_the_margin_is_a_warning() {
        let mut rule = DecisionRule::thresholds(0.6, 0.4, "");
        assert_eq!(rule.warning(), None);
        rule.calibrator = Some(Calibrator::Logistic {
            weights: [-9.5, 26.8, -3.4],
        });
        assert_eq!(rule.validate(), Ok(()));
        assert!(rule.warning().unwrap().contains("calibrate"));
    }

    #[test]
    fn the_expected_fraction_of_new_whales_changes_the_probability() {
        let mut rule = DecisionRule::thresholds(0.6, 0.4, "");
        rule.calibrator = Some(Calibrator::Logistic {
            weights: [0.0, 0.0, 0.0],
        });
        rule.prior_new_whales = NewWhalePrior::of(50, 50, 50, 0.5);
        let at = |rule: &DecisionRule| rule.probability(&ranking(0.5)).unwrap();
        assert!((at(&rule) - 0.5).abs() < 1e-9);
        // Nine of ten whales are enrolled: 0.9 to 0.1.
        let mostly_known = rule.clone().expecting_new_whales(0.1);
        assert!((at(&mostly_known) - 0.9).abs() < 1e-9);
        let text = serde_json::to_string(&mostly_known).unwrap();
        let read: DecisionRule = serde_json::from_str(&text).unwrap();
        assert_eq!(read.expected_new_whales(), 0.1);
    }

    #[test]
    fn invalid_rules_are_rejected() {
        let good = DecisionRule::thresholds(0.6, 0.4, "");
        let mut crossed = good.clone();
        crossed.new_below = 0.7;
        let mut heavy = good.clone();
        heavy.whale_score.best_weight = 1.5;
        let mut bent = good.clone();
        bent.calibrator = Some(Calibrator::Isotonic { points: vec![] });
        let mut impossible = good.clone();
        impossible.prior_new_whales = Some(NewWhalePrior {
            fitted: 0.5,
            recall: 0.8,
            expected: 1.5,
        });
        for bad in [crossed, heavy, bent, impossible] {
            assert!(bad.validate().is_err(), "{bad:?}");
        }
        let mut sure = good;
        sure.calibrator = Calibrator::fit(
            Curve::Logistic,
            &[(
                RankingFeatures {
                    score: 0.5,
                    top_margin: 0.5,
                },
                true,
            ); 5],
        );
        assert!(sure.probability(&ranking(0.5)).unwrap() > 0.8);
        assert_eq!(sure.probability(&[]), Some(0.0));
    }
}
