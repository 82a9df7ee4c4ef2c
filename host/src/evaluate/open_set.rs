//! The open set: half of the whales are enrolled, and of every photo the question is whether its whale is among them, and which.
//!
//! Half of the whales are drawn from the seed and enrolled, several times over. A photo of an enrolled whale with two photos or
//! more is a *known* query, looked up among the other enrolled photos; every photo of the other whales, and every photo without
//! a name, is a *new* one. What has to be fitted (chances, thresholds) is fitted on the queries of one half of the whales, known
//! and new, and measured on those of the other half.

mod draw;
mod rule;
mod threshold;

pub use draw::{Draw, Drawing, Query, draws};
pub use rule::{RuleFigures, rule_figures, verdict};
pub use threshold::{CostRow, place_new_whale};

use super::EvaluateError;
use super::bootstrap::{Bootstrap, Interval};
use super::labelled::LabelledEmbeddings;
use super::reliability::{BINS, Bin, calibration_error, reliability};
use super::sweep::{Mark, Point, area, curve, hit_at, sampled};
use flukewatch_common::decision::{Chance, Curve, DecisionRule, Evidence};
use rule::{Judged, judge};
use serde::Serialize;

/// What the protocol is run with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Times that half of the whales are drawn.
    pub draws: usize,
    /// Draws follow from it.
    pub seed: u64,
    /// A rule to judge; a bundle's.
    pub rule: Option<DecisionRule>,
}

/// A figure: its mean over the draws, its interval and what each draw gave.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// Mean over the draws.
    pub value: f64,
    /// Drawn by whale, all draws of halves together.
    pub interval: Option<Interval>,
    /// Each draw.
    pub by_draw: Vec<f64>,
}

/// Best scores counted between -1 and 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Histogram {
    /// Of known queries.
    pub known: Vec<usize>,
    /// Of new ones.
    pub new: Vec<usize>,
}

/// What the protocol finds, averaged over the draws.
#[derive(Clone, Debug, Serialize)]
pub struct OpenSet {
    /// Draws of half of the whales.
    pub draws: usize,
    /// Whales enrolled at each draw.
    pub enrolled_whales: usize,
    /// Known queries of a draw, on average.
    pub known_queries: f64,
    /// New queries of a draw, on average.
    pub new_queries: f64,
    /// The chance that the best score of a known photo is above that of a new one.
    pub auroc: Figure,
    /// Area under the open-set classification rate (Dhamija et al., 'Reducing Network Agnostophobia', NeurIPS 2018).
    pub oscr_area: Figure,
    /// Share of known photos rightly named at the threshold that 5 % of the new ones pass.
    pub named_at_5_percent: Figure,
    /// MAP@5 with `new_whale` placed by a threshold from the other half of the whales; the answer for a new photo is `new_whale`.
    pub map_at_5_with_new: Figure,
    /// That threshold, averaged over the draws.
    pub new_whale_at: f64,
    /// Under the bundle's rule as it is.
    pub rule_as_shipped: Option<RuleFigures>,
    /// Under the rule that `flukewatch enroll` sets on the enrolled half; `None` with too few photos.
    pub rule_as_enrolled: Option<RuleFigures>,
    /// Expected calibration error of the chance that the first whale is right, in ten bins: by a curve fitted on one half of the
    /// whales and measured on the other.
    pub calibration_error: f64,
    /// The same by an isotonic curve.
    pub calibration_error_isotonic: f64,
    /// The same by the bundle's own curve, if it has one.
    pub calibration_error_as_shipped: Option<f64>,
    /// The same where the score itself is taken for a chance: what calibration mends.
    pub calibration_error_of_scores: f64,
    /// What came true at each chance named.
    pub reliability: [Bin; BINS],
    /// The best threshold for several prices of a wrong name.
    pub costs: Vec<CostRow>,
    /// Known photos passing against new ones, at 101 shares.
    pub roc: Vec<Point>,
    /// Known photos passing with the right name against new ones, at 101 shares.
    pub oscr: Vec<Point>,
    /// Best scores.
    pub scores: Histogram,
}

