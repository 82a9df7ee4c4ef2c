//! Open set: is the whale of a photo enrolled, and which one is it?
//!
//! In each of several trials, a random half of the whales is enrolled. A photo of an enrolled whale
//! with two photos or more is a *known* query, searched among the other enrolled photos. Every
//! photo of the other whales and every unnamed photo is a *new* query. Calibrators and thresholds
//! are fitted on the queries of one half of the whales, known and new, and evaluated on those of
//! the other half; a rule that the bundle brings is evaluated on all. Encounters of several photos,
//! as the boat makes them, are searched in the same way.

pub mod metric;
pub mod purpose;
pub mod queries;
pub mod rule;
pub mod threshold;
pub mod trial;

use crate::gallery::encounters::{as_on_board, of_size, single_photos};
use crate::gallery::labelled::LabelledEmbeddings;
use crate::metrics::bootstrap::Bootstrap;
use crate::metrics::curve::{CurvePoint, SweptPhoto, area, curve, known_accepted_at, sampled};
use crate::metrics::reliability::{BINS, ReliabilityBin, expected_calibration_error, reliability};
use crate::protocols::error::ProtocolError;
use flukewatch_common::decision::{Calibrator, Curve, DecisionRule, RankingFeatures};
use metric::{Metric, mean};
use purpose::{Fit, Report};
use queries::QueriesFor;
use rule::{RuleMetrics, TrialVerdicts, decide_all, decide_reported};
use serde::Serialize;
use threshold::CostRow;
use trial::{Purposes, Trial, TrialOptions};

/// Settings of the protocol.
#[derive(Clone, Debug)]
pub struct OpenSetOptions {
    /// Number of random trials.
    pub trials: usize,
    /// Seed of the trials.
    pub seed: u64,
    /// A rule to evaluate: the bundle's.
    pub rule: Option<DecisionRule>,
}

/// Counts of best scores in equal bins from -1 to 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Histogram {
    /// Counts of known queries.
    pub known: Vec<usize>,
    /// Counts of new queries.
    pub new: Vec<usize>,
}

/// Results of the protocol, averaged over the trials.
#[derive(Clone, Debug, Serialize)]
pub struct OpenSetResult {
    /// Number of random trials.
    pub trials: usize,
    /// Whales enrolled in each trial.
    pub enrolled_whales: usize,
    /// Known queries per trial.
    pub known_queries: f64,
    /// New queries per trial.
    pub new_queries: f64,
    /// Probability that the best score of a known photo is above that of a new one.
    pub auroc: Metric,
    /// Area under the open-set classification rate curve (Dhamija et al., 'Reducing Network
    /// Agnostophobia', NeurIPS 2018).
    pub oscr_area: Metric,
    /// True positive identification rate at a false match rate of 5 %.
    pub tpir_at_5_percent_fmr: Metric,
    /// MAP@5 with `new_whale` inserted at a threshold from the fitting half; `new_whale` is the
    /// right answer for a new photo.
    pub map_at_5_with_new_whale: Metric,
    /// That threshold, averaged over the trials.
    pub new_whale_threshold: f64,
    /// Metrics of the bundle's rule.
    pub rule_of_bundle: Option<RuleMetrics>,
    /// The rule that `flukewatch enroll` fits on the enrolled half; `None` with too few photos.
    pub rule_of_enrolment: Option<RuleMetrics>,
    /// Expected calibration error, in ten bins, of a logistic calibrator fitted on the fitting
    /// half.
    pub expected_calibration_error: f64,
    /// The same of an isotonic calibrator.
    pub expected_calibration_error_isotonic: f64,
    /// The same of the bundle's probabilities as shipped, if it has a calibrator; on all queries.
    pub expected_calibration_error_as_shipped: Option<f64>,
    /// The same where the bundle is told the fraction of new whales in the trials.
    pub expected_calibration_error_as_shipped_at_prior_of_trials: Option<f64>,
    /// The same with the score used as a probability.
    pub expected_calibration_error_of_score: f64,
    /// Reliability of the logistic calibrator.
    pub reliability: [ReliabilityBin; BINS],
    /// The best threshold for several costs of a wrong name.
    pub costs: Vec<CostRow>,
    /// Known photos accepted against new ones, at 101 points.
    pub roc: Vec<CurvePoint>,
    /// Known photos accepted with the right name against new ones, at 101 points.
    pub oscr: Vec<CurvePoint>,
    /// Histogram of best scores.
    pub scores: Histogram,
    /// The same trials with encounters of several photos for queries.
    pub encounters: Vec<EncounterOpenSet>,
}

