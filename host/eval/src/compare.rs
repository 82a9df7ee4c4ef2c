//! Compares two bundles on the same photos, e.g. an int8 model with its float original.

use crate::gallery::encounters::single_photos;
use crate::gallery::labelled::LabelledEmbeddings;
use crate::metrics::rank::RankMetrics;
use crate::protocols::open_set::rule::verdict;
use crate::protocols::open_set::trial::{self, Purposes, TrialOptions};
use crate::protocols::retrieval::retrieve;
use flukewatch_common::decision::Decision;
use serde::Serialize;

/// Differences between two bundles.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Mean cosine of the two embeddings of a photo; `None` if the dimensions differ.
    pub mean_cosine: Option<f64>,
    /// Lowest cosine between the two embeddings of a photo.
    pub min_cosine: Option<f64>,
    /// Leave-one-out R@1 of the first bundle and of the other; `None` if no whale has two photos.
    pub recall_at_1: Option<[f64; 2]>,
    /// Decisions compared, over all open-set trials.
    pub decisions: usize,
    /// Fraction of decisions that differ in verdict or whale. Both bundles decide by the rule that
    /// enrolment fits for the first.
    pub disagreement_rate: f64,
    /// Fraction of decisions in which both name a whale, but different ones.
    pub identity_switch_rate: f64,
}

/// Compares the embeddings that two bundles make of the same photos.
pub fn compare(
    first: &LabelledEmbeddings,
    other: &LabelledEmbeddings,
    trials: usize,
    seed: u64,
) -> Comparison {
    let cosines: Vec<f64> = if first.rows().ncols() == other.rows().ncols() {
        first
            .rows()
            .rows()
            .into_iter()
            .zip(other.rows().rows())
            .map(|(a, b)| f64::from(a.dot(&b)))
            .collect()
    } else {
        vec![]
    };
    let recall = |photos| {
        let queries = retrieve(photos);
        let metrics = RankMetrics::of(queries.iter().map(|query| query.rank));
        (!queries.is_empty()).then_some(metrics.recall_at_1)
    };
    let (mut decisions, mut disagreements, mut switches) = (0, 0, 0);
    let options = TrialOptions {
        trials,
        seed,
        always_enrolled: &[],
        purposes: Purposes::HalvesOfEachTrial,
    };
    // The same seed and whales give the same halves and the same queries.
    let queries = single_photos(first);
    let of_first = trial::run(first, &queries, &options);
    for (a, b) in of_first.iter().zip(trial::run(other, &queries, &options)) {
        let Some(rule) = a.fitted_rule() else {
            continue;
        };
        for (ours, theirs) in a.queries.iter().zip(&b.queries) {
            let (ours, theirs) = (verdict(ours, &rule), verdict(theirs, &rule));
            decisions += 1;
            disagreements += usize::from(ours != theirs);
            let both_name = matches!(
                (&ours, &theirs),
                (Decision::Known { .. }, Decision::Known { .. })
            );
            switches += usize::from(both_name && ours != theirs);
        }
    }
    let rate = |count: usize| count as f64 / decisions.max(1) as f64;
    Comparison {
        mean_cosine: (!cosines.is_empty())
            .then(|| cosines.iter().sum::<f64>() / cosines.len() as f64),
        min_cosine: cosines.iter().copied().min_by(f64::total_cmp),
        recall_at_1: recall(first).zip(recall(other)).map(|(a, b)| [a, b]),
        decisions,
        disagreement_rate: rate(disagreements),
        identity_switch_rate: rate(switches),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gallery::labelled::tests::plane;

    const PHOTOS: usize = 120;

    /// Forty whales of three photos each, 9° apart, the photos half a degree from each other.
    fn whales(turn: impl Fn(usize) -> f32) -> LabelledEmbeddings {
        let names: Vec<String> = (0..PHOTOS).map(|i| format!("W{:02}", i / 3)).collect();
        let degrees = |i: usize| 9.0 * (i / 3) as f32 + 0.5 * (i % 3) as f32 + turn(i);
        let photos: Vec<(&str, f32)> = names
            .iter()
            .enumerate()
            .map(|(i, name)| (name.as_str(), degrees(i)))
            .collect();
        plane(&photos)
    }

    #[test]
    fn the_same_embeddings_decide_the_same() {
        let found = compare(&whales(|_| 0.0), &whales(|_| 0.0), 3, 5);
        assert!(found.decisions > 300, "{found:?}");
        assert_eq!(
            (found.disagreement_rate, found.identity_switch_rate),
            (0.0, 0.0)
        );
        assert_eq!(found.recall_at_1, Some([1.0, 1.0]));
        assert!((found.min_cosine.unwrap() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_moved_photo_changes_decisions() {
        // The last photo moves by 12.5° past 360° to 4.5°: 3.5° from the first whale, and farther
        // than that from its own.
        let moved = whales(|i| if i == PHOTOS - 1 { 12.5 } else { 0.0 });
        let found = compare(&whales(|_| 0.0), &moved, 5, 5);
        let cosine = 12.5f64.to_radians().cos();
        assert!(
            (found.min_cosine.unwrap() - cosine).abs() < 1e-5,
            "{found:?}"
        );
        let mean = (PHOTOS as f64 - 1.0 + cosine) / PHOTOS as f64;
        assert!((found.mean_cosine.unwrap() - mean).abs() < 1e-5);
        let [before, after] = found.recall_at_1.unwrap();
        assert_eq!(before, 1.0);
        assert!(
            (after - (1.0 - 1.0 / PHOTOS as f64)).abs() < 1e-9,
            "{after}"
        );
        assert!(
            found.disagreement_rate > 0.0 && found.disagreement_rate < 0.02,
            "{found:?}"
        );
    }

    #[test]
    fn other_dimensions_have_no_cosine() {
        let wide = LabelledEmbeddings::new(
            (0..PHOTOS)
                .map(|i| whales(|_| 0.0).label(i).clone())
                .collect(),
            3,
            whales(|_| 0.0)
                .rows()
                .rows()
                .into_iter()
                .flat_map(|r| [r[0], r[1], 0.0])
                .collect(),
        )
        .unwrap();
        let found = compare(&whales(|_| 0.0), &wide, 2, 5);
        assert_eq!((found.mean_cosine, found.disagreement_rate), (None, 0.0));
    }
}
