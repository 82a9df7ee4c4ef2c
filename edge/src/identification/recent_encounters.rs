//! Whales that dive and resurface: which recent encounter a new one continues.
//!
//! Nothing waits for a return. Each part of an encounter is identified by itself; its identity is
//! remembered here, so that a later part can refer to it. It is forgotten when the program
//! ends, and a whale that resurfaces after that starts another encounter.

use crate::recording::Track;
use flukewatch_common::decision::{Decision, DecisionRule};
use flukewatch_common::footage::MAX_CROPS;
use flukewatch_common::local_matching::{EmbeddedPhoto, LocalScore};
use flukewatch_common::whale_score::TopScores;
use std::collections::VecDeque;
use std::time::Duration;
use uuid::Uuid;

/// The most encounters to remember.
const MAX_RECENT: usize = 32;

/// An ended encounter that a returning whale may continue.
#[derive(Clone, Debug)]
pub struct RecentEncounter {
    /// The id of its first sighting.
    pub encounter: Uuid,
    /// Its crops as the model sees them, newest last, at most [`MAX_CROPS`].
    pub embedded: Vec<EmbeddedPhoto>,
    decision: Decision,
    track: Track,
}

/// The encounters of the last minutes.
#[derive(Debug)]
pub struct RecentEncounters {
    within: Duration,
    recent: VecDeque<RecentEncounter>,
}

impl RecentEncounters {
    /// A whale that resurfaces `within` this time continues its encounter. With a zero duration only the
    /// parts of one that got too long belong together.
    pub fn new(within: Duration) -> Self {
        Self {
            within,
            recent: VecDeque::with_capacity(MAX_RECENT),
        }
    }

