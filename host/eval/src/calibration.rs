//! Fits the decision rule of a catalogue (thresholds and probabilities) on disjoint identities:
//! whales that are neither in the catalogue nor in the training data.
//!
//! In each trial, half of these whales are enrolled in addition to the catalogue; their encounters,
//! of 1 to 5 photos as on the boat, are known queries, those of the others new ones. All are
//! searched in the whole catalogue, so the thresholds suit its size.
//!
//! The whales are in three parts for all trials: rules are fitted on one, the whale score is
//! selected on another, and the figures that are reported come from the third. The rule that is
//! used is then fitted on all of them.

use crate::gallery::encounters::as_on_board;
use crate::gallery::label::PhotoLabel;
use crate::gallery::labelled::LabelledEmbeddings;
use crate::gallery::local::LocalGallery;
use crate::gallery::matching::with_local;
use crate::metrics::reliability::{BINS, ReliabilityBin, expected_calibration_error, reliability};
use crate::protocols::open_set::purpose::{Fit, Report, Select};
use crate::protocols::open_set::queries::QueriesFor;
use crate::protocols::open_set::rule::{RuleMetrics, rule_metrics};
use crate::protocols::open_set::trial::{self, Purposes, Query, Trial, TrialOptions};
use flukewatch_common::catalogue::Catalogue;
use flukewatch_common::decision::{
    CalibrationCase, Curve, DecisionRule, ErrorLimits, MIN_SAMPLES, RankingFeatures,
    fit_probability, prior_weights,
};
use flukewatch_common::local_matching::{Descriptors, EmbeddedPhoto, LocalCatalogue};
use flukewatch_common::whale_score::WhaleScore;
use serde::Serialize;
use std::collections::BTreeSet;

/// How the whale score is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WhaleScoreChoice {
    /// Use this whale score.
    Fixed(WhaleScore),
    /// The one of several whose calibrator, fitted on one part of the whales, has the lowest log
    /// loss on another.
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
    /// The fraction of new whales that is expected in use.
    pub expected_new_whales: f64,
}

/// Why no rule was fitted.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum CalibrationError {
    /// Too few photos of either kind.
    #[error(
        "too few photos: {known} known and {new} new encounters, expected at least {MIN_SAMPLES} of each; \
         add whales, some of them with two photos or more"
    )]
    TooFew {
        /// Distinct known queries.
        known: usize,
        /// Distinct new queries.
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
    /// Expected calibration error at the fraction of new whales of the trials; of the score if the
    /// rule has no calibrator.
    pub expected_calibration_error: f64,
}

/// A fitted rule and its evaluation.
#[derive(Clone, Debug, Serialize)]
pub struct CalibrationResult {
    /// The rule, fitted on all queries.
    pub rule: DecisionRule,
    /// Evaluation of the old rule, on whales that chose nothing; `None` with too few.
    pub before: Option<RuleEvaluation>,
    /// Evaluation on the same whales of a rule that others fitted and selected; `None` with too few.
    pub after: Option<RuleEvaluation>,
    /// Reliability of that rule's probabilities.
    pub reliability: Option<[ReliabilityBin; BINS]>,
    /// Number of photos evaluated.
    pub photos: usize,
    /// Number of their whales; each unnamed photo counts as one.
    pub whales: usize,
    /// Number of photos in the catalogue.
    pub enrolled: usize,
    /// Photos skipped because the catalogue holds a whale of this name.
    pub skipped: usize,
}

