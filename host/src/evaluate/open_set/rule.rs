//! What a decision rule makes of known and new photos.

use super::{Draw, Figure, Query};
use flukewatch_common::catalogue::Match;
use flukewatch_common::decision::{DecisionRule, Verdict};
use serde::Serialize;

/// The verdicts on one draw.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    known_at: f64,
    new_below: f64,
    /// Of the known queries: right, wrong, review, called new. Of the new: called known, review, new.
    known: [usize; 4],
    new: [usize; 3],
    /// Of each identity with queries: itself, whether it is known, and the share of right verdicts.
    by_identity: Vec<(usize, bool, f64)>,
}

/// What a rule says of a query; a known whale is named by its number.
pub fn verdict(query: &Query, rule: &DecisionRule) -> Verdict {
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

/// Judges every query of a draw.
pub fn judge(draw: &Draw, rule: &DecisionRule) -> Judged {
    let (mut known, mut new) = ([0; 4], [0; 3]);
    let mut sums = vec![(0usize, 0usize); draw.identities];
    let mut is_known = vec![false; draw.identities];
    for query in &draw.queries {
        let right = match (query.is_known(), verdict(query, rule)) {
            (true, Verdict::Known { .. }) => {
                known[usize::from(!query.is_right())] += 1;
                query.is_right()
            }
            (true, Verdict::Review) => {
                known[2] += 1;
                false
            }
            (true, Verdict::New) => {
                known[3] += 1;
                false
            }
            (false, Verdict::Known { .. }) => {
                new[0] += 1;
                false
            }
            (false, Verdict::Review) => {
                new[1] += 1;
                false
            }
            (false, Verdict::New) => {
                new[2] += 1;
                true
            }
        };
        is_known[query.identity] = query.is_known();
        let (rights, photos) = &mut sums[query.identity];
        *rights += usize::from(right);
        *photos += 1;
    }
    Judged {
        known_at: f64::from(rule.known_at),
        new_below: f64::from(rule.new_below),
        known,
        new,
        by_identity: sums
            .iter()
            .enumerate()
            .filter(|(_, (_, photos))| *photos > 0)
            .map(|(i, (rights, photos))| (i, is_known[i], *rights as f64 / *photos as f64))
            .collect(),
    }
}

impl Judged {
    /// BAKS, BAUS and their geometric mean, each identity counting as often as its weight says.
    pub fn balanced(&self, weights: &[u32]) -> [f64; 3] {
        let average = |known: bool| {
            let (mut sum, mut whales) = (0.0, 0.0);
            for (identity, _, share) in self.by_identity.iter().filter(|(_, k, _)| *k == known) {
                sum += f64::from(weights[*identity]) * share;
                whales += f64::from(weights[*identity]);
            }
            sum / whales
        };
        let (baks, baus) = (average(true), average(false));
        [baks, baus, (baks * baus).sqrt()]
    }
}

/// What a rule does, averaged over the draws; shares of photos, but for the balanced figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleFigures {
    /// Known from this score.
    pub known_at: f64,
    /// New below this score.
    pub new_below: f64,
    /// Of known photos: named, and rightly.
    pub known_named_rightly: f64,
    /// Of known photos: named wrongly.
    pub known_named_wrongly: f64,
    /// Of known photos: for review.
    pub known_for_review: f64,
    /// Of known photos: called new.
    pub known_called_new: f64,
    /// Of new photos: given a name.
    pub new_named: f64,
    /// Of new photos: for review.
    pub new_for_review: f64,
    /// Of new photos: called new.
    pub new_called_new: f64,
    /// BAKS: the share named rightly, averaged over known whales; review counts as not named.
    pub baks: Figure,
    /// BAUS: the share called new, averaged over new whales; review counts as not called new.
    pub baus: Figure,
    /// The geometric mean of BAKS and BAUS.
    pub balanced: Figure,
}

/// What each draw's own rule makes of it, without intervals; `None` without a draw.
pub fn rule_figures<'a>(
    draws: impl Iterator<Item = (&'a Draw, &'a DecisionRule)>,
) -> Option<RuleFigures> {
    let mut identities = 0;
    let judged: Vec<Judged> = draws
        .map(|(draw, rule)| {
            identities = identities.max(draw.identities);
            judge(draw, rule)
        })
        .collect();
    let once = vec![1; identities];
    let balanced: Vec<[f64; 3]> = judged.iter().map(|j| j.balanced(&once)).collect();
    let figure = |at: usize| Figure {
        value: super::mean(balanced.iter().map(|b| b[at])),
        interval: None,
        by_draw: balanced.iter().map(|b| b[at]).collect(),
    };
    RuleFigures::of(
        &judged.iter().collect::<Vec<_>>(),
        [figure(0), figure(1), figure(2)],
    )
}

impl RuleFigures {
    pub(super) fn of(judged: &[&Judged], [baks, baus, balanced]: [Figure; 3]) -> Option<Self> {
        let average = |value: &dyn Fn(&Judged) -> f64| super::mean(judged.iter().map(|j| value(j)));
        let known =
            |at: usize| average(&|j| j.known[at] as f64 / j.known.iter().sum::<usize>() as f64);
        let new = |at: usize| average(&|j| j.new[at] as f64 / j.new.iter().sum::<usize>() as f64);
        (!judged.is_empty()).then(|| Self {
            known_at: average(&|j| j.known_at),
            new_below: average(&|j| j.new_below),
            known_named_rightly: known(0),
            known_named_wrongly: known(1),
            known_for_review: known(2),
            known_called_new: known(3),
            new_named: new(0),
            new_for_review: new(1),
            new_called_new: new(2),
            baks,
            baus,
            balanced,
        })
    }
}