/// Results with encounters for queries; a whale's score is the mean over the photos.
#[derive(Clone, Debug, Serialize)]
pub struct EncounterOpenSet {
    /// Photos per encounter: `1-5`, as on the boat, or exactly `3` or `5`.
    pub photos: &'static str,
    /// Known queries per trial.
    pub known_queries: f64,
    /// New queries per trial.
    pub new_queries: f64,
    /// As for single photos.
    pub auroc: Metric,
    /// As for single photos.
    pub oscr_area: Metric,
    /// As for single photos.
    pub tpir_at_5_percent_fmr: Metric,
    /// Metrics of the bundle's rule.
    pub rule_of_bundle: Option<RuleMetrics>,
    /// The rule that `flukewatch enroll` fits on the enrolled half; `None` with too few photos.
    pub rule_of_enrolment: Option<RuleMetrics>,
    /// Expected calibration error of a logistic calibrator fitted on the fitting half.
    pub expected_calibration_error: f64,
    /// The same of the bundle's probabilities as shipped, if it has a calibrator; on all queries.
    pub expected_calibration_error_as_shipped: Option<f64>,
    /// The same where the bundle is told the fraction of new whales in the trials.
    pub expected_calibration_error_as_shipped_at_prior_of_trials: Option<f64>,
}

/// A trial prepared for evaluation under any weights of the identities.
struct PreparedTrial<'a> {
    trial: &'a Trial,
    reported: QueriesFor<'a, Report>,
    /// Positions of the queries by descending score.
    order: Vec<usize>,
    new_whale_threshold: Option<f32>,
    bundle: Option<TrialVerdicts>,
    enrolment: Option<TrialVerdicts>,
}

/// Metrics of a trial that get intervals; averaged element by element.
#[derive(Clone, Copy)]
struct TrialMetrics {
    auroc: f64,
    oscr_area: f64,
    tpir_at_5_percent_fmr: f64,
    map_at_5_with_new_whale: f64,
    /// BAKS, BAUS and their balance.
    bundle: [f64; 3],
    enrolment: [f64; 3],
}

impl TrialMetrics {
    const COUNT: usize = 10;

    fn values(self) -> [f64; Self::COUNT] {
        let [a, b, c] = self.bundle;
        let [d, e, f] = self.enrolment;
        [
            self.auroc,
            self.oscr_area,
            self.tpir_at_5_percent_fmr,
            self.map_at_5_with_new_whale,
            a,
            b,
            c,
            d,
            e,
            f,
        ]
    }
}

const CURVE_STEPS: usize = 100;