/// The photo of a known or new query in order of falling best score, ready to be swept under any weights of the whales.
struct Sweep<'a> {
    draw: &'a Draw,
    order: Vec<usize>,
    threshold: Option<f32>,
    judged: [Option<Judged>; 2],
}

const FIGURES: usize = 10;
const CURVE_STEPS: usize = 100;

/// Runs the protocol.
///
/// # Errors
/// When there are too few whales to enrol some, to find one again and to leave others out.
pub fn measure(
    photos: &LabelledEmbeddings,
    options: &Options,
    bootstrap: &Bootstrap,
) -> Result<OpenSet, EvaluateError> {
    let drawing = Drawing {
        draws: options.draws.max(1),
        seed: options.seed,
        always: &[],
    };
    let draws = draws(photos, &drawing);
    let usable =
        |d: &Draw| d.queries.iter().any(Query::is_known) && d.queries.iter().any(|q| !q.is_known());
    if !draws.iter().any(usable) {
        return Err(EvaluateError::NothingOpen);
    }
    let sweeps: Vec<Sweep<'_>> = draws
        .iter()
        .map(|d| Sweep::new(d, options.rule.as_ref()))
        .collect();
    let identities = draws.first().map_or(0, |d| d.identities);
    let once = vec![1; identities];
    let by_draw: Vec<[f64; FIGURES]> = sweeps.iter().map(|s| s.figures(&once)).collect();
    let averages = |weights: &[u32]| {
        let by_draw: Vec<[f64; FIGURES]> = sweeps.iter().map(|s| s.figures(weights)).collect();
        (0..FIGURES)
            .map(|at| mean(by_draw.iter().map(|f| f[at])))
            .collect()
    };
    let intervals = bootstrap.intervals(identities, averages);
    let figure = |at: usize| Figure {
        value: mean(by_draw.iter().map(|f| f[at])),
        interval: intervals.get(at).copied().flatten(),
        by_draw: by_draw.iter().map(|f| f[at]).collect(),
    };
    let rule = |which: usize, first: usize| {
        let judged: Vec<&Judged> = sweeps
            .iter()
            .filter_map(|s| s.judged[which].as_ref())
            .collect();
        RuleFigures::of(
            &judged,
            [figure(first), figure(first + 1), figure(first + 2)],
        )
    };
    let fitted = |curve: Curve| {
        let chances: Vec<(f64, bool)> = draws
            .iter()
            .flat_map(|draw| chances_named(draw, &Chance::fit(curve, &cases(draw, true))))
            .collect();
        reliability(&chances)
    };
    let by = |chance: &dyn Fn(&Evidence) -> f64| {
        let chances: Vec<(f64, bool)> = draws
            .iter()
            .flat_map(|draw| cases(draw, false))
            .map(|(evidence, right)| (chance(&evidence), right))
            .collect();
        calibration_error(&reliability(&chances))
    };
    let shipped = options.rule.as_ref().and_then(|rule| rule.chance.as_ref());
    let bins = fitted(Curve::Logistic);
    let curves = |right: bool| average_curve(sweeps.iter().map(|s| s.curve(&once, right)));
    let count = |known: bool| {
        mean(
            draws
                .iter()
                .map(|d| d.queries.iter().filter(|q| q.is_known() == known).count() as f64),
        )
    };
    Ok(OpenSet {
        draws: draws.len(),
        enrolled_whales: draws
            .first()
            .map_or(0, |d| d.enrolled.iter().filter(|e| **e).count()),
        known_queries: count(true),
        new_queries: count(false),
        auroc: figure(0),
        oscr_area: figure(1),
        named_at_5_percent: figure(2),
        map_at_5_with_new: figure(3),
        new_whale_at: mean(sweeps.iter().filter_map(|s| s.threshold.map(f64::from))),
        rule_as_shipped: rule(0, 4),
        rule_as_enrolled: rule(1, 7),
        calibration_error: calibration_error(&bins),
        calibration_error_isotonic: calibration_error(&fitted(Curve::Isotonic)),
        calibration_error_as_shipped: shipped.map(|chance| by(&|evidence| chance.of(evidence))),
        calibration_error_of_scores: by(&|evidence| f64::from(evidence.score).clamp(0.0, 1.0)),
        reliability: bins,
        costs: threshold::costs(&draws),
        roc: curves(false),
        oscr: curves(true),
        scores: histogram(&draws),
    })
}

