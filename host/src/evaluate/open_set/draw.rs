//! Half of the whales enrolled, and every photo looked up.

use crate::evaluate::labelled::LabelledEmbeddings;
use crate::evaluate::retrieval::KEPT;
use crate::evaluate::search::{Candidate, WhaleScores, evidence, look_up};
use flukewatch_common::decision::{DecisionRule, Evidence, Limits};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// A photo that is looked up.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// The photo.
    pub photo: usize,
    /// Whose it is, for averages and resamples by whale: a whale's number, or one of its own for each photo without a name.
    pub identity: usize,
    /// The whale where it is enrolled; `None` for a new one.
    pub known: Option<usize>,
    /// Whether thresholds and chances are fitted on it; otherwise they are measured on it.
    pub fit: bool,
    /// The best enrolled whales.
    pub top: Vec<Candidate>,
}

impl Query {
    /// Whether its whale is enrolled.
    pub fn is_known(&self) -> bool {
        self.known.is_some()
    }

    /// Whether the first whale is the right one.
    pub fn is_right(&self) -> bool {
        self.known.is_some() && self.top.first().map(|c| c.whale) == self.known
    }

    /// The best score; -1 with nobody enrolled but the query itself.
    pub fn score(&self) -> f32 {
        self.top.first().map_or(-1.0, |c| c.score)
    }

    /// What a chance is named by.
    pub fn evidence(&self) -> Option<Evidence> {
        evidence(&self.top)
    }
}

/// One draw of half of the whales.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draw {
    /// Whether each whale is enrolled.
    pub enrolled: Vec<bool>,
    /// Whales, and photos without a name.
    pub identities: usize,
    /// The queries, in the order of the photos.
    pub queries: Vec<Query>,
    /// Of each known query, the best score of any enrolled whale.
    pub(super) best: Vec<f32>,
    /// Of each enrolled photo, the best score of any other enrolled whale.
    pub(super) impostor: Vec<f32>,
}

impl Draw {
    /// The draw with the queries alone that nothing is fitted on.
    pub fn measured(&self) -> Self {
        let mut measured = self.clone();
        measured.queries.retain(|q| !q.fit);
        measured
    }

    /// The rule that enrolling these whales sets.
    pub fn fitted_rule(&self) -> Option<DecisionRule> {
        DecisionRule::fit(
            &self.best,
            &self.impostor,
            &Limits::default(),
            String::new(),
        )
    }
}

#[derive(Default)]
struct Look {
    query: Option<Query>,
    best: Option<f32>,
    impostor: Option<f32>,
}

/// How whales are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Drawing<'a> {
    /// Times that half of them are drawn.
    pub draws: usize,
    /// Draws follow from it.
    pub seed: u64,
    /// Whales, by number, that are enrolled at every draw and whose photos are never looked up; empty for none.
    pub always: &'a [bool],
}

impl Drawing<'_> {
    fn is_always(&self, whale: usize) -> bool {
        self.always.get(whale).copied().unwrap_or(false)
    }
}

/// Draws half of the whales so many times; the same seed and whales give the same draws.
pub fn draws(photos: &LabelledEmbeddings, drawing: &Drawing<'_>) -> Vec<Draw> {
    let whales = photos.whales().len();
    let mut unnamed = whales;
    let identity: Vec<usize> = (0..photos.len())
        .map(|photo| {
            photos.whale_of(photo).unwrap_or_else(|| {
                unnamed += 1;
                unnamed - 1
            })
        })
        .collect();
    let halves: Vec<(Vec<bool>, Vec<bool>)> = (0..drawing.draws)
        .map(|draw| halves(whales, drawing, draw as u64))
        .collect();
    let all: Vec<usize> = (0..photos.len())
        .filter(|&photo| !photos.whale_of(photo).is_some_and(|w| drawing.is_always(w)))
        .collect();
    // The scores are the same for every draw: each photo meets the others once.
    let looks: Vec<Vec<Look>> = look_up(photos, &all, |photo, scores| {
        let by_whale = WhaleScores::of(photos, scores, |other| other != photo);
        let look = |(enrolled, fit): &(Vec<bool>, Vec<bool>)| {
            let whale = photos.whale_of(photo);
            let known = whale.filter(|&w| enrolled[w]);
            let among = |other: usize| enrolled[other];
            let top = by_whale.top(KEPT, among);
            let found_again = known.and_then(|w| by_whale.score(w));
            let best = found_again.and(top.first().map(|c| c.score));
            let impostor = known.and_then(|own| {
                by_whale
                    .top(1, |other| other != own && among(other))
                    .first()
                    .map(|c| c.score)
            });
            // The only photo of an enrolled whale is neither known, with itself left out, nor new.
            let query = (known.is_none() || best.is_some()).then(|| Query {
                photo,
                identity: identity[photo],
                known,
                // Photos without a name go to either half in turn.
                fit: whale.map_or(identity[photo].is_multiple_of(2), |w| fit[w]),
                top,
            });
            Look {
                query,
                best,
                impostor,
            }
        };
        halves.iter().map(look).collect()
    });
    let mut found: Vec<Draw> = halves
        .into_iter()
        .map(|(enrolled, _)| Draw {
            enrolled,
            identities: unnamed,
            ..Draw::default()
        })
        .collect();
    for photo in looks {
        for (draw, look) in found.iter_mut().zip(photo) {
            draw.queries.extend(look.query);
            draw.best.extend(look.best);
            draw.impostor.extend(look.impostor);
        }
    }
    found
}

/// Which whales are enrolled, and on which thresholds are fitted: of those that are drawn, about a quarter for each of the four.
fn halves(whales: usize, drawing: &Drawing<'_>, draw: u64) -> (Vec<bool>, Vec<bool>) {
    let mut rng = ChaCha8Rng::seed_from_u64(drawing.seed);
    rng.set_stream(draw);
    let mut order: Vec<usize> = (0..whales).filter(|&w| !drawing.is_always(w)).collect();
    order.shuffle(&mut rng);
    let mut enrolled: Vec<bool> = (0..whales).map(|w| drawing.is_always(w)).collect();
    let mut fit = vec![false; whales];
    let half = order.len().div_ceil(2);
    for (place, whale) in order.into_iter().enumerate() {
        enrolled[whale] = place < half;
        fit[whale] = place.is_multiple_of(2);
    }
    (enrolled, fit)
}