/// Evaluates open-set identification.
///
/// # Errors
/// If there are too few whales to enrol some, find one again and leave others out.
pub fn measure(
    photos: &LabelledEmbeddings,
    options: &OpenSetOptions,
    bootstrap: &Bootstrap,
) -> Result<OpenSetResult, ProtocolError> {
    let trial_options = TrialOptions {
        trials: options.trials.max(1),
        seed: options.seed,
        always_enrolled: &[],
        purposes: Purposes::HalvesOfEachTrial,
    };
    let run = |queries: Vec<Vec<usize>>| trial::run(photos, &queries, &trial_options);
    let trials = run(single_photos(photos));
    if !usable(&trials) {
        return Err(ProtocolError::TooFewWhales);
    }
    let on_board = run(as_on_board(photos));
    // The same whales are enrolled and fitted on in each kind of trials.
    let enrolment: Vec<Option<DecisionRule>> = on_board.iter().map(Trial::fitted_rule).collect();
    let encounters = [
        ("1-5", on_board),
        ("3", run(of_size(photos, 3))),
        ("5", run(of_size(photos, 5))),
    ]
    .into_iter()
    .filter(|(_, trials)| usable(trials))
    .map(|(size, trials)| with_encounters(size, &trials, options, &enrolment, bootstrap))
    .collect();
    let prepared = prepare(&trials, options, &enrolment);
    let identities = trials[0].identities;
    let equal_weights = vec![1; identities];
    let metrics = metrics_over_trials(&prepared, identities, bootstrap);
    let [rule_of_bundle, rule_of_enrolment] = rules(&prepared, &metrics);
    let [
        auroc,
        oscr_area,
        tpir_at_5_percent_fmr,
        map_at_5_with_new_whale,
        ..,
    ] = metrics;
    let logistic = fitted_reliability(&trials, Curve::Logistic);
    let isotonic = fitted_reliability(&trials, Curve::Isotonic);
    let [as_shipped, at_prior_of_trials] = errors_as_shipped(&trials, options.rule.as_ref());
    let curves = |only_correct| {
        average_curve(
            prepared
                .iter()
                .map(|t| t.curve(&equal_weights, only_correct)),
        )
    };
    Ok(OpenSetResult {
        trials: trials.len(),
        enrolled_whales: trials[0].enrolled.iter().filter(|e| **e).count(),
        known_queries: count(&trials, true),
        new_queries: count(&trials, false),
        auroc,
        oscr_area,
        tpir_at_5_percent_fmr,
        map_at_5_with_new_whale,
        new_whale_threshold: mean(
            prepared
                .iter()
                .filter_map(|t| t.new_whale_threshold.map(f64::from)),
        ),
        rule_of_bundle,
        rule_of_enrolment,
        expected_calibration_error: expected_calibration_error(&logistic),
        expected_calibration_error_isotonic: expected_calibration_error(&isotonic),
        expected_calibration_error_as_shipped: as_shipped,
        expected_calibration_error_as_shipped_at_prior_of_trials: at_prior_of_trials,
        expected_calibration_error_of_score: error_of(&trials, |features| {
            f64::from(features.score).clamp(0.0, 1.0)
        }),
        reliability: logistic,
        costs: threshold::costs(&trials),
        roc: curves(false),
        oscr: curves(true),
        scores: histogram(&trials),
        encounters,
    })
}

/// Whether some trial has known and new queries.
fn usable(trials: &[Trial]) -> bool {
    trials.iter().any(|trial| {
        let known = |known: bool| trial.queries.iter().any(|q| q.is_known() == known);
        known(true) && known(false)
    })
}

/// Queries per trial.
fn count(trials: &[Trial], known: bool) -> f64 {
    mean(trials.iter().map(|trial| {
        let queries = trial.queries.iter().filter(|q| q.is_known() == known);
        queries.count() as f64
    }))
}

fn with_encounters(
    photos: &'static str,
    trials: &[Trial],
    options: &OpenSetOptions,
    enrolment: &[Option<DecisionRule>],
    bootstrap: &Bootstrap,
) -> EncounterOpenSet {
    let prepared = prepare(trials, options, enrolment);
    let metrics = metrics_over_trials(&prepared, trials[0].identities, bootstrap);
    let [rule_of_bundle, rule_of_enrolment] = rules(&prepared, &metrics);
    let [auroc, oscr_area, tpir_at_5_percent_fmr, ..] = metrics;
    let logistic = fitted_reliability(trials, Curve::Logistic);
    let [as_shipped, at_prior_of_trials] = errors_as_shipped(trials, options.rule.as_ref());
    EncounterOpenSet {
        photos,
        known_queries: count(trials, true),
        new_queries: count(trials, false),
        auroc,
        oscr_area,
        tpir_at_5_percent_fmr,
        rule_of_bundle,
        rule_of_enrolment,
        expected_calibration_error: expected_calibration_error(&logistic),
        expected_calibration_error_as_shipped: as_shipped,
        expected_calibration_error_as_shipped_at_prior_of_trials: at_prior_of_trials,
    }
}

