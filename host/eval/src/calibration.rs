//! Fits the decision rule of a catalogue (thresholds and probabilities) on disjoint identities:
//! whales that are neither in the catalogue nor in the training data.
//!
//! In each trial, half of these whales are enrolled in addition to the catalogue; their photos are
//! known queries, photos of the others new ones. All are searched in the whole catalogue, so the
//! thresholds suit its size.

use crate::gallery::label::PhotoLabel;
use crate::gallery::labelled::LabelledEmbeddings;
use crate::metrics::reliability::{BINS, ReliabilityBin, expected_calibration_error, reliability};
use crate::protocols::open_set::rule::{RuleMetrics, rule_metrics};
use crate::protocols::open_set::trial::{self, Trial, TrialOptions};
use flukewatch_common::catalogue::Catalogue;
use flukewatch_common::decision::{
    Calibrator, Curve, DecisionRule, ErrorLimits, MIN_SAMPLES, RankingFeatures,
};
use flukewatch_common::embedding::Embedding;
use flukewatch_common::whale_score::WhaleScore;
use serde::Serialize;
use std::collections::BTreeSet;

/// How the whale score is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WhaleScoreChoice {
    /// Use this whale score.
    Fixed(WhaleScore),
    /// The one of several whose calibrator, fitted on one half of the whales, has the lowest log
    /// loss on the other half.
    Learned,
}

/// Settings of [`calibrate`].
#[derive(Clone, Copy, Debug)]
pub struct CalibrationOptions {
    /// Error rates that the rule must not exceed.
    pub limits: ErrorLimits,
    /// Form of the calibrator.
    pub curve: Curve,
    /// How the whale score is chosen.
    pub whale_score: WhaleScoreChoice,
    /// Number of random trials.
    pub trials: usize,
    /// Seed of the trials.
    pub seed: u64,
}

/// Why no rule was fitted.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum CalibrationError {
    /// Too few photos of either kind.
    #[error(
        "too few photos: {known} known and {new} new queries, expected at least {MIN_SAMPLES} of each; \
         add whales, some of them with two photos or more"
    )]
    TooFew {
        /// Distinct photos among the known queries.
        known: usize,
        /// Distinct photos among the new queries.
        new: usize,
    },
    /// Embeddings of another model.
    #[error("the embeddings do not fit the catalogue: {0}")]
    Embeddings(String),
}

/// Evaluation of a rule on whales that it was not fitted on.
#[derive(Clone, Debug, Serialize)]
pub struct RuleEvaluation {
    /// Rates of the rule.
    pub rule: RuleMetrics,
    /// Expected calibration error; of the score if the rule has no calibrator.
    pub expected_calibration_error: f64,
}

/// A fitted rule and its evaluation.
#[derive(Clone, Debug, Serialize)]
pub struct CalibrationResult {
    /// The rule, fitted on all queries.
    pub rule: DecisionRule,
    /// Evaluation of the old rule.
    pub before: RuleEvaluation,
    /// Evaluation of rules fitted on one half of the whales, on the other half.
    pub after: RuleEvaluation,
    /// Reliability of the probabilities of those rules.
    pub reliability: [ReliabilityBin; BINS],
    /// Number of photos evaluated.
    pub photos: usize,
    /// Number of their whales; each unnamed photo counts as one.
    pub whales: usize,
    /// Number of photos in the catalogue.
    pub enrolled: usize,
    /// Photos skipped because the catalogue holds a whale of this name.
    pub skipped: usize,
}

