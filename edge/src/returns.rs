//! Whales that dive and come back: which of the encounters of the last minutes a new one continues.
//!
//! Nothing waits for a return. Each part of an encounter is reported as soon as it is over; what is remembered here is only of whom the last
//! ones were, so that a later part can name the encounter that it belongs to. When the program ends it is forgotten, and a whale that comes
//! back after that begins another encounter.

use crate::encounter::Encounter;
use crate::time::Moment;
use flukewatch_common::decision::{DecisionRule, Verdict};
use flukewatch_common::embedding::Embedding;
use flukewatch_common::footage::MAX_CROPS;
use flukewatch_common::whale_score::Highest;
use std::collections::VecDeque;
use std::time::Duration;
use uuid::Uuid;

/// How many encounters are remembered at most.
const MOST: usize = 32;

/// What is remembered of an encounter.
#[derive(Clone, Debug)]
pub struct Earlier {
    /// The id of its first sighting.
    pub encounter: Uuid,
    /// The embeddings of its crops, newest last, at most [`MAX_CROPS`].
    pub embeddings: Vec<Embedding>,
    verdict: Verdict,
    camera: usize,
    track: u64,
    ended: Moment,
}

/// The encounters of the last minutes.
#[derive(Debug)]
pub struct Returns {
    within: Duration,
    recent: VecDeque<Earlier>,
}

impl Returns {
    /// A whale that comes back `within` this time is the same encounter. With no time at all only the parts of one that is too long
    /// belong together.
    pub fn new(within: Duration) -> Self {
        Self {
            within,
            recent: VecDeque::with_capacity(MOST),
        }
    }

    /// The encounter that `encounter` before camera number `camera` continues; `embeddings` are of its crops, `verdict` is what `rule`
    /// says of them.
    ///
    /// A part of one that got too long continues that one. Otherwise it must have begun after the other ended, for a whale is not in two
    /// places. Two names settle it. Where one of both has none, the crops are compared as with a whale of the catalogue: from
    /// [`DecisionRule::known_at`] on they show the same one. Of two photos
    /// from different encounters, 0.78 of those of one whale are then taken for it, and 0.0016 of those of two; with two crops on either side 0.88
    /// and 0.0007 (the shipped model, photos of whales that it never saw).
    pub fn continued(
        &self,
        camera: usize,
        encounter: &Encounter,
        embeddings: &[Embedding],
        verdict: &Verdict,
        rule: &DecisionRule,
    ) -> Option<&Earlier> {
        let part = |e: &&Earlier| e.camera == camera && e.track == encounter.track;
        if let Some(same) = self.recent.iter().rev().find(part) {
            return Some(same);
        }
        let of_time = self.recent.iter().filter(|e| {
            let since = encounter.started.micros_since(e.ended);
            since > 0 && encounter.started.since(e.ended) <= self.within
        });
        let alike = of_time.filter_map(|e| {
            let score = similarity(embeddings, &e.embeddings, rule);
            let same = match (verdict, &e.verdict) {
                (Verdict::Known { whale }, Verdict::Known { whale: theirs }) => whale == theirs,
                _ => score >= rule.known_at,
            };
            same.then_some((score, e))
        });
        alike.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, e)| e)
    }

    /// Remembers a part of `id`'s encounter that was just reported, with the verdict on all of it.
    pub fn remember(
        &mut self,
        id: Uuid,
        camera: usize,
        encounter: &Encounter,
        embeddings: Vec<Embedding>,
        verdict: Verdict,
    ) {
        let before = self.recent.iter().position(|e| e.encounter == id);
        let before = before.and_then(|at| self.recent.remove(at));
        let mut all = before.map(|e| e.embeddings).unwrap_or_default();
        all.extend(embeddings);
        all.drain(..all.len().saturating_sub(MAX_CROPS));
        if self.recent.len() == MOST {
            self.recent.pop_front();
        }
        self.recent.push_back(Earlier {
            encounter: id,
            embeddings: all,
            verdict,
            camera,
            track: encounter.track,
            ended: encounter.ended,
        });
    }
}

