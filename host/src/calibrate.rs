//! `flukewatch calibrate`: the decision rule fitted on whales apart, against the catalogue that the boat carries.
//!
//! Half of the new photos' whales are enrolled beside the catalogue, several draws over; photos of these are known looks, photos of
//! the others are new ones. Both meet the whole catalogue, so that the thresholds are those of its size.

pub mod command;

use crate::evaluate::labelled::{LabelledEmbeddings, PhotoLabel};
use crate::evaluate::open_set::{Draw, Drawing, RuleFigures, cases, draws, rule_figures};
use crate::evaluate::reliability::{BINS, Bin, calibration_error, reliability};
use flukewatch_common::catalogue::Catalogue;
use flukewatch_common::decision::{Chance, Curve, DecisionRule, ENOUGH, Evidence, Limits};
use flukewatch_common::embedding::Embedding;
use flukewatch_common::whale_score::WhaleScore;
use serde::Serialize;
use std::collections::BTreeSet;

/// How a whale's score is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scoring {
    /// As told.
    Fixed(WhaleScore),
    /// Of several ways, the one whose chances, fitted on one half of the whales, fit the other half best.
    Learned,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What the rule may cost.
    pub limits: Limits,
    /// Which curve names the chance.
    pub curve: Curve,
    /// How whales are scored.
    pub scoring: Scoring,
    /// Times that half of the whales are drawn.
    pub draws: usize,
    /// Draws follow from it.
    pub seed: u64,
}

/// Why nothing was fitted.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum CalibrateError {
    /// Too few photos of either kind.
    #[error(
        "too few photos to fit on: {known} could be looked up as known and {new} as new, where {ENOUGH} of each are the least; give \
         more whales, and some with two photos or more"
    )]
    TooFew {
        /// Different photos looked up as known.
        known: usize,
        /// Different photos looked up as new.
        new: usize,
    },
    /// Embeddings of another model.
    #[error("the photos' embeddings do not belong to the catalogue: {0}")]
    Embeddings(String),
}

/// What was measured on whales that the rule was not fitted on.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// What the rule makes of known and new photos.
    pub rule: RuleFigures,
    /// The expected calibration error of its chance; of its score where it has no chance.
    pub calibration_error: f64,
}

/// A fitted rule, and what it is worth.
#[derive(Clone, Debug, Serialize)]
pub struct Calibrated {
    /// The rule, fitted on all of the looks.
    pub rule: DecisionRule,
    /// The rule as it was.
    pub before: Measured,
    /// Rules fitted on one half of the whales, on the other half.
    pub after: Measured,
    /// What came true at each chance that those rules named.
    pub reliability: [Bin; BINS],
    /// Photos looked up.
    pub photos: usize,
    /// Their whales; photos without a name count as one whale each.
    pub whales: usize,
    /// Photos of the catalogue beside them.
    pub enrolled: usize,
    /// Photos left out because the catalogue holds a whale of that name: those are not apart.
    pub left_out: usize,
}

/// Fits a rule for `catalogue` on the labelled photos.
///
/// # Errors
/// When there are too few photos, or they are not of the catalogue's model.
pub fn calibrate(
    catalogue: &Catalogue,
    photos: &[(PhotoLabel, Embedding)],
    old: &DecisionRule,
    options: &Options,
) -> Result<Calibrated, CalibrateError> {
    let enrolled: BTreeSet<&str> = catalogue
        .entries()
        .iter()
        .map(|e| e.whale.as_str())
        .collect();
    let apart: Vec<&(PhotoLabel, Embedding)> = photos
        .iter()
        .filter(|(label, _)| !label.whale.as_deref().is_some_and(|w| enrolled.contains(w)))
        .collect();
    let all = together(catalogue, &apart)?;
    let always: Vec<bool> = all
        .whales()
        .iter()
        .map(|w| enrolled.contains(w.as_str()))
        .collect();
    let drawing = Drawing {
        draws: options.draws.max(1),
        seed: options.seed,
        always: &always,
    };
    let draws_by = |way: WhaleScore| draws(&all.clone().scored_by(way), &drawing);
    let way = match options.scoring {
        Scoring::Fixed(way) => way,
        Scoring::Learned => learned(options.curve, draws_by),
    };
    let drawn = draws_by(way);
    // A photo that is looked up in several draws is one photo still.
    let different = |known: bool| {
        let queries = drawn.iter().flat_map(|d| &d.queries);
        let photos: BTreeSet<usize> = queries
            .filter(|q| q.is_known() == known)
            .map(|q| q.photo)
            .collect();
        photos.len()
    };
    let (known, new) = (different(true), different(false));
    let too_few = || CalibrateError::TooFew { known, new };
    if known < ENOUGH || new < ENOUGH {
        return Err(too_few());
    }
    let fitted = fit(&drawn, |_| true, options, way).ok_or_else(too_few)?;
    let scored_as_before;
    let as_it_was = if old.whale_score == way {
        &drawn
    } else {
        scored_as_before = draws_by(old.whale_score);
        &scored_as_before
    };
    let (before, _) =
        measure(as_it_was, &vec![old.clone(); as_it_was.len()]).ok_or_else(too_few)?;
    // Where one half alone is too small to fit on, the rule of all looks is measured, which flatters it.
    let of_halves: Vec<DecisionRule> = drawn
        .iter()
        .map(|draw| {
            fit(std::slice::from_ref(draw), |fit| fit, options, way)
                .unwrap_or_else(|| fitted.clone())
        })
        .collect();
    let (after, reliability) = measure(&drawn, &of_halves).ok_or_else(too_few)?;
    let whales = all.whales().len() - enrolled.len()
        + apart
            .iter()
            .filter(|(label, _)| label.whale.is_none())
            .count();
    Ok(Calibrated {
        rule: DecisionRule {
            fitted_on: format!(
                "{} photos of {whales} whales apart, against {} photos of {} whales enrolled",
                apart.len(),
                catalogue.len(),
                enrolled.len()
            ),
            ..fitted
        },
        before,
        after,
        reliability,
        photos: apart.len(),
        whales,
        enrolled: catalogue.len(),
        left_out: photos.len() - apart.len(),
    })
}