/// Fits a rule for `catalogue` on labelled photos of other whales.
///
/// # Errors
/// If there are too few photos, or they are not of the catalogue's model.
pub fn calibrate(
    catalogue: &Catalogue,
    photos: &[(PhotoLabel, Embedding)],
    old: &DecisionRule,
    options: &CalibrationOptions,
) -> Result<CalibrationResult, CalibrationError> {
    let enrolled: BTreeSet<&str> = catalogue
        .entries()
        .iter()
        .map(|e| e.whale.as_str())
        .collect();
    let disjoint: Vec<&(PhotoLabel, Embedding)> = photos
        .iter()
        .filter(|(label, _)| !label.whale.as_deref().is_some_and(|w| enrolled.contains(w)))
        .collect();
    let all = concat(catalogue, &disjoint)?;
    let always_enrolled: Vec<bool> = all
        .whales()
        .iter()
        .map(|w| enrolled.contains(w.as_str()))
        .collect();
    let trial_options = TrialOptions {
        trials: options.trials.max(1),
        seed: options.seed,
        always_enrolled: &always_enrolled,
    };
    let trials_scored_by =
        |score: WhaleScore| trial::run(&all.clone().scored_by(score), &trial_options);
    let whale_score = match options.whale_score {
        WhaleScoreChoice::Fixed(whale_score) => whale_score,
        WhaleScoreChoice::Learned => learned(options.curve, trials_scored_by),
    };
    let trials = trials_scored_by(whale_score);
    // A photo that is a query in several trials counts once.
    let distinct = |known: bool| {
        let queries = trials.iter().flat_map(|t| &t.queries);
        let photos: BTreeSet<usize> = queries
            .filter(|q| q.is_known() == known)
            .map(|q| q.photo)
            .collect();
        photos.len()
    };
    let (known, new) = (distinct(true), distinct(false));
    let too_few = || CalibrationError::TooFew { known, new };
    if known < MIN_SAMPLES || new < MIN_SAMPLES {
        return Err(too_few());
    }
    let fitted = fit(&trials, |_| true, options, whale_score).ok_or_else(too_few)?;
    let rescored;
    let old_trials = if old.whale_score == whale_score {
        &trials
    } else {
        rescored = trials_scored_by(old.whale_score);
        &rescored
    };
    let (before, _) =
        evaluate(old_trials, &vec![old.clone(); old_trials.len()]).ok_or_else(too_few)?;
    // If one half is too small to fit on, the rule of all queries is evaluated, which is
    // optimistic.
    let of_halves: Vec<DecisionRule> = trials
        .iter()
        .map(|trial| {
            fit(std::slice::from_ref(trial), |fit| fit, options, whale_score)
                .unwrap_or_else(|| fitted.clone())
        })
        .collect();
    let (after, reliability) = evaluate(&trials, &of_halves).ok_or_else(too_few)?;
    let whales = all.whales().len() - enrolled.len()
        + disjoint
            .iter()
            .filter(|(label, _)| label.whale.is_none())
            .count();
    Ok(CalibrationResult {
        rule: DecisionRule {
            fitted_on: format!(
                "{} photos of {whales} disjoint whales, against {} enrolled photos of {} whales",
                disjoint.len(),
                catalogue.len(),
                enrolled.len()
            ),
            ..fitted
        },
        before,
        after,
        reliability,
        photos: disjoint.len(),
        whales,
        enrolled: catalogue.len(),
        skipped: photos.len() - disjoint.len(),
    })
}

/// The photos of the catalogue, followed by the disjoint ones.
fn concat(
    catalogue: &Catalogue,
    disjoint: &[&(PhotoLabel, Embedding)],
) -> Result<LabelledEmbeddings, CalibrationError> {
    let enrolled = catalogue.entries().iter().map(|entry| PhotoLabel {
        name: entry.photo.clone(),
        whale: Some(entry.whale.clone()),
        ..PhotoLabel::default()
    });
    let labels = enrolled
        .chain(disjoint.iter().map(|(label, _)| label.clone()))
        .collect();
    let values: Vec<f32> = (0..catalogue.len())
        .flat_map(|i| catalogue.embedding(i).iter().copied())
        .chain(
            disjoint
                .iter()
                .flat_map(|(_, e)| e.as_slice().iter().copied()),
        )
        .collect();
    LabelledEmbeddings::new(labels, catalogue.dimension(), values)
        .map_err(|e| CalibrationError::Embeddings(e.to_string()))
}

