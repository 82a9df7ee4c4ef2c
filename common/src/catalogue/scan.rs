//! The search: bounds on all scores from int8 codes, then exact scores for the few rows that the
//! bounds leave open.
//!
//! Let q and r be the embeddings as floats and q', r' their dequantised codes. Then
//! `q·r = q'·r' + q·(r - r') + (q - q')·r'`, so by the Cauchy-Schwarz inequality the score is
//! within `|q| |r - r'| + |q - q'| |r'|` of `q'·r'`. All of these lengths are known. The k-th best
//! whale has at least the k-th best lower bound, and any row that can decide one of the first k
//! places has an upper bound that reaches it. Only these rows are scored in floats: the result
//! equals that of scoring all rows in floats to the last bit, including ties. This holds for any
//! data; a bad row only costs time.

use super::codes::{self, Rounding};
use super::kernel::{Chunk, Kernel};
use super::rows::Rows;
use crate::embedding::dot;
use crate::whale_score::{TopScores, WhaleScore};
use std::cmp::Ordering;

/// Rows whose bounds are computed at a time, so that sums and bounds stay in the first-level cache.
const BLOCK: usize = 256;
/// Rows that are skipped at a time.
const GROUP: usize = 32;
/// How many more leading whales are collected before the floor is raised again; a larger number is
/// less work but a lower floor.
const SPARE: usize = 32;
/// An upper bound on the error where products underflow.
const TINY: f32 = 1e-25;
/// Scores below this are far from overflow.
const HUGE: f32 = 1e25;
/// Marks a withdrawn row, in place of its whale.
pub(crate) const WITHDRAWN: u32 = u32::MAX;

/// A whale with its score and its best row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Hit {
    pub(crate) whale: u32,
    pub(crate) score: f32,
    pub(crate) row: u32,
}

/// A query and the error bounds of the scores of its codes.
struct Query<'a> {
    floats: &'a [f32],
    codes: Vec<Chunk>,
    scale: f32,
    /// The factor of a row's quantisation error.
    length: f32,
    /// The error bound that is the same for every row.
    slack: f32,
    /// An upper bound on every score.
    largest: f32,
}

impl<'a> Query<'a> {
    fn new(floats: &'a [f32], rows: &Rows) -> Self {
        let mut codes = vec![];
        let Rounding { scale, error, .. } = codes::append(floats, &mut codes);
        let length = codes::length(floats);
        // Floats round too: `dot` sums products in eight lanes, and the bounds are a few
        // operations.
        let steps = floats.len() as f32 / 8.0 + 64.0;
        let largest = length * (rows.longest() + rows.worst());
        let rounding = steps * f32::EPSILON * largest + TINY;
        let slack = (error * rows.longest() + rounding) * (1.0 + 1e-6);
        Self {
            floats,
            codes,
            scale,
            length: length * (1.0 + 1e-6),
            // Without bounds on numbers that may overflow, all rows are scored.
            slack: if largest < HUGE { slack } else { f32::INFINITY },
            largest,
        }
    }
}

/// A row that may be among the best.
#[derive(Clone, Copy)]
struct Candidate {
    row: u32,
    upper: f32,
}

/// For one query, the best lower bound of each whale, and a floor that at least `most` whales reach.
struct Floors {
    most: usize,
    best: Vec<f32>,
    leaders: Vec<u32>,
    floor: f32,
}

impl Floors {
    fn new(most: usize, whales: usize) -> Self {
        Self {
            most,
            best: vec![f32::NEG_INFINITY; whales],
            leaders: vec![],
            floor: f32::NEG_INFINITY,
        }
    }

    /// Adds a row of `whale` that scores at least `lower`.
    fn add(&mut self, whale: u32, lower: f32) {
        let best = &mut self.best[whale as usize];
        if lower > *best {
            // A whale becomes a leader when its bound first reaches the floor.
            let led = *best >= self.floor && *best > f32::NEG_INFINITY;
            *best = lower;
            if !led && lower >= self.floor {
                self.leaders.push(whale);
                if self.leaders.len() >= 2 * self.most + SPARE {
                    self.raise();
                }
            }
        }
    }

    /// Raises the floor to the k-th best lower bound so far.
    fn raise(&mut self) {
        if self.leaders.len() < self.most {
            return;
        }
        let Self { best, leaders, .. } = self;
        leaders.select_nth_unstable_by(self.most - 1, |a, b| {
            best[*b as usize].total_cmp(&best[*a as usize])
        });
        self.floor = best[leaders[self.most - 1] as usize];
        let floor = self.floor;
        leaders.retain(|w| best[*w as usize] >= floor);
    }
}