/// The catalogue's photos, and behind them those that are looked up.
fn together(
    catalogue: &Catalogue,
    apart: &[&(PhotoLabel, Embedding)],
) -> Result<LabelledEmbeddings, CalibrateError> {
    let enrolled = catalogue.entries().iter().map(|entry| PhotoLabel {
        name: entry.photo.clone(),
        whale: Some(entry.whale.clone()),
        ..PhotoLabel::default()
    });
    let labels = enrolled
        .chain(apart.iter().map(|(label, _)| label.clone()))
        .collect();
    let numbers: Vec<f32> = (0..catalogue.len())
        .flat_map(|i| catalogue.embedding(i).iter().copied())
        .chain(apart.iter().flat_map(|(_, e)| e.as_slice().iter().copied()))
        .collect();
    LabelledEmbeddings::new(labels, catalogue.dimension(), numbers)
        .map_err(|e| CalibrateError::Embeddings(e.to_string()))
}

/// A rule from the looks of these draws on whales of the half that `half` chooses.
fn fit(
    draws: &[Draw],
    half: impl Fn(bool) -> bool,
    options: &Options,
    way: WhaleScore,
) -> Option<DecisionRule> {
    let queries = || {
        draws
            .iter()
            .flat_map(|d| &d.queries)
            .filter(|q| half(q.fit))
    };
    let scores = |known: bool| -> Vec<f32> {
        queries()
            .filter(|q| q.is_known() == known && !q.top.is_empty())
            .map(|q| q.score())
            .collect()
    };
    let looks: Vec<(Evidence, bool)> = queries()
        .filter_map(|q| Some((q.evidence()?, q.is_right())))
        .collect();
    let rule = DecisionRule::fit(
        &scores(true),
        &scores(false),
        &options.limits,
        String::new(),
    )?;
    Some(DecisionRule {
        whale_score: way,
        chance: Chance::fit(options.curve, &looks),
        ..rule
    })
}

/// What each draw's rule makes of the half that it was not fitted on, and what came true at each chance that it names there; the
/// score where it has no chance. `None` without a draw.
fn measure(draws: &[Draw], rules: &[DecisionRule]) -> Option<(Measured, [Bin; BINS])> {
    let chances: Vec<(f64, bool)> = draws
        .iter()
        .zip(rules)
        .flat_map(|(draw, rule)| {
            cases(draw, false).into_iter().map(|(evidence, right)| {
                let chance = match &rule.chance {
                    Some(chance) => chance.of(&evidence),
                    None => f64::from(evidence.score).clamp(0.0, 1.0),
                };
                (chance, right)
            })
        })
        .collect();
    let bins = reliability(&chances);
    let halves: Vec<Draw> = draws.iter().map(Draw::measured).collect();
    let measured = Measured {
        rule: rule_figures(halves.iter().zip(rules))?,
        calibration_error: calibration_error(&bins),
    };
    Some((measured, bins))
}

/// The ways of scoring that are tried.
fn ways() -> impl Iterator<Item = WhaleScore> {
    let blends = [2, 3, 5].into_iter().flat_map(|of_top| {
        [0.0, 0.25, 0.5, 0.75]
            .into_iter()
            .map(move |best| WhaleScore { best, of_top })
    });
    std::iter::once(WhaleScore::BEST).chain(blends)
}

/// The way with the lowest log loss on whales that its chances were not fitted on; the first of equals.
fn learned(curve: Curve, draws_by: impl Fn(WhaleScore) -> Vec<Draw>) -> WhaleScore {
    let loss = |way: WhaleScore| {
        let (mut sum, mut looks) = (0.0, 0usize);
        for draw in draws_by(way) {
            let Some(chance) = Chance::fit(curve, &cases(&draw, true)) else {
                continue;
            };
            for (evidence, right) in cases(&draw, false) {
                let p = chance.of(&evidence).clamp(1e-6, 1.0 - 1e-6);
                // A known whale that is not first is as wrong as a new one that is named: only the right first whale counts.
                sum -= if right { p.ln() } else { (1.0 - p).ln() };
                looks += 1;
            }
        }
        if looks == 0 {
            f64::INFINITY
        } else {
            sum / looks as f64
        }
    };
    let mut best = (f64::INFINITY, WhaleScore::BEST);
    for way in ways() {
        let loss = loss(way);
        if loss < best.0 {
            best = (loss, way);
        }
    }
    best.1
}

#[cfg(test)]
mod tests;