/// Fits a rule on the queries of the half that `half` selects.
fn fit(
    trials: &[Trial],
    half: impl Fn(bool) -> bool,
    options: &CalibrationOptions,
    whale_score: WhaleScore,
) -> Option<DecisionRule> {
    let queries = || {
        trials
            .iter()
            .flat_map(|t| &t.queries)
            .filter(|q| half(q.fit))
    };
    let scores = |known: bool| -> Vec<f32> {
        queries()
            .filter(|q| q.is_known() == known && !q.top.is_empty())
            .map(|q| q.score())
            .collect()
    };
    let rankings: Vec<(RankingFeatures, bool)> = queries()
        .filter_map(|q| Some((q.features()?, q.is_correct())))
        .collect();
    let rule = DecisionRule::fit(
        &scores(true),
        &scores(false),
        &options.limits,
        String::new(),
    )?;
    Some(DecisionRule {
        whale_score,
        calibrator: Calibrator::fit(options.curve, &rankings),
        ..rule
    })
}

/// Evaluates each trial's rule on the half that it was not fitted on, with the reliability of its
/// probabilities, or of its scores if it has no calibrator. `None` without a trial.
fn evaluate(
    trials: &[Trial],
    rules: &[DecisionRule],
) -> Option<(RuleEvaluation, [ReliabilityBin; BINS])> {
    let predictions: Vec<(f64, bool)> = trials
        .iter()
        .zip(rules)
        .flat_map(|(trial, rule)| {
            trial.rankings(false).into_iter().map(|(features, right)| {
                let probability = match &rule.calibrator {
                    Some(calibrator) => calibrator.probability(&features),
                    None => f64::from(features.score).clamp(0.0, 1.0),
                };
                (probability, right)
            })
        })
        .collect();
    let bins = reliability(&predictions);
    let halves: Vec<Trial> = trials.iter().map(Trial::evaluation_half).collect();
    let evaluation = RuleEvaluation {
        rule: rule_metrics(halves.iter().zip(rules))?,
        expected_calibration_error: expected_calibration_error(&bins),
    };
    Some((evaluation, bins))
}

/// The whale scores to choose from.
fn whale_scores() -> impl Iterator<Item = WhaleScore> {
    let blends = [2, 3, 5].into_iter().flat_map(|top_k| {
        [0.0, 0.25, 0.5, 0.75]
            .into_iter()
            .map(move |best_weight| WhaleScore { best_weight, top_k })
    });
    std::iter::once(WhaleScore::BEST).chain(blends)
}

/// The whale score whose calibrator has the lowest log loss on whales that it was not fitted on;
/// the first of equals.
fn learned(curve: Curve, trials_scored_by: impl Fn(WhaleScore) -> Vec<Trial>) -> WhaleScore {
    let log_loss = |whale_score: WhaleScore| {
        let (mut sum, mut rankings) = (0.0, 0usize);
        for trial in trials_scored_by(whale_score) {
            let Some(calibrator) = Calibrator::fit(curve, &trial.rankings(true)) else {
                continue;
            };
            for (features, right) in trial.rankings(false) {
                let p = calibrator.probability(&features).clamp(1e-6, 1.0 - 1e-6);
                // Only a right top-1 whale counts: another known whale is as wrong as a named new
                // one.
                sum -= if right { p.ln() } else { (1.0 - p).ln() };
                rankings += 1;
            }
        }
        if rankings == 0 {
            f64::INFINITY
        } else {
            sum / rankings as f64
        }
    };
    let mut best = (f64::INFINITY, WhaleScore::BEST);
    for whale_score in whale_scores() {
        let loss = log_loss(whale_score);
        if loss < best.0 {
            best = (loss, whale_score);
        }
    }
    best.1
}

#[cfg(test)]
mod tests;