/// Calls `bounds(query, first_row, upper, lower)` for blocks of rows in order, and for all queries
/// in each block, so that memory is read once for all queries.
fn bound_all(
    queries: &[Query<'_>],
    rows: &Rows,
    mut bounds: impl FnMut(usize, usize, &[f32], &[f32]),
) {
    let kernel = Kernel::best();
    let width = rows.width();
    let (mut sums, mut upper, mut lower) = ([0; BLOCK], [0.0; BLOCK], [0.0; BLOCK]);
    let mut first = 0;
    for segment in rows.segments() {
        let mut done = 0;
        for block in segment.codes.chunks(BLOCK * width) {
            let count = block.len() / width;
            let sums = &mut sums[..count];
            let scales = &rows.scales()[first..first + count];
            let errors = &rows.errors()[first..first + count];
            for (number, query) in queries.iter().enumerate() {
                kernel.dots(&query.codes, block, sums);
                let all = sums.iter().zip(scales).zip(errors);
                for (((sum, scale), error), (upper, lower)) in
                    all.zip(upper.iter_mut().zip(lower.iter_mut()))
                {
                    let score = *sum as f32 * (query.scale * scale);
                    let reach = query.length * error + query.slack;
                    *upper = score + reach;
                    *lower = score - reach;
                }
                bounds(number, first, &upper[..count], &lower[..count]);
            }
            first += count;
            done += block.len();
            segment.passed(done, block.len());
        }
    }
}

/// The `most` best whales, each by its best row among those for which `takes_part` is true (called
/// for few rows), best first; whales of equal score in the order of `before`, equal rows of a whale
/// by their order.
///
/// `whales[row]` is below `whale_count`, or [`WITHDRAWN`].
pub(crate) fn search(
    query: &[f32],
    rows: &Rows,
    whales: &[u32],
    whale_count: usize,
    most: usize,
    takes_part: impl Fn(usize) -> bool,
    before: impl Fn(u32, u32) -> Ordering,
) -> Vec<Hit> {
    if most == 0 || rows.is_empty() {
        return vec![];
    }
    let query = Query::new(query, rows);
    let mut floors = Floors::new(most, whale_count);
    let mut candidates: Vec<Candidate> = vec![];
    bound_all(
        std::slice::from_ref(&query),
        rows,
        |_, first, uppers, lowers| {
            // Almost all rows fall short, which is checked for a group at a time. A row whose bound
            // is NaN stays a candidate.
            let groups = uppers.chunks(GROUP).zip(lowers.chunks(GROUP)).enumerate();
            for (group, (uppers, lowers)) in groups {
                let floor = floors.floor;
                if uppers.iter().filter(|upper| **upper < floor).count() == uppers.len() {
                    continue;
                }
                for (at, (&upper, &lower)) in uppers.iter().zip(lowers).enumerate() {
                    if upper < floors.floor {
                        continue;
                    }
                    let row = first + group * GROUP + at;
                    let whale = whales[row];
                    if whale == WITHDRAWN || upper < floors.best[whale as usize] || !takes_part(row)
                    {
                        continue;
                    }
                    floors.add(whale, lower);
                    candidates.push(Candidate {
                        row: row as u32,
                        upper,
                    });
                }
            }
        },
    );
    floors.raise();
    candidates.retain(|c| {
        let own = floors.best[whales[c.row as usize] as usize];
        !(c.upper < floors.floor || c.upper < own)
    });
    let mut best: Vec<Hit> = vec![];
    // The index of each whale in `best`.
    let mut place = vec![u32::MAX; whale_count];
    let mut floats = rows.rerank_rows();
    for Candidate { row, .. } in candidates {
        let (whale, score) = (
            whales[row as usize],
            dot(query.floats, floats.of(row as usize)),
        );
        let place = &mut place[whale as usize];
        match best.get_mut(*place as usize) {
            None => {
                *place = best.len() as u32;
                best.push(Hit { whale, score, row });
            }
            Some(found) if score > found.score => (found.score, found.row) = (score, row),
            Some(_) => {}
        }
    }
    sort(&mut best, most, &before);
    best
}

/// The `most` best whales for several queries of one whale, in floats. `rule` scores a whale for
/// each query by its rows; its score is the mean over the queries, its row the most similar one.
pub(crate) fn search_encounter(
    queries: &[&[f32]],
    rule: WhaleScore,
    rows: &Rows,
    whales: &[u32],
    whale_count: usize,
    most: usize,
    before: impl Fn(u32, u32) -> std::cmp::Ordering,
) -> Vec<Hit> {
    if most == 0 || rows.is_empty() || queries.is_empty() {
        return vec![];
    }
    let coded: Vec<Query<'_>> = queries.iter().map(|q| Query::new(q, rows)).collect();
    // `[query, whale]`: the highest bounds of each whale's rows. A score increases with each of its
    // cosines, so the score of the bounds is a bound on the score.
    let nothing = vec![TopScores::default(); queries.len() * whale_count];
    let (mut uppers, mut lowers) = (nothing.clone(), nothing);
    bound_all(&coded, rows, |query, first, upper, lower| {
        let own = query * whale_count..(query + 1) * whale_count;
        let (uppers, lowers) = (&mut uppers[own.clone()], &mut lowers[own]);
        for ((&whale, &upper), &lower) in whales[first..].iter().zip(upper).zip(lower) {
            if let Some(highest) = uppers.get_mut(whale as usize) {
                // NaN is not a bound.
                let or = |bound: f32, else_bound| {
                    if bound.is_nan() { else_bound } else { bound }
                };
                highest.insert(or(upper, f32::INFINITY), rule.top_k);
                lowers[whale as usize].insert(or(lower, f32::NEG_INFINITY), rule.top_k);
            }
        }
    });
    // The mean of bounds is a bound on the mean.
    let sum = |bounds: &[TopScores]| {
        let mut sums = vec![0f32; whale_count];
        for of_query in bounds.chunks_exact(whale_count) {
            sums.iter_mut()
                .zip(of_query)
                .for_each(|(sum, highest)| *sum += score(rule, highest));
        }
        sums
    };
    let (upper_sums, lower_sums) = (sum(&uppers), sum(&lowers));
    drop((uppers, lowers));
    // Sums of scores round as well, here and below.
    let slack =
        queries.len() as f32 * 16.0 * f32::EPSILON * coded.iter().map(|q| q.largest).sum::<f32>();
    let mut order: Vec<u32> = (0..whale_count as u32).collect();
    let floor = if most < whale_count {
        let by = |a: &u32, b: &u32| lower_sums[*b as usize].total_cmp(&lower_sums[*a as usize]);
        let (_, at, _) = order.select_nth_unstable_by(most - 1, by);
        lower_sums[*at as usize] - slack
    } else {
        f32::NEG_INFINITY
    };
    // A whale whose sum is NaN stays a candidate.
    let falls_short = |upper: &f32| *upper + slack < floor;
    let candidate: Vec<bool> = upper_sums.iter().map(|upper| !falls_short(upper)).collect();

    let mut floats = rows.rerank_rows();
    let mut sums: Vec<EncounterScore> = vec![EncounterScore::default(); whale_count];
    for query in queries {
        let mut seen = vec![(TopScores::default(), None::<(f32, u32)>); whale_count];
        for (row, &whale) in whales.iter().enumerate() {
            if !candidate.get(whale as usize).is_some_and(|c| *c) {
                continue;
            }
            let cosine = dot(query, floats.of(row));
            let (highest, best) = &mut seen[whale as usize];
            highest.insert(cosine, rule.top_k);
            if best.is_none_or(|(b, _)| cosine > b) {
                *best = Some((cosine, row as u32));
            }
        }
        for (sum, (highest, best)) in sums.iter_mut().zip(seen) {
            if let Some((cosine, row)) = best {
                sum.add(score(rule, &highest), cosine, row);
            }
        }
    }
    let mut found: Vec<Hit> = (0..)
        .zip(sums)
        .filter_map(|(whale, sum)| {
            let (_, row) = sum.best?;
            let score = sum.sum / queries.len() as f32;
            Some(Hit { whale, score, row })
        })
        .collect();
    sort(&mut found, most, &before);
    found
}

/// The score of a whale; negative infinity for one without rows.
fn score(rule: WhaleScore, highest: &TopScores) -> f32 {
    if highest.as_slice().is_empty() {
        f32::NEG_INFINITY
    } else {
        rule.of(highest)
    }
}

/// The sum of a whale's scores over several queries, and its best row.
#[derive(Clone, Copy, Default)]
struct EncounterScore {
    sum: f32,
    best: Option<(f32, u32)>,
}

impl EncounterScore {
    fn add(&mut self, score: f32, cosine: f32, row: u32) {
        self.sum += score;
        if self.best.is_none_or(|(b, _)| cosine > b) {
            self.best = Some((cosine, row));
        }
    }
}

/// Sorts best first and truncates to `most`.
fn sort(found: &mut Vec<Hit>, most: usize, before: impl Fn(u32, u32) -> Ordering) {
    let order = |a: &Hit, b: &Hit| {
        b.score
            .total_cmp(&a.score)
            .then_with(|| before(a.whale, b.whale))
    };
    if found.len() > most {
        found.select_nth_unstable_by(most - 1, order);
        found.truncate(most);
    }
    found.sort_unstable_by(order);
}
