//! Thresholds fitted on one half of the whales and measured on the other.

use super::{Draw, Query, mean};
use crate::evaluate::retrieval::KEPT;
use crate::evaluate::search::Candidate;
use serde::Serialize;

/// Where `new_whale` stands in a list of five, from 0: behind the whales that score `at` or more. `None` where five do.
pub fn place_new_whale(top: &[Candidate], at: f32) -> Option<usize> {
    let place = top.iter().take(KEPT).filter(|c| c.score >= at).count();
    (place < KEPT).then_some(place)
}

/// 1 / the place of the right answer in the list of five with `new_whale` in it, 0 where it is not there.
fn precision(query: &Query, at: f32) -> f64 {
    let place = place_new_whale(&query.top, at);
    let rank = match query.known {
        None => place,
        Some(whale) => {
            let own = query.top.iter().position(|c| c.whale == whale);
            own.map(|own| own + usize::from(place.is_some_and(|p| p <= own)))
        }
    };
    rank.filter(|&r| r < KEPT)
        .map_or(0.0, |r| 1.0 / (r + 1) as f64)
}

/// The threshold of `new_whale` with the best MAP@5 on the half that is fitted on; `None` where that half is empty.
pub fn for_new_whale(draw: &Draw) -> Option<f32> {
    const TRIED: usize = 200;
    let half: Vec<&Query> = draw.queries.iter().filter(|q| q.fit).collect();
    let mut scores: Vec<f32> = half
        .iter()
        .flat_map(|q| q.top.iter().map(|c| c.score))
        .collect();
    scores.sort_by(f32::total_cmp);
    let last = scores.len().checked_sub(1)?;
    let mut best: Option<(f64, f32)> = None;
    // Half-way between neighbours, and above them all: on a score itself, rounding would decide.
    let between = (0..=TRIED)
        .map(|i| last * i / TRIED)
        .map(|i| (scores[i] + scores[i.saturating_sub(1)]) / 2.0);
    for at in between.chain([scores[last].next_up()]) {
        let sum: f64 = half.iter().map(|q| precision(q, at)).sum();
        if best.is_none_or(|(b, _)| sum > b) {
            best = Some((sum, at));
        }
    }
    best.map(|(_, at)| at)
}

/// MAP@5 on the half that is not fitted on.
pub fn map_at_5(draw: &Draw, at: f32, weights: &[u32]) -> f64 {
    let (mut sum, mut photos) = (0.0, 0.0);
    for query in draw.queries.iter().filter(|q| !q.fit) {
        let weight = f64::from(weights[query.identity]);
        sum += weight * precision(query, at);
        photos += weight;
    }
    sum / photos
}

/// The threshold that is cheapest at a price of a wrong name, in photos of known whales that go without theirs; averaged over
/// the draws.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CostRow {
    /// A wrong name costs as much as so many known photos left unnamed.
    pub wrong_name_costs: f64,
    /// Named from this score on.
    pub threshold: f64,
    /// Share of known photos named rightly.
    pub known_named_rightly: f64,
    /// Share of known photos named wrongly.
    pub known_named_wrongly: f64,
    /// Share of new photos given a name.
    pub new_named: f64,
}

const PRICES: [f64; 5] = [1.0, 2.0, 5.0, 10.0, 50.0];

pub fn costs(draws: &[Draw]) -> Vec<CostRow> {
    PRICES
        .into_iter()
        .filter_map(|price| {
            let rows: Vec<CostRow> = draws.iter().filter_map(|draw| cost(draw, price)).collect();
            let average = |value: &dyn Fn(&CostRow) -> f64| mean(rows.iter().map(value));
            (!rows.is_empty()).then(|| CostRow {
                wrong_name_costs: price,
                threshold: average(&|r| r.threshold),
                known_named_rightly: average(&|r| r.known_named_rightly),
                known_named_wrongly: average(&|r| r.known_named_wrongly),
                new_named: average(&|r| r.new_named),
            })
        })
        .collect()
}

fn cost(draw: &Draw, price: f64) -> Option<CostRow> {
    let mut half: Vec<&Query> = draw.queries.iter().filter(|q| q.fit).collect();
    half.sort_by(|a, b| b.score().total_cmp(&a.score()));
    // From naming nobody, one score after the other: a wrong name costs the price, a known photo that gets any name saves 1.
    let mut best = (0.0, half.first()?.score().next_up());
    let mut spent = 0.0;
    for same in half.chunk_by(|a, b| a.score() == b.score()) {
        for query in same {
            spent += if query.is_right() { 0.0 } else { price };
            spent -= f64::from(u8::from(query.is_known()));
        }
        if spent < best.0 {
            best = (spent, same[0].score());
        }
    }
    let threshold = best.1;
    let share = |among: &dyn Fn(&Query) -> bool, what: &dyn Fn(&Query) -> bool| {
        let all: Vec<&Query> = draw.queries.iter().filter(|q| !q.fit && among(q)).collect();
        all.iter()
            .filter(|q| q.score() >= threshold && what(q))
            .count() as f64
            / all.len() as f64
    };
    Some(CostRow {
        wrong_name_costs: price,
        threshold: f64::from(threshold),
        known_named_rightly: share(&Query::is_known, &Query::is_right),
        known_named_wrongly: share(&Query::is_known, &|q| !q.is_right()),
        new_named: share(&|q| !q.is_known(), &|_| true),
    })
}