    /// The encounter that the one on `track` continues; `decision` is that of `rule` on its `embedded`
    /// crops, `local` the score of the bundle's local matching.
    ///
    /// A part of one that got too long continues that one. Otherwise it must have started after the other
    /// ended, since a whale cannot be in two places. Two known individuals decide by their names. Where
    /// one of both is not known, the crops are compared like those of an individual in the catalogue:
    /// scores from [`DecisionRule::known_at`] on match. With single photos of different encounters, 0.78
    /// of those of one individual match, and 0.0016 of those of two; with two crops on either side 0.88
    /// and 0.0007 (the shipped model, held-out individuals).
    pub fn find_continued(
        &self,
        track: &Track,
        embedded: &[EmbeddedPhoto],
        decision: &Decision,
        rule: &DecisionRule,
        local: Option<&LocalScore>,
    ) -> Option<&RecentEncounter> {
        let same_run = || {
            self.recent
                .iter()
                .filter(|e| e.track.session == track.session)
        };
        let part =
            |e: &&RecentEncounter| e.track.camera == track.camera && e.track.number == track.number;
        if let Some(same) = same_run().rev().find(part) {
            return Some(same);
        }
        let in_time = same_run().filter(|e| {
            let gap = track.started.micros_since(e.track.ended);
            gap > 0 && track.started.since(e.track.ended) <= self.within
        });
        let alike = in_time.filter_map(|e| {
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
        track: Track,
        embedded: Vec<EmbeddedPhoto>,
        decision: Decision,
    ) {
        let earlier = self.recent.iter().position(|e| e.encounter == id);
        let earlier = earlier.and_then(|at| self.recent.remove(at));
        let mut all = earlier.map(|e| e.embedded).unwrap_or_default();
        all.extend(embedded);
        all.drain(..all.len().saturating_sub(MAX_CROPS));
        if self.recent.len() == MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(RecentEncounter {
            encounter: id,
            embedded: all,
            decision,
            track,
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
mod tests {
    use super::*;
    use crate::time::MonotonicTimestamp;
    use flukewatch_common::embedding::Embedding;
    use flukewatch_common::local_matching::{Descriptors, Layout};

    const MINUTE: i64 = 60_000;

    fn track(number: u64, started: i64, ended: i64) -> Track {
        Track {
            session: Uuid::from_u128(9),
            camera: 0,
            number,
            started: MonotonicTimestamp::from_millis(started),
            ended: MonotonicTimestamp::from_millis(ended),
        }
    }

    /// Embeddings of a whale at `angle` in degrees, as two crops show it.
    fn whale(angle: f32) -> Vec<EmbeddedPhoto> {
        let at = |a: f32| {
            let a = (angle + a).to_radians();
            EmbeddedPhoto {
                embedding: Embedding::normalised(vec![a.cos(), a.sin()]).unwrap(),
                local: None,
            }
        };
        vec![at(-3.0), at(3.0)]
    }

    fn rule() -> DecisionRule {
        DecisionRule::thresholds(0.9, 0.6, "")
    }

    fn known(whale: &str) -> Decision {
        Decision::Known {
            whale: whale.into(),
        }
    }

    /// Recent encounters with encounter 1, from 0 to 3 s, of a whale at 0 degrees with this decision.
    fn after(decision: Decision) -> RecentEncounters {
        let mut recent = RecentEncounters::new(Duration::from_secs(600));
        let first = track(4, 0, 3000);
        recent.remember(Uuid::from_u128(1), first, whale(0.0), decision);
        recent
    }

    fn same(recent: &RecentEncounters, next: &Track, angle: f32, decision: Decision) -> bool {
        let next = Track { camera: 1, ..*next };
        let found = recent.find_continued(&next, &whale(angle), &decision, &rule(), None);
        found.is_some_and(|e| e.encounter == Uuid::from_u128(1))
    }

    #[test]
    fn a_whale_that_resurfaces_within_minutes_continues_its_track() {
        let recent = after(Decision::New);
        let next = |started| track(5, started, started + 2000);
        assert!(same(&recent, &next(5 * MINUTE), 10.0, Decision::New));
        assert!(same(&recent, &next(5 * MINUTE), 10.0, known("W1")));
        assert!(!same(&recent, &next(5 * MINUTE), 40.0, Decision::New));
        assert!(!same(&recent, &next(11 * MINUTE), 10.0, Decision::New));
        assert!(
            !same(&recent, &next(2000), 10.0, Decision::New),
            "both at once"
        );
    }

    #[test]
    fn two_known_individuals_decide() {
        let recent = after(known("W1"));
        let next = track(5, MINUTE, MINUTE + 2000);
        assert!(same(&recent, &next, 80.0, known("W1")));
        assert!(!same(&recent, &next, 0.0, known("W2")));
    }

    #[test]
    fn a_part_continues_its_track_at_any_similarity() {
        let mut recent = RecentEncounters::new(Duration::ZERO);
        let id = Uuid::from_u128(1);
        recent.remember(id, track(4, 0, 3000), whale(0.0), known("W1"));
        let next = track(4, 3100, 5000);
        let found = |camera| {
            let new = Decision::New;
            let next = Track { camera, ..next };
            let found = recent.find_continued(&next, &whale(90.0), &new, &rule(), None);
            found.map(|e| e.encounter)
        };
        assert_eq!((found(0), found(1)), (Some(id), None));
    }

    #[test]
    fn tracks_of_another_run_are_unrelated() {
        let recent = after(Decision::New);
        for number in [4, 5] {
            let next = Track {
                session: Uuid::from_u128(10),
                ..track(number, MINUTE, MINUTE + 1)
            };
            let new = Decision::New;
            let found = recent.find_continued(&next, &whale(0.0), &new, &rule(), None);
            assert!(found.is_none());
        }
    }

    #[test]
    fn the_most_similar_is_continued_and_time_counts_from_the_last_part() {
        let mut recent = after(Decision::New);
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        recent.remember(other, track(5, 4000, 6000), whale(20.0), Decision::New);
        let next = track(6, MINUTE, MINUTE + 1000);
        let of = |recent: &RecentEncounters, next: &Track, angle| {
            let new = Decision::New;
            let found = recent.find_continued(next, &whale(angle), &new, &rule(), None);
            found.map(|e| e.encounter)
        };
        assert_eq!(of(&recent, &next, 2.0), Some(one));
        assert_eq!(of(&recent, &next, 17.0), Some(other));
        recent.remember(
            one,
            track(7, 9 * MINUTE, 9 * MINUTE + 1),
            whale(0.0),
            Decision::New,
        );
        assert_eq!(
            of(&recent, &track(8, 18 * MINUTE, 18 * MINUTE + 1), 0.0),
            Some(one)
        );
        assert_eq!(
            of(&recent, &track(8, 18 * MINUTE, 18 * MINUTE + 1), 30.0),
            None
        );
    }

    #[test]
    fn descriptors_count_where_the_bundle_has_local_matching() {
        let layout = Layout {
            height: 1,
            width: 1,
            dimension: 2,
            fine: 0,
        };
        let described = |angle, numbers: [f32; 2]| {
            let local = Some(Descriptors::quantised(layout, &numbers).unwrap());
            let embedding = whale(angle)[0].embedding.clone();
            EmbeddedPhoto { embedding, local }
        };
        let score = LocalScore {
            weight: 1.0,
            intercept: 0.0,
            slope: 0.0,
            typical_norm: 0.5,
            whales: 30,
            photos: 2,
            fine: None,
        };
        let one = described(0.0, [1.0, 0.0]);
        let of = |other: &EmbeddedPhoto, local| photo_score(&one, other, local);
        // Equal descriptors add 1 - 0.5, descriptors at a right angle 0 - 0.5.
        let (same, other) = (described(60.0, [1.0, 0.0]), described(60.0, [0.0, 1.0]));
        assert!((of(&same, None) - 0.5).abs() < 1e-6);
        assert!((of(&same, Some(&score)) - 1.0).abs() < 1e-6);
        assert!(of(&other, Some(&score)).abs() < 1e-6);
        let without = EmbeddedPhoto {
            local: None,
            ..same.clone()
        };
        assert_eq!(of(&without, Some(&score)), of(&same, None));
    }

    #[test]
    fn memory_is_bounded() {
        let mut recent = RecentEncounters::new(Duration::from_secs(600));
        for i in 0..100 {
            let track = track(i, 0, 1);
            recent.remember(
                Uuid::from_u128(u128::from(i / 2)),
                track,
                whale(0.0),
                Decision::New,
            );
        }
        assert_eq!(recent.recent.len(), MAX_RECENT);
        for _ in 0..20 {
            recent.remember(
                Uuid::from_u128(49),
                track(9, 0, 1),
                whale(0.0),
                Decision::New,
            );
        }
        assert_eq!(recent.recent.len(), MAX_RECENT);
        assert_eq!(recent.recent.back().unwrap().embedded.len(), MAX_CROPS);
    }
}