fn prepare<'a>(
    trials: &'a [Trial],
    options: &OpenSetOptions,
    enrolment: &[Option<DecisionRule>],
) -> Vec<PreparedTrial<'a>> {
    trials
        .iter()
        .zip(enrolment)
        .map(|(trial, enrolment)| {
            PreparedTrial::new(trial, options.rule.as_ref(), enrolment.as_ref())
        })
        .collect()
}

/// The rates of the bundle's rule and of that of enrolment, with the intervals of
/// [`TrialMetrics::values`].
fn rules(
    prepared: &[PreparedTrial<'_>],
    metrics: &[Metric; TrialMetrics::COUNT],
) -> [Option<RuleMetrics>; 2] {
    let bundle: Vec<&TrialVerdicts> = prepared.iter().filter_map(|t| t.bundle.as_ref()).collect();
    let enrolment: Vec<&TrialVerdicts> = prepared
        .iter()
        .filter_map(|t| t.enrolment.as_ref())
        .collect();
    let balanced = |first: usize| std::array::from_fn(|at| metrics[first + at].clone());
    [
        RuleMetrics::of(&bundle, balanced(4)),
        RuleMetrics::of(&enrolment, balanced(7)),
    ]
}

/// Expected calibration error of a rule's probabilities, which nothing here was fitted on: with its
/// own prior, and with the fraction of new whales in the trials.
fn errors_as_shipped(trials: &[Trial], rule: Option<&DecisionRule>) -> [Option<f64>; 2] {
    let error = |rule: &DecisionRule| {
        let queries = trials.iter().flat_map(|trial| &trial.queries);
        let predictions: Option<Vec<(f64, bool)>> = queries
            .filter_map(|query| Some((query.features()?, query.is_correct())))
            .map(|(features, right)| Some((rule.probability_of(&features)?, right)))
            .collect();
        predictions.map(|p| expected_calibration_error(&reliability(&p)))
    };
    let new = count(trials, false) / (count(trials, true) + count(trials, false));
    let told = rule
        .filter(|rule| rule.prior_new_whales.is_some())
        .map(|rule| rule.clone().expecting_new_whales(new));
    [rule.and_then(error), told.as_ref().and_then(error)]
}

/// The metrics of [`TrialMetrics::values`], with intervals.
fn metrics_over_trials(
    prepared: &[PreparedTrial<'_>],
    identities: usize,
    bootstrap: &Bootstrap,
) -> [Metric; TrialMetrics::COUNT] {
    let values = |weights: &[u32]| -> Vec<[f64; TrialMetrics::COUNT]> {
        prepared
            .iter()
            .map(|t| t.metrics(weights).values())
            .collect()
    };
    let intervals = bootstrap.intervals(identities, |weights| {
        let values = values(weights);
        (0..TrialMetrics::COUNT)
            .map(|at| mean(values.iter().map(|v| v[at])))
            .collect()
    });
    let values = values(&vec![1; identities]);
    std::array::from_fn(|at| Metric {
        interval: intervals[at],
        ..Metric::of_trials(values.iter().map(|v| v[at]).collect())
    })
}

/// Reliability on the evaluation half of calibrators fitted on the fitting half.
fn fitted_reliability(trials: &[Trial], curve: Curve) -> [ReliabilityBin; BINS] {
    let predictions: Vec<(f64, bool)> = trials
        .iter()
        .filter_map(|trial| {
            let fit = QueriesFor::<Fit>::of([trial]).rankings();
            Some((trial, Calibrator::fit(curve, &fit)?))
        })
        .flat_map(|(trial, calibrator)| {
            let reported = QueriesFor::<Report>::of([trial]).rankings().into_iter();
            reported.map(move |(features, right)| (calibrator.probability(&features), right))
        })
        .collect();
    reliability(&predictions)
}

/// Expected calibration error of a probability on the evaluation half.
fn error_of(trials: &[Trial], probability: impl Fn(&RankingFeatures) -> f64) -> f64 {
    let predictions: Vec<(f64, bool)> = QueriesFor::<Report>::of(trials)
        .rankings()
        .into_iter()
        .map(|(features, right)| (probability(&features), right))
        .collect();
    expected_calibration_error(&reliability(&predictions))
}

impl<'a> PreparedTrial<'a> {
    /// The rule of enrolment was fitted on the trial's queries for fitting, the bundle's elsewhere.
    fn new(
        trial: &'a Trial,
        bundle: Option<&DecisionRule>,
        enrolment: Option<&DecisionRule>,
    ) -> Self {
        let score = |at: usize| trial.queries[at].score();
        let mut order: Vec<usize> = (0..trial.queries.len()).collect();
        order.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
        Self {
            trial,
            order,
            reported: QueriesFor::of([trial]),
            new_whale_threshold: threshold::for_new_whale(&QueriesFor::<Fit>::of([trial])),
            bundle: bundle.map(|rule| decide_all(trial, rule)),
            enrolment: enrolment.map(|rule| decide_reported(trial, rule)),
        }
    }

    fn metrics(&self, weights: &[u32]) -> TrialMetrics {
        let oscr = self.curve(weights, true);
        let balanced = |verdicts: &Option<TrialVerdicts>| {
            verdicts
                .as_ref()
                .map_or([f64::NAN; 3], |v| v.balanced(weights))
        };
        TrialMetrics {
            auroc: area(&self.curve(weights, false)),
            oscr_area: area(&oscr),
            tpir_at_5_percent_fmr: known_accepted_at(&oscr, 0.05),
            map_at_5_with_new_whale: self.new_whale_threshold.map_or(f64::NAN, |t| {
                threshold::map_at_5(&self.reported, t, weights)
            }),
            bundle: balanced(&self.bundle),
            enrolment: balanced(&self.enrolment),
        }
    }

    fn curve(&self, weights: &[u32], only_correct: bool) -> Vec<CurvePoint> {
        let mut known = 0.0;
        let photos: Vec<SweptPhoto> = self
            .order
            .iter()
            .map(|&at| {
                let query = &self.trial.queries[at];
                let weight = f64::from(weights[query.identity]);
                if query.is_known() {
                    known += weight;
                }
                let counts = query.is_known() && (query.is_correct() || !only_correct);
                SweptPhoto {
                    score: query.score(),
                    known_weight: if counts { weight } else { 0.0 },
                    new_weight: if query.is_known() { 0.0 } else { weight },
                }
            })
            .collect();
        curve(&photos, known)
    }
}

fn average_curve(curves: impl Iterator<Item = Vec<CurvePoint>>) -> Vec<CurvePoint> {
    let curves: Vec<Vec<CurvePoint>> = curves
        .filter(|c| !c.is_empty())
        .map(|c| sampled(&c, CURVE_STEPS))
        .collect();
    (0..=CURVE_STEPS)
        .map(|i| CurvePoint {
            new_accepted: i as f64 / CURVE_STEPS as f64,
            known_accepted: mean(curves.iter().map(|c| c[i].known_accepted)),
        })
        .collect()
}

fn histogram(trials: &[Trial]) -> Histogram {
    const SCORE_BINS: usize = 50;
    let mut histogram = Histogram {
        known: vec![0; SCORE_BINS],
        new: vec![0; SCORE_BINS],
    };
    for query in trials
        .iter()
        .flat_map(|t| &t.queries)
        .filter(|q| !q.top.is_empty())
    {
        let bin = (query.score() + 1.0) / 2.0 * SCORE_BINS as f32;
        let side = if query.is_known() {
            &mut histogram.known
        } else {
            &mut histogram.new
        };
        side[(bin.max(0.0) as usize).min(SCORE_BINS - 1)] += 1;
    }
    histogram
}

#[cfg(test)]
mod tests;
