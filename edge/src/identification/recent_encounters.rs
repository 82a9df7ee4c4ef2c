//! Whales that dive and resurface, and flukes that two cameras see at once: which recent encounter a new
//! one continues.
//!
//! Nothing waits for a return. Each part of an encounter is identified by itself; its identity is
//! remembered here, so that a later part can refer to it. It is forgotten when the program
//! ends, and a whale that resurfaces after that starts another encounter.

use super::surfacing::Surfacing;
use flukewatch_common::decision::{Decision, DecisionRule};
use flukewatch_common::footage::MAX_CROPS;
use flukewatch_common::local_matching::{EmbeddedPhoto, LocalScore};
use flukewatch_common::whale_score::TopScores;
use std::collections::VecDeque;
use std::time::Duration;
use uuid::Uuid;

/// The most encounters to remember.
const MAX_RECENT: usize = 32;
/// The most tracks of an encounter to remember: more than a boat has cameras.
const MAX_TRACKS: usize = 16;

/// An ended encounter that another one may continue.
#[derive(Clone, Debug)]
pub struct RecentEncounter {
    /// The id of its first sighting.
    pub encounter: Uuid,
    /// Its crops as the model sees them, newest last, at most [`MAX_CROPS`].
    pub embedded: Vec<EmbeddedPhoto>,
    decision: Decision,
    /// The last part of each track, newest last, at most [`MAX_TRACKS`].
    surfacings: Vec<Surfacing>,
}

impl RecentEncounter {
    /// Whether its time and place allow that `next` is of the same whale, which may stay under water
    /// `within` this time.
    fn may_continue_with(&self, next: &Surfacing, within: Duration) -> bool {
        let near = |s: &Surfacing| next.follows(s, within) || next.is_at_once_with(s);
        self.surfacings.iter().any(near) && !self.surfacings.iter().any(|s| next.excludes(s))
    }
}

/// The encounters of the last minutes.
#[derive(Debug)]
pub struct RecentEncounters {
    within: Duration,
    recent: VecDeque<RecentEncounter>,
}

impl RecentEncounters {
    /// A whale that resurfaces `within` this time continues its encounter, and so does a fluke that
    /// another camera sees at once. With a zero duration only the parts of one that got too long belong
    /// together.
    pub fn new(within: Duration) -> Self {
        Self {
            within,
            recent: VecDeque::with_capacity(MAX_RECENT),
        }
    }

    /// The encounter that `next` continues; `decision` is that of `rule` on its `embedded` crops, `local`
    /// the score of the bundle's local matching.
    ///
    /// A part of one that got too long continues that one. Otherwise it must have started after the other
    /// ended, or another camera must have seen it at about the same time and not in another direction: two
    /// tracks of one camera at once are two whales. Two known individuals decide by their names. Where one
    /// of both is not known, the crops are compared like those of an individual in the catalogue:
    /// scores from [`DecisionRule::known_at`] on match. With single photos of different encounters, 0.78
    /// of those of one individual match, and 0.0016 of those of two; with two crops on either side 0.88
    /// and 0.0007 (the shipped model, held-out individuals).
    pub fn find_continued(
        &self,
        next: &Surfacing,
        embedded: &[EmbeddedPhoto],
        decision: &Decision,
        rule: &DecisionRule,
        local: Option<&LocalScore>,
    ) -> Option<&RecentEncounter> {
        let has_part = |e: &&RecentEncounter| e.surfacings.iter().any(|s| next.is_part_of(s));
        if let Some(same) = self.recent.iter().rev().find(has_part) {
            return Some(same);
        }
        if self.within.is_zero() {
            return None;
        }
        let possible = self
            .recent
            .iter()
            .filter(|e| e.may_continue_with(next, self.within));
        let alike = possible.filter_map(|e| {
            let score = similarity(embedded, &e.embedded, rule, local);
            let same = match (decision, &e.decision) {
                (Decision::Known { whale }, Decision::Known { whale: theirs }) => whale == theirs,
                _ => score >= rule.known_at,
            };
            same.then_some((score, e))
        });
        alike.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, e)| e)
    }

    /// Remembers an identified part of the encounter `id`, with the decision on the whole.
    pub fn remember(
        &mut self,
        id: Uuid,
        surfacing: Surfacing,
        embedded: Vec<EmbeddedPhoto>,
        decision: Decision,
    ) {
        let earlier = self.recent.iter().position(|e| e.encounter == id);
        let earlier = earlier.and_then(|at| self.recent.remove(at));
        let (mut all, mut surfacings) =
            earlier.map_or((vec![], vec![]), |e| (e.embedded, e.surfacings));
        all.extend(embedded);
        all.drain(..all.len().saturating_sub(MAX_CROPS));
        surfacings.retain(|s| !surfacing.is_part_of(s));
        surfacings.push(surfacing);
        surfacings.drain(..surfacings.len().saturating_sub(MAX_TRACKS));
        if self.recent.len() == MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(RecentEncounter {
            encounter: id,
            embedded: all,
            decision,
            surfacings,
        });
    }
}

/// The similarity of two encounters: the mean score of the crops of one with those of the other, scored
/// like an individual's photos.
fn similarity(
    these: &[EmbeddedPhoto],
    those: &[EmbeddedPhoto],
    rule: &DecisionRule,
    local: Option<&LocalScore>,
) -> f32 {
    let score = |one: &EmbeddedPhoto| {
        let mut highest = TopScores::default();
        let same_kind = those
            .iter()
            .filter(|other| other.embedding.dimension() == one.embedding.dimension());
        same_kind.for_each(|other| {
            highest.insert(photo_score(one, other, local), rule.whale_score.top_k)
        });
        rule.whale_score.of(&highest)
    };
    let sum: f32 = these.iter().map(score).sum();
    sum / these.len().max(1) as f32
}

/// The score of two crops; their norms are not known, so those of typical photos take their place.
fn photo_score(one: &EmbeddedPhoto, other: &EmbeddedPhoto, local: Option<&LocalScore>) -> f32 {
    let cosine = one.embedding.cosine(&other.embedding);
    match (local, &one.local, &other.local) {
        (Some(score), Some(one), Some(other)) if one.layout() == other.layout() => {
            let norm = score.typical_norm;
            score.of(cosine, score.similarity(one, other), norm, norm)
        }
        _ => cosine,
    }
}

#[cfg(test)]
mod tests;