impl<'a> Sweep<'a> {
    fn new(draw: &'a Draw, rule: Option<&DecisionRule>) -> Self {
        let mut order: Vec<usize> = (0..draw.queries.len()).collect();
        order.sort_by(|&a, &b| draw.queries[b].score().total_cmp(&draw.queries[a].score()));
        Self {
            draw,
            order,
            threshold: threshold::for_new_whale(draw),
            judged: [
                rule.map(|rule| judge(draw, rule)),
                draw.fitted_rule().map(|rule| judge(draw, &rule)),
            ],
        }
    }

    /// AUROC, area of OSCR, named at 5 %, MAP@5, then BAKS, BAUS and their balance under both rules.
    fn figures(&self, weights: &[u32]) -> [f64; FIGURES] {
        let oscr = self.curve(weights, true);
        let [shipped, enrolled] = self.judged.each_ref().map(|judged| {
            judged
                .as_ref()
                .map_or([f64::NAN; 3], |j| j.balanced(weights))
        });
        [
            area(&self.curve(weights, false)),
            area(&oscr),
            hit_at(&oscr, 0.05),
            self.threshold
                .map_or(f64::NAN, |t| threshold::map_at_5(self.draw, t, weights)),
            shipped[0],
            shipped[1],
            shipped[2],
            enrolled[0],
            enrolled[1],
            enrolled[2],
        ]
    }

    fn curve(&self, weights: &[u32], only_right: bool) -> Vec<Point> {
        let mut known = 0.0;
        let marks: Vec<Mark> = self
            .order
            .iter()
            .map(|&at| {
                let query = &self.draw.queries[at];
                let weight = f64::from(weights[query.identity]);
                if query.is_known() {
                    known += weight;
                }
                let hit = query.is_known() && (query.is_right() || !only_right);
                Mark {
                    score: query.score(),
                    hit: if hit { weight } else { 0.0 },
                    new: if query.is_known() { 0.0 } else { weight },
                }
            })
            .collect();
        curve(&marks, known)
    }
}

/// The looks of one half of the whales: what is known of the ranking, and whether its first whale is right.
pub fn cases(draw: &Draw, fit: bool) -> Vec<(Evidence, bool)> {
    let of_half = draw.queries.iter().filter(|q| q.fit == fit);
    of_half
        .filter_map(|q| Some((q.evidence()?, q.is_right())))
        .collect()
}

/// The chances that a curve of the other half names on the measured half of a draw.
fn chances_named(draw: &Draw, chance: &Option<Chance>) -> Vec<(f64, bool)> {
    let Some(chance) = chance else {
        return vec![];
    };
    cases(draw, false)
        .iter()
        .map(|(evidence, right)| (chance.of(evidence), *right))
        .collect()
}

fn average_curve(curves: impl Iterator<Item = Vec<Point>>) -> Vec<Point> {
    let curves: Vec<Vec<Point>> = curves
        .filter(|c| !c.is_empty())
        .map(|c| sampled(&c, CURVE_STEPS))
        .collect();
    (0..=CURVE_STEPS)
        .map(|i| Point {
            new: i as f64 / CURVE_STEPS as f64,
            hit: mean(curves.iter().map(|c| c[i].hit)),
        })
        .collect()
}

fn histogram(draws: &[Draw]) -> Histogram {
    const BINS: usize = 50;
    let mut found = Histogram {
        known: vec![0; BINS],
        new: vec![0; BINS],
    };
    for query in draws
        .iter()
        .flat_map(|d| &d.queries)
        .filter(|q| !q.top.is_empty())
    {
        let place = (query.score() + 1.0) / 2.0 * BINS as f32;
        let side = if query.is_known() {
            &mut found.known
        } else {
            &mut found.new
        };
        side[(place.max(0.0) as usize).min(BINS - 1)] += 1;
    }
    found
}

/// The mean of the values that are finite; NaN where none is.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let finite: Vec<f64> = values.filter(|v| v.is_finite()).collect();
    finite.iter().sum::<f64>() / finite.len() as f64
}

#[cfg(test)]
mod tests;
