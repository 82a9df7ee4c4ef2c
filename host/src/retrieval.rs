//! Retrieval in a catalogue, leave one out: what training watches, and what thresholds are fitted on. Each enrolled photo is looked
//! up among all the others; ranks are over distinct whales.

use crate::evaluate::figures::RankFigures;
use crate::evaluate::labelled::LabelledEmbeddings;
use crate::evaluate::retrieval::looks;
use crate::evaluate::search::{WhaleScores, evidence, look_up};
use flukewatch_common::catalogue::Catalogue;
use flukewatch_common::decision::Evidence;
use flukewatch_common::whale_score::WhaleScore;
use serde::Serialize;

/// The figures of a retrieval.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Retrieval {
    /// Share of queries whose first whale is right.
    pub recall_at_1: f64,
    /// Share of queries whose whale is among the first five.
    pub recall_at_5: f64,
    /// Mean of 1 / rank of the right whale, 0 beyond the fifth: the measure of the humpback contests.
    pub map_at_5: f64,
    /// Photos looked up.
    pub queries: usize,
    /// Photos enrolled.
    pub enrolled: usize,
}

/// Looks up each photo of the catalogue whose whale has another; `None` where no whale has two.
pub fn leave_one_out(catalogue: &Catalogue) -> Option<Retrieval> {
    let photos = LabelledEmbeddings::of_catalogue(catalogue).ok()?;
    let looks = looks(&photos);
    let figures = RankFigures::of(looks.iter().map(|look| look.rank));
    (!looks.is_empty()).then_some(Retrieval {
        recall_at_1: figures.recall_at_1,
        recall_at_5: figures.recall_at_5,
        map_at_5: figures.map_at_5,
        queries: figures.queries,
        enrolled: catalogue.len(),
    })
}

/// What rules are fitted on: the photos of a catalogue among the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// Of photos whose whale has another photo: the best score of any whale.
    pub known: Vec<f32>,
    /// Of every photo, with its own whale taken out: the best score of any other.
    pub impostor: Vec<f32>,
    /// Both kinds of looks: what is known of the ranking, and whether its first whale is right.
    pub cases: Vec<(Evidence, bool)>,
}

/// Looks up each photo of the catalogue with its whale there and with its whale taken out.
pub fn scores(catalogue: &Catalogue, whale_score: WhaleScore) -> Scores {
    let Ok(photos) = LabelledEmbeddings::of_catalogue(catalogue) else {
        return Scores::default();
    };
    let photos = photos.scored_by(whale_score);
    let all: Vec<usize> = (0..photos.len()).collect();
    let found = look_up(&photos, &all, |query, scores| {
        let by_whale = WhaleScores::of(&photos, scores, |photo| photo != query);
        let own = photos.whale_of(query);
        let known = own.and_then(|whale| by_whale.score(whale)).and_then(|_| {
            let top = by_whale.top(2, |_| true);
            let right = top.first().map(|c| c.whale) == own;
            Some((evidence(&top)?, right))
        });
        let impostor = evidence(&by_whale.top(2, |whale| Some(whale) != own));
        (known, impostor)
    });
    let mut scores = Scores::default();
    for (known, impostor) in found {
        if let Some((evidence, right)) = known {
            scores.known.push(evidence.score);
            scores.cases.push((evidence, right));
        }
        if let Some(evidence) = impostor {
            scores.impostor.push(evidence.score);
            scores.cases.push((evidence, false));
        }
    }
    scores
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_common::catalogue::Enrolled;
    use flukewatch_common::embedding::Embedding;

    fn catalogue(rows: &[(&str, f32)]) -> Catalogue {
        let mut c = Catalogue::new(2);
        for (i, (whale, degrees)) in rows.iter().enumerate() {
            let (sin, cos) = degrees.to_radians().sin_cos();
            let entry = Enrolled {
                whale: (*whale).into(),
                photo: i.to_string(),
                source: String::new(),
            };
            c.enrol(entry, &Embedding::normalised(vec![cos, sin]).unwrap())
                .unwrap();
        }
        c
    }

    #[test]
    fn figures_worked_by_hand() {
        // a1 (0°) finds B first, then A: rank 2. a2 (30°) finds B (20°), C (35°), then A: wait, C is nearer: 5° against 10°.
        let c = catalogue(&[("A", 0.0), ("A", 30.0), ("B", 20.0), ("C", 35.0)]);
        let r = leave_one_out(&c).unwrap();
        assert_eq!((r.queries, r.enrolled), (2, 4));
        assert_eq!((r.recall_at_1, r.recall_at_5), (0.0, 1.0));
        assert!((r.map_at_5 - (0.5 + 1.0 / 3.0) / 2.0).abs() < 1e-9);
    }

    #[test]
    fn scores_of_known_and_of_new() {
        let c = catalogue(&[("A", 0.0), ("A", 60.0), ("B", 90.0)]);
        let s = scores(&c, WhaleScore::BEST);
        let near = |got: &[f32], expected: &[f32]| {
            got.iter().zip(expected).all(|(g, e)| (g - e).abs() < 1e-6)
        };
        assert!(
            s.known.len() == 2 && near(&s.known, &[0.5, 0.866_025_4]),
            "{s:?}"
        );
        assert!(
            s.impostor.len() == 3 && near(&s.impostor, &[0.0, 0.866_025_4, 0.866_025_4]),
            "{s:?}"
        );
        // The photo at 0 degrees finds its own whale, the one at 60 degrees finds B; nobody else is ever right.
        let right: Vec<bool> = s.cases.iter().map(|(_, right)| *right).collect();
        assert_eq!(right, [true, false, false, false, false]);
        assert!((s.cases[0].0.lead - 0.5).abs() < 1e-6);
    }

    #[test]
    fn one_photo_per_whale_everywhere_has_no_query() {
        assert_eq!(leave_one_out(&catalogue(&[("A", 0.0), ("B", 9.0)])), None);
    }
}
