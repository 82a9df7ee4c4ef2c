//! Thresholds fitted on one half of the whales and evaluated on the other.

use crate::metrics::map_at_5::precision_with_new_whale;
use crate::protocols::open_set::metric::mean;
use crate::protocols::open_set::purpose::{Fit, Report};
use crate::protocols::open_set::queries::QueriesFor;
use crate::protocols::open_set::trial::{Query, Trial};
use serde::Serialize;

/// MAP@5 with `new_whale` of one query.
fn precision(query: &Query, threshold: f32) -> f64 {
    let ranking = query.top.iter().map(|c| (c.whale, c.score));
    precision_with_new_whale(ranking, query.known, threshold)
}

/// The threshold of `new_whale` with the best MAP@5 on the fitting half; `None` if it is empty.
pub(super) fn for_new_whale(queries: &QueriesFor<'_, Fit>) -> Option<f32> {
    const CANDIDATES: usize = 200;
    let half: Vec<&Query> = queries.iter().collect();
    let mut scores: Vec<f32> = half
        .iter()
        .flat_map(|q| q.top.iter().map(|c| c.score))
        .collect();
    scores.sort_by(f32::total_cmp);
    let last = scores.len().checked_sub(1)?;
    let mut best: Option<(f64, f32)> = None;
    // Midpoints between neighbours and above all scores: at a score itself, rounding would decide.
    let between = (0..=CANDIDATES)
        .map(|i| last * i / CANDIDATES)
        .map(|i| (scores[i] + scores[i.saturating_sub(1)]) / 2.0);
    for at in between.chain([scores[last].next_up()]) {
        let sum: f64 = half.iter().map(|q| precision(q, at)).sum();
        if best.is_none_or(|(b, _)| sum > b) {
            best = Some((sum, at));
        }
    }
    best.map(|(_, at)| at)
}

/// MAP@5 on the evaluation half.
pub(super) fn map_at_5(queries: &QueriesFor<'_, Report>, threshold: f32, weights: &[u32]) -> f64 {
    let (mut sum, mut photos) = (0.0, 0.0);
    for query in queries.iter() {
        let weight = f64::from(weights[query.identity]);
        sum += weight * precision(query, threshold);
        photos += weight;
    }
    sum / photos
}

/// The threshold with the lowest cost for a given cost of a wrong name, averaged over the trials.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CostRow {
    /// Cost of a wrong name, in known photos left unnamed.
    pub wrong_name_cost: f64,
    /// Lowest score that gets a name.
    pub threshold: f64,
    /// Known photos that get the right name.
    pub true_identification_rate: f64,
    /// Known photos that get a wrong name.
    pub misidentification_rate: f64,
    /// New photos that get a name.
    pub false_match_rate: f64,
}

const WRONG_NAME_COSTS: [f64; 5] = [1.0, 2.0, 5.0, 10.0, 50.0];

pub(super) fn costs(trials: &[Trial]) -> Vec<CostRow> {
    WRONG_NAME_COSTS
        .into_iter()
        .filter_map(|wrong_name_cost| {
            let rows: Vec<CostRow> = trials
                .iter()
                .filter_map(|trial| {
                    let fit = QueriesFor::<Fit>::of([trial]);
                    let report = QueriesFor::<Report>::of([trial]);
                    let threshold = cheapest(&fit, wrong_name_cost)?;
                    Some(cost_row(&report, wrong_name_cost, threshold))
                })
                .collect();
            let average = |value: &dyn Fn(&CostRow) -> f64| mean(rows.iter().map(value));
            (!rows.is_empty()).then(|| CostRow {
                wrong_name_cost,
                threshold: average(&|r| r.threshold),
                true_identification_rate: average(&|r| r.true_identification_rate),
                misidentification_rate: average(&|r| r.misidentification_rate),
                false_match_rate: average(&|r| r.false_match_rate),
            })
        })
        .collect()
}

fn cheapest(queries: &QueriesFor<'_, Fit>, wrong_name_cost: f64) -> Option<f32> {
    let mut half: Vec<&Query> = queries.iter().collect();
    half.sort_by(|a, b| b.score().total_cmp(&a.score()));
    // From a threshold above all scores downwards: a wrong name costs `wrong_name_cost`, naming a
    // known photo saves 1.
    let mut best = (0.0, half.first()?.score().next_up());
    let mut cost = 0.0;
    for same in half.chunk_by(|a, b| a.score() == b.score()) {
        for query in same {
            cost += if query.is_correct() {
                0.0
            } else {
                wrong_name_cost
            };
            cost -= f64::from(u8::from(query.is_known()));
        }
        if cost < best.0 {
            best = (cost, same[0].score());
        }
    }
    Some(best.1)
}

fn cost_row(queries: &QueriesFor<'_, Report>, wrong_name_cost: f64, threshold: f32) -> CostRow {
    let fraction = |among: &dyn Fn(&Query) -> bool, what: &dyn Fn(&Query) -> bool| {
        let all: Vec<&Query> = queries.iter().filter(|q| among(q)).collect();
        all.iter()
            .filter(|q| q.score() >= threshold && what(q))
            .count() as f64
            / all.len() as f64
    };
    CostRow {
        wrong_name_cost,
        threshold: f64::from(threshold),
        true_identification_rate: fraction(&Query::is_known, &Query::is_correct),
        misidentification_rate: fraction(&Query::is_known, &|q| !q.is_correct()),
        false_match_rate: fraction(&|q| !q.is_known(), &|_| true),
    }
}
