//! The search: bounds of all scores from int8 codes, then the scores themselves for the few rows that the bounds leave.
//!
//! With q and r the embeddings as floats and q', r' what their codes stand for, `q·r = q'·r' + q·(r - r') + (q - q')·r'`, so that by
//! Cauchy and Schwarz the score is within `|q| |r - r'| + |q - q'| |r'|` of what the codes say. All of these lengths are known.
//! The k-th best whale has at least the k-th best lower bound, and whatever row decides a place among the first k has an upper
//! bound that reaches it. These rows, and no others, are scored in floats: the answer is the one that scoring all rows in floats
//! gives, to the last bit, ties included. No row of the data can change that; a bad row only costs time.

use super::codes::{self, Rounding};
use super::kernel::{Chunk, Kernel};
use super::rows::Rows;
use crate::embedding::dot;
use crate::whale_score::{TopScores, WhaleScore};
use std::cmp::Ordering;

/// Rows whose bounds are computed at a time: their sums and bounds stay in the first-level cache.
const BLOCK: usize = 256;
/// Rows that are passed over at a time.
const GROUP: usize = 32;
/// How many leading whales are kept at least before the floor is raised again; more is less work and a lower floor.
const SPARE: usize = 32;
/// More than what is lost where products are too small for floats.
const TINY: f32 = 1e-25;
/// Scores below this are far from what floats cannot hold.
const HUGE: f32 = 1e25;
/// Marks a row that was withdrawn, in place of its whale.
pub(crate) const WITHDRAWN: u32 = u32::MAX;

/// A whale found: its score, and the row that has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Hit {
    pub(crate) whale: u32,
    pub(crate) score: f32,
    pub(crate) row: u32,
}

/// A query and how much the scores of its codes may be off.
struct Query<'a> {
    floats: &'a [f32],
    codes: Vec<Chunk>,
    scale: f32,
    /// Times a row's rounding error.
    length: f32,
    /// For any row.
    slack: f32,
    /// No score is larger.
    largest: f32,
}

impl<'a> Query<'a> {
    fn new(floats: &'a [f32], rows: &Rows) -> Self {
        let mut codes = vec![];
        let Rounding { scale, error, .. } = codes::append(floats, &mut codes);
        let length = codes::length(floats);
        // Floats round too: `dot` sums a number's products in eight lanes, and the bounds are a handful of operations.
        let steps = floats.len() as f32 / 8.0 + 64.0;
        let largest = length * (rows.longest() + rows.worst());
        let rounding = steps * f32::EPSILON * largest + TINY;
        let slack = (error * rows.longest() + rounding) * (1.0 + 1e-6);
        Self {
            floats,
            codes,
            scale,
            length: length * (1.0 + 1e-6),
            // Numbers that may not fit into floats have no bounds: then all rows are scored.
            slack: if largest < HUGE { slack } else { f32::INFINITY },
            largest,
        }
    }
}

/// A row that may decide.
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

    /// A row of `whale` scores at least `lower`.
    fn add(&mut self, whale: u32, lower: f32) {
        let best = &mut self.best[whale as usize];
        if lower > *best {
            // A whale is among the leaders from when its bound first passes the floor.
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

/// Calls `bounds(query, first_row, upper, lower)` for blocks of rows, in their order, and in each block for all queries, so that memory
/// is read once for all.
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

/// The `most` best whales, each by its best row among those that `takes_part` lets in (asked of few rows), best first; equal scores
/// by `before` and a whale's equal rows by their order.
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
            // Almost all rows fall short, and that can be told of many at a time. A bound that is not a number says nothing: such a
            // row stays in.
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
    // Where a whale stands in `best`.
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

/// The `most` best whales for several queries that show one whale, in floats and as `rule` scores a whale by its rows: its score is
/// the mean of its scores for each query, its row the one that matched best.
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
    // `[query, whale]`: the highest bounds of each whale's rows. A score rises with each cosine in it, so that the score of the
    // bounds bounds the score.
    let nothing = vec![TopScores::default(); queries.len() * whale_count];
    let (mut uppers, mut lowers) = (nothing.clone(), nothing);
    bound_all(&coded, rows, |query, first, upper, lower| {
        let own = query * whale_count..(query + 1) * whale_count;
        let (uppers, lowers) = (&mut uppers[own.clone()], &mut lowers[own]);
        for ((&whale, &upper), &lower) in whales[first..].iter().zip(upper).zip(lower) {
            if let Some(highest) = uppers.get_mut(whale as usize) {
                // What is not a number bounds nothing.
                let or = |bound: f32, else_bound| {
                    if bound.is_nan() { else_bound } else { bound }
                };
                highest.insert(or(upper, f32::INFINITY), rule.top_k);
                lowers[whale as usize].insert(or(lower, f32::NEG_INFINITY), rule.top_k);
            }
        }
    });
    // A mean of bounds bounds the mean.
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
    // Sums of a few scores round as well, here and below.
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
    // A sum that is not a number stays in.
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

/// The score of a whale; of one without rows, less than any.
fn score(rule: WhaleScore, highest: &TopScores) -> f32 {
    if highest.as_slice().is_empty() {
        f32::NEG_INFINITY
    } else {
        rule.of(highest)
    }
}

/// A whale's scores for several queries.
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

/// Best first, cut off after `most`.
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