/// Fits a rule for `catalogue` on labelled photos of other whales; `local` holds the descriptors of its photos where the bundle has local
/// matching.
///
/// # Errors
/// If there are too few photos, or they are not of the catalogue's model.
pub fn calibrate(
    catalogue: &Catalogue,
    local: Option<LocalCatalogue<'_>>,
    photos: &[(PhotoLabel, EmbeddedPhoto)],
    old: &DecisionRule,
    options: &CalibrationOptions,
) -> Result<CalibrationResult, CalibrationError> {
    let enrolled: BTreeSet<&str> = catalogue
        .entries()
        .iter()
        .map(|e| e.whale.as_str())
        .collect();
    let disjoint: Vec<&(PhotoLabel, EmbeddedPhoto)> = photos
        .iter()
        .filter(|(label, _)| !label.whale.as_deref().is_some_and(|w| enrolled.contains(w)))
        .collect();
    let all = concat(catalogue, local, &disjoint)?;
    let always_enrolled: Vec<bool> = all
        .whales()
        .iter()
        .map(|w| enrolled.contains(w.as_str()))
        .collect();
    let trial_options = TrialOptions {
        trials: options.trials.max(1),
        seed: options.seed,
        always_enrolled: &always_enrolled,
        purposes: Purposes::Thirds,
    };
    let queries = as_on_board(&all);
    let trials_scored_by =
        |score: WhaleScore| trial::run(&all.clone().scored_by(score), &queries, &trial_options);
    let whale_score = match options.whale_score {
        WhaleScoreChoice::Fixed(whale_score) => whale_score,
        WhaleScoreChoice::Learned => learned(options, |score| {
            let trials = trials_scored_by(score);
            let fit = QueriesFor::<Fit>::of(&trials).cases();
            (fit, QueriesFor::<Select>::of(&trials).cases())
        }),
    };
    let trials = trials_scored_by(whale_score);
    // A query that occurs in several trials counts once.
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
    let every_query = trials.iter().flat_map(|t| &t.queries);
    let fitted = fit(every_query, options, whale_score).ok_or_else(too_few)?;
    let rescored;
    let old_trials = if old.whale_score == whale_score {
        &trials
    } else {
        rescored = trials_scored_by(old.whale_score);
        &rescored
    };
    let before = evaluate(old_trials, old).map(|(evaluation, _)| evaluation);
    let of_fit = fit(QueriesFor::<Fit>::of(&trials).iter(), options, whale_score);
    let (after, reliability) = of_fit.and_then(|rule| evaluate(&trials, &rule)).unzip();
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
    local: Option<LocalCatalogue<'_>>,
    disjoint: &[&(PhotoLabel, EmbeddedPhoto)],
) -> Result<LabelledEmbeddings, CalibrationError> {
    let enrolled = catalogue.entries().iter().map(PhotoLabel::of_entry);
    let labels = enrolled
        .chain(disjoint.iter().map(|(label, _)| label.clone()))
        .collect();
    let values: Vec<f32> = (0..catalogue.len())
        .flat_map(|i| catalogue.embedding(i).iter().copied())
        .chain(
            disjoint
                .iter()
                .flat_map(|(_, q)| q.embedding.as_slice().iter().copied()),
        )
        .collect();
    let all = LabelledEmbeddings::new(labels, catalogue.dimension(), values)
        .map_err(|e| CalibrationError::Embeddings(e.to_string()))?;
    let Some(local) = local else {
        return Ok(all);
    };
    let enrolled = (0..catalogue.len()).map(|photo| local.photos.descriptors(photo).ok());
    let described = enrolled.chain(disjoint.iter().map(|(_, query)| query.local.clone()));
    let descriptors: Option<Vec<Descriptors>> = described.collect();
    let descriptors = descriptors.ok_or_else(|| {
        CalibrationError::Embeddings(
            "local descriptors are missing or damaged: copy the bundle again".into(),
        )
    })?;
    let score = *local.score;
    Ok(with_local(all, LocalGallery::new(descriptors, score)))
}

/// Fits a rule on queries.
fn fit<'q>(
    queries: impl Iterator<Item = &'q Query>,
    options: &CalibrationOptions,
    whale_score: WhaleScore,
) -> Option<DecisionRule> {
    let (mut known, mut new, mut cases) = (vec![], vec![], vec![]);
    for query in queries.filter(|q| !q.top.is_empty()) {
        let side = if query.is_known() {
            &mut known
        } else {
            &mut new
        };
        side.push(query.score());
        cases.extend(query.case());
    }
    let rule = DecisionRule::fit(&known, &new, &options.limits, String::new())?;
    let probability = fit_probability(options.curve, &cases, options.expected_new_whales);
    Some(
        DecisionRule {
            whale_score,
            ..rule
        }
        .with_probability(probability),
    )
}

/// Evaluates a rule on the queries for reporting, with the reliability of its probabilities, or of
/// its scores if it has no calibrator. `None` without a known or a new query.
fn evaluate(
    trials: &[Trial],
    rule: &DecisionRule,
) -> Option<(RuleEvaluation, [ReliabilityBin; BINS])> {
    let metrics = rule_metrics(trials, rule)?;
    let queries = QueriesFor::<Report>::of(trials);
    let (known, new) = (queries.scores(true).len(), queries.scores(false).len());
    let told = rule
        .clone()
        .expecting_new_whales(new as f64 / (known + new) as f64);
    let probability = |features: &RankingFeatures| {
        told.probability_of(features)
            .unwrap_or_else(|| f64::from(features.score).clamp(0.0, 1.0))
    };
    let predictions: Vec<(f64, bool)> = queries
        .rankings()
        .into_iter()
        .map(|(features, right)| (probability(&features), right))
        .collect();
    let bins = reliability(&predictions);
    let evaluation = RuleEvaluation {
        rule: metrics,
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

/// Rankings of queries.
type Cases = Vec<CalibrationCase>;

/// The whale score whose calibrator, fitted on the first of two lists of rankings, has the lowest log
/// loss on the second under the expected fraction of new whales; the first of equals.
fn learned(
    options: &CalibrationOptions,
    cases: impl Fn(WhaleScore) -> (Cases, Cases),
) -> WhaleScore {
    let log_loss = |whale_score: WhaleScore| {
        let (fit, select) = cases(whale_score);
        let expected = options.expected_new_whales;
        let Some(fitted) = fit_probability(options.curve, &fit, expected) else {
            return f64::INFINITY;
        };
        if select.is_empty() {
            return f64::INFINITY;
        }
        let weights = prior_weights(&select, expected);
        let losses = select.iter().zip(weights).map(|(case, weight)| {
            let p = fitted.calibrator.probability(&case.features);
            let p = p.clamp(1e-6, 1.0 - 1e-6);
            // Only a right top-1 whale counts: another known whale is as wrong as a named new one.
            weight
                * if case.correct {
                    -p.ln()
                } else {
                    -(1.0 - p).ln()
                }
        });
        losses.sum::<f64>() / select.len() as f64
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