/// How alike the crops of two encounters are: the mean over the ones of their score with the others, scored as a whale's photos are.
fn similarity(these: &[Embedding], those: &[Embedding], rule: &DecisionRule) -> f32 {
    let score = |one: &Embedding| {
        let mut highest = Highest::default();
        let same_kind = those.iter().filter(|o| o.dimension() == one.dimension());
        same_kind.for_each(|other| highest.see(one.cosine(other), rule.whale_score.of_top));
        rule.whale_score.of(&highest)
    };
    let sum: f32 = these.iter().map(score).sum();
    sum / these.len().max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_common::footage::FrameSize;

    const MINUTE: i64 = 60_000;

    fn encounter(track: u64, started: i64, ended: i64) -> Encounter {
        Encounter {
            track,
            started: Moment::from_millis(started),
            ended: Moment::from_millis(ended),
            frames: 9,
            crops: vec![],
            places: vec![],
            frame: FrameSize::default(),
            detector: None,
        }
    }

    /// Embeddings of a whale at `angle` in degrees, as two crops show it.
    fn whale(angle: f32) -> Vec<Embedding> {
        let at = |a: f32| {
            let a = (angle + a).to_radians();
            Embedding::normalised(vec![a.cos(), a.sin()]).unwrap()
        };
        vec![at(-3.0), at(3.0)]
    }

    fn rule() -> DecisionRule {
        DecisionRule::thresholds(0.9, 0.6, "")
    }

    fn known(whale: &str) -> Verdict {
        Verdict::Known {
            whale: whale.into(),
        }
    }

    /// Returns that remember encounter 1, from 0 to 3 s, of a whale at 0 degrees with this verdict.
    fn after(verdict: Verdict) -> Returns {
        let mut returns = Returns::new(Duration::from_secs(600));
        let first = encounter(4, 0, 3000);
        returns.remember(Uuid::from_u128(1), 0, &first, whale(0.0), verdict);
        returns
    }

    fn same(returns: &Returns, next: &Encounter, angle: f32, verdict: Verdict) -> bool {
        let found = returns.continued(1, next, &whale(angle), &verdict, &rule());
        found.is_some_and(|e| e.encounter == Uuid::from_u128(1))
    }

    #[test]
    fn a_whale_that_comes_back_within_minutes_continues_its_encounter() {
        let returns = after(Verdict::New);
        let next = |started| encounter(5, started, started + 2000);
        assert!(same(&returns, &next(5 * MINUTE), 10.0, Verdict::New));
        assert!(same(&returns, &next(5 * MINUTE), 10.0, known("W1")));
        assert!(!same(&returns, &next(5 * MINUTE), 40.0, Verdict::New));
        assert!(!same(&returns, &next(11 * MINUTE), 10.0, Verdict::New));
        assert!(
            !same(&returns, &next(2000), 10.0, Verdict::New),
            "both at once"
        );
    }

    #[test]
    fn two_names_settle_it() {
        let returns = after(known("W1"));
        let next = encounter(5, MINUTE, MINUTE + 2000);
        assert!(same(&returns, &next, 80.0, known("W1")));
        assert!(!same(&returns, &next, 0.0, known("W2")));
    }

    #[test]
    fn a_part_continues_its_track_whatever_it_looks_like() {
        let mut returns = Returns::new(Duration::ZERO);
        let id = Uuid::from_u128(1);
        returns.remember(id, 0, &encounter(4, 0, 3000), whale(0.0), known("W1"));
        let next = encounter(4, 3100, 5000);
        let found = |camera| {
            let new = Verdict::New;
            let found = returns.continued(camera, &next, &whale(90.0), &new, &rule());
            found.map(|e| e.encounter)
        };
        assert_eq!((found(0), found(1)), (Some(id), None));
    }

    #[test]
    fn of_several_the_most_similar_is_continued_and_time_counts_from_the_last_part() {
        let mut returns = after(Verdict::New);
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        returns.remember(
            other,
            0,
            &encounter(5, 4000, 6000),
            whale(20.0),
            Verdict::New,
        );
        let next = encounter(6, MINUTE, MINUTE + 1000);
        let of = |returns: &Returns, next: &Encounter, angle| {
            let new = Verdict::New;
            let found = returns.continued(0, next, &whale(angle), &new, &rule());
            found.map(|e| e.encounter)
        };
        assert_eq!(of(&returns, &next, 2.0), Some(one));
        assert_eq!(of(&returns, &next, 17.0), Some(other));
        returns.remember(
            one,
            0,
            &encounter(7, 9 * MINUTE, 9 * MINUTE + 1),
            whale(0.0),
            Verdict::New,
        );
        assert_eq!(
            of(&returns, &encounter(8, 18 * MINUTE, 18 * MINUTE + 1), 0.0),
            Some(one)
        );
        assert_eq!(
            of(&returns, &encounter(8, 18 * MINUTE, 18 * MINUTE + 1), 30.0),
            None
        );
    }

    #[test]
    fn memory_is_bounded() {
        let mut returns = Returns::new(Duration::from_secs(600));
        for i in 0..100 {
            let e = encounter(i, 0, 1);
            returns.remember(
                Uuid::from_u128(u128::from(i / 2)),
                0,
                &e,
                whale(0.0),
                Verdict::New,
            );
        }
        assert_eq!(returns.recent.len(), MOST);
        for _ in 0..20 {
            returns.remember(
                Uuid::from_u128(49),
                0,
                &encounter(9, 0, 1),
                whale(0.0),
                Verdict::New,
            );
        }
        assert_eq!(returns.recent.len(), MOST);
        assert_eq!(returns.recent.back().unwrap().embeddings.len(), MAX_CROPS);
    }
}
