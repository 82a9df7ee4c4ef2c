//! Leave-one-out retrieval in a catalogue: validation metrics of a training run, and the scores on
//! which thresholds are fitted.

use crate::gallery::encounters::as_on_board;
use crate::gallery::labelled::LabelledEmbeddings;
use crate::gallery::search::{ranking_features, score_encounters};
use crate::metrics::rank::RankMetrics;
use crate::protocols::retrieval::retrieve;
use flukewatch_common::catalogue::Catalogue;
use flukewatch_common::decision::CalibrationCase;
use flukewatch_common::whale_score::WhaleScore;
use serde::Serialize;

/// Retrieval metrics of a catalogue.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RetrievalSummary {
    /// Fraction of queries whose first whale is right.
    pub recall_at_1: f64,
    /// Fraction of queries whose whale is among the first five.
    pub recall_at_5: f64,
    /// Mean of 1 / rank of the right whale, 0 beyond the fifth: the metric of the humpback
    /// contests.
    pub map_at_5: f64,
    /// Number of queries.
    pub queries: usize,
    /// Number of photos in the gallery.
    pub enrolled: usize,
}

/// Searches each photo whose whale has another; `None` if no whale has two photos.
pub fn retrieval(catalogue: &Catalogue) -> Option<RetrievalSummary> {
    let queries = retrieve(&embeddings(catalogue));
    let metrics = RankMetrics::of(queries.iter().map(|query| query.rank));
    (!queries.is_empty()).then_some(RetrievalSummary {
        recall_at_1: metrics.recall_at_1,
        recall_at_5: metrics.recall_at_5,
        map_at_5: metrics.map_at_5,
        queries: metrics.queries,
        enrolled: catalogue.len(),
    })
}

/// Scores on which a decision rule is fitted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CatalogueScores {
    /// Best score of any whale, for each encounter whose whale is left in the gallery.
    pub known: Vec<f32>,
    /// Best score of any other whale, for each encounter, with its own whale left out.
    pub impostor: Vec<f32>,
    /// Rankings of both kinds.
    pub rankings: Vec<CalibrationCase>,
}

/// Searches each encounter of a catalogue twice, see [`scores_of`].
pub fn scores(catalogue: &Catalogue, whale_score: WhaleScore) -> CatalogueScores {
    scores_of(&embeddings(catalogue).scored_by(whale_score))
}

/// Searches each encounter, of 1 to 5 photos as on the boat, twice: with its whale in the gallery,
/// and without.
pub fn scores_of(photos: &LabelledEmbeddings) -> CatalogueScores {
    let encounters = as_on_board(photos);
    let found = score_encounters(
        photos,
        &encounters,
        |_| true,
        |encounter, scores| {
            let by_whale = scores.whales();
            let own = encounters[encounter]
                .first()
                .and_then(|&photo| photos.whale_of(photo));
            let known = own.and_then(|whale| by_whale.score(whale)).and_then(|_| {
                let top = by_whale.top(2, |_| true);
                let right = top.first().map(|c| c.whale) == own;
                Some((ranking_features(&top)?, right))
            });
            let impostor = ranking_features(&by_whale.top(2, |whale| Some(whale) != own));
            (known, impostor)
        },
    );
    let mut scores = CatalogueScores::default();
    for (known, impostor) in found {
        if let Some((features, right)) = known {
            scores.known.push(features.score);
            scores.rankings.push(CalibrationCase {
                features,
                known: true,
                correct: right,
            });
        }
        if let Some(features) = impostor {
            scores.impostor.push(features.score);
            scores.rankings.push(CalibrationCase {
                features,
                known: false,
                correct: false,
            });
        }
    }
    scores
}

fn embeddings(catalogue: &Catalogue) -> LabelledEmbeddings {
    LabelledEmbeddings::of_catalogue(catalogue).expect("a catalogue holds valid embeddings")
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
                ..Enrolled::default()
            };
            c.enrol(entry, &Embedding::normalised(vec![cos, sin]).unwrap())
                .unwrap();
        }
        c
    }

    #[test]
    fn metrics_worked_by_hand() {
        // a1 (0°) finds B first, then A: rank 2. a2 (30°) finds C (5° away), B (10°), then A: rank
        // 3.
        let c = catalogue(&[("A", 0.0), ("A", 30.0), ("B", 20.0), ("C", 35.0)]);
        let r = retrieval(&c).unwrap();
        assert_eq!((r.queries, r.enrolled), (2, 4));
        assert_eq!((r.recall_at_1, r.recall_at_5), (0.0, 1.0));
        assert!((r.map_at_5 - (0.5 + 1.0 / 3.0) / 2.0).abs() < 1e-9);
    }

    #[test]
    fn scores_of_known_and_of_new_whales() {
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
        // The photo at 0 degrees finds its own whale, the one at 60 degrees finds B; no other whale
        // is ever right.
        let right: Vec<bool> = s.rankings.iter().map(|case| case.correct).collect();
        assert_eq!(right, [true, false, false, false, false]);
        assert!((s.rankings[0].features.top_margin - 0.5).abs() < 1e-6);
    }

    #[test]
    fn single_photos_give_no_query() {
        assert_eq!(retrieval(&catalogue(&[("A", 0.0), ("B", 9.0)])), None);
    }
}
