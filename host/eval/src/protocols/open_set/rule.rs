//! Evaluation of a decision rule on known and new photos.

use crate::protocols::open_set::metric::{Metric, mean};
use crate::protocols::open_set::purpose::Report;
use crate::protocols::open_set::queries::QueriesFor;
use crate::protocols::open_set::trial::{Query, Trial};
use flukewatch_common::catalogue::Match;
use flukewatch_common::decision::{Decision, DecisionRule};
use serde::Serialize;

/// The verdicts of a rule in one trial.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TrialVerdicts {
    known_at: f64,
    new_below: f64,
    /// Counts of known queries: correct, wrong whale, review, new.
    known: [usize; 4],
    /// Counts of new queries: known, review, new.
    new: [usize; 3],
    /// For each identity with queries: its number, whether it is known, fraction of correct
    /// verdicts.
    by_identity: Vec<(usize, bool, f64)>,
}

/// The verdict of a rule on a query. The name of a known whale is its number.
pub(crate) fn verdict(query: &Query, rule: &DecisionRule) -> Decision {
    let ranking: Vec<Match> = query
        .top
        .iter()
        .take(1)
        .map(|c| Match {
            whale: c.whale.to_string(),
            score: c.score,
            photo: String::new(),
        })
        .collect();
    rule.decide(&ranking)
}

/// Decides every query of a trial, by a rule that was fitted elsewhere.
pub(super) fn decide_all(trial: &Trial, rule: &DecisionRule) -> TrialVerdicts {
    decide(trial.queries.iter(), trial.identities, rule)
}

/// Decides the queries of a trial that are for reporting, by a rule that was fitted on others of
/// the trial.
pub(super) fn decide_reported(trial: &Trial, rule: &DecisionRule) -> TrialVerdicts {
    let queries = QueriesFor::<Report>::of([trial]);
    decide(queries.iter(), trial.identities, rule)
}

fn decide<'q>(
    queries: impl Iterator<Item = &'q Query>,
    identities: usize,
    rule: &DecisionRule,
) -> TrialVerdicts {
    let (mut known, mut new) = ([0; 4], [0; 3]);
    let mut sums = vec![(0usize, 0usize); identities];
    let mut is_known = vec![false; identities];
    for query in queries {
        let correct = match (query.is_known(), verdict(query, rule)) {
            (true, Decision::Known { .. }) => {
                known[usize::from(!query.is_correct())] += 1;
                query.is_correct()
            }
            (true, Decision::Review) => {
                known[2] += 1;
                false
            }
            (true, Decision::New) => {
                known[3] += 1;
                false
            }
            (false, Decision::Known { .. }) => {
                new[0] += 1;
                false
            }
            (false, Decision::Review) => {
                new[1] += 1;
                false
            }
            (false, Decision::New) => {
                new[2] += 1;
                true
            }
        };
        is_known[query.identity] = query.is_known();
        let (corrects, photos) = &mut sums[query.identity];
        *corrects += usize::from(correct);
        *photos += 1;
    }
    TrialVerdicts {
        known_at: f64::from(rule.known_at),
        new_below: f64::from(rule.new_below),
        known,
        new,
        by_identity: sums
            .iter()
            .enumerate()
            .filter(|(_, (_, photos))| *photos > 0)
            .map(|(i, (corrects, photos))| (i, is_known[i], *corrects as f64 / *photos as f64))
            .collect(),
    }
}

impl TrialVerdicts {
    /// BAKS, BAUS and their geometric mean under weights of the identities.
    pub(super) fn balanced(&self, weights: &[u32]) -> [f64; 3] {
        let average = |known: bool| {
            let (mut sum, mut whales) = (0.0, 0.0);
            for (identity, _, fraction) in self.by_identity.iter().filter(|(_, k, _)| *k == known) {
                sum += f64::from(weights[*identity]) * fraction;
                whales += f64::from(weights[*identity]);
            }
            sum / whales
        };
        let (baks, baus) = (average(true), average(false));
        [baks, baus, (baks * baus).sqrt()]
    }
}

/// Rates of a rule, as fractions of photos averaged over the trials.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleMetrics {
    /// Threshold for known whales.
    pub known_at: f64,
    /// Threshold for new whales.
    pub new_below: f64,
    /// Known photos that get the right name.
    pub true_identification_rate: f64,
    /// Known photos that get a wrong name.
    pub misidentification_rate: f64,
    /// Known photos that go to review.
    pub known_review_rate: f64,
    /// Known photos called new.
    pub false_new_rate: f64,
    /// New photos that get a name.
    pub false_match_rate: f64,
    /// New photos that go to review.
    pub new_review_rate: f64,
    /// New photos called new.
    pub true_new_rate: f64,
    /// Balanced accuracy on known whales (BAKS): fraction that gets the right name, averaged by
    /// whale.
    pub baks: Metric,
    /// Balanced accuracy on unknown whales (BAUS): fraction called new, averaged by whale.
    pub baus: Metric,
    /// Geometric mean of BAKS and BAUS.
    pub balanced: Metric,
}

/// Evaluates a rule on the queries of the trials that are for reporting, without intervals; `None`
/// without a known or a new one.
pub(crate) fn rule_metrics(trials: &[Trial], rule: &DecisionRule) -> Option<RuleMetrics> {
    let queries = QueriesFor::<Report>::of(trials);
    if queries.scores(true).is_empty() || queries.scores(false).is_empty() {
        return None;
    }
    let identities = trials.iter().map(|t| t.identities).max().unwrap_or(0);
    let verdicts: Vec<TrialVerdicts> = trials
        .iter()
        .map(|trial| decide_reported(trial, rule))
        .collect();
    let once = vec![1; identities];
    let balanced: Vec<[f64; 3]> = verdicts.iter().map(|v| v.balanced(&once)).collect();
    let metric = |at: usize| Metric::of_trials(balanced.iter().map(|b| b[at]).collect());
    RuleMetrics::of(
        &verdicts.iter().collect::<Vec<_>>(),
        [metric(0), metric(1), metric(2)],
    )
}

impl RuleMetrics {
    pub(super) fn of(
        verdicts: &[&TrialVerdicts],
        [baks, baus, balanced]: [Metric; 3],
    ) -> Option<Self> {
        let average =
            |value: &dyn Fn(&TrialVerdicts) -> f64| mean(verdicts.iter().map(|v| value(v)));
        let known =
            |at: usize| average(&|v| v.known[at] as f64 / v.known.iter().sum::<usize>() as f64);
        let new = |at: usize| average(&|v| v.new[at] as f64 / v.new.iter().sum::<usize>() as f64);
        (!verdicts.is_empty()).then(|| Self {
            known_at: average(&|v| v.known_at),
            new_below: average(&|v| v.new_below),
            true_identification_rate: known(0),
            misidentification_rate: known(1),
            known_review_rate: known(2),
            false_new_rate: known(3),
            false_match_rate: new(0),
            new_review_rate: new(1),
            true_new_rate: new(2),
            baks,
            baus,
            balanced,
        })
    }
}
