//! Two bundles on the same photos: does the one say what the other says? Meant for an int8 model beside its floats.

use super::bootstrap::Bootstrap;
use super::labelled::LabelledEmbeddings;
use super::open_set::{Drawing, draws, verdict};
use super::retrieval;
use flukewatch_common::decision::Verdict;
use serde::Serialize;

/// What differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Beside {
    /// Mean cosine between the two embeddings of a photo; `None` for bundles of different dimensions, whose embeddings have none.
    pub mean_cosine: Option<f64>,
    /// The lowest.
    pub lowest_cosine: Option<f64>,
    /// R@1 of the first bundle and of the other, leave one out; `None` where no whale has two photos.
    pub recall_at_1: Option<[f64; 2]>,
    /// Decisions compared: photos looked up among half of the whales, over all draws.
    pub decisions: usize,
    /// Of them, the share that differs: another of known, new and review, or known and another whale. Both decide by the rule that enrolling
    /// the whales of a draw sets for the first bundle.
    pub flipped: f64,
    /// Of them, the share that both name, each another whale.
    pub named_otherwise: f64,
}

/// Compares the embeddings that two bundles make of the same photos.
pub fn compare(
    first: &LabelledEmbeddings,
    other: &LabelledEmbeddings,
    drawn: usize,
    seed: u64,
) -> Beside {
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
        let found = retrieval::measure(photos, &Bootstrap { resamples: 0, seed }, None)?;
        Some(found.figures.recall_at_1)
    };
    let (mut decisions, mut flipped, mut named_otherwise) = (0, 0, 0);
    let drawing = Drawing {
        draws: drawn,
        seed,
        always: &[],
    };
    // The same seed and whales: the same halves, and the same photos looked up.
    for (a, b) in draws(first, &drawing).iter().zip(draws(other, &drawing)) {
        let Some(rule) = a.fitted_rule() else {
            continue;
        };
        for (ours, theirs) in a.queries.iter().zip(&b.queries) {
            let (ours, theirs) = (verdict(ours, &rule), verdict(theirs, &rule));
            decisions += 1;
            flipped += usize::from(ours != theirs);
            let both_name = matches!(
                (&ours, &theirs),
                (Verdict::Known { .. }, Verdict::Known { .. })
            );
            named_otherwise += usize::from(both_name && ours != theirs);
        }
    }
    let share = |of: usize| of as f64 / decisions.max(1) as f64;
    Beside {
        mean_cosine: (!cosines.is_empty())
            .then(|| cosines.iter().sum::<f64>() / cosines.len() as f64),
        lowest_cosine: cosines.iter().copied().min_by(f64::total_cmp),
        recall_at_1: recall(first).zip(recall(other)).map(|(a, b)| [a, b]),
        decisions,
        flipped: share(flipped),
        named_otherwise: share(named_otherwise),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::labelled::tests::plane;

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
        assert_eq!((found.flipped, found.named_otherwise), (0.0, 0.0));
        assert_eq!(found.recall_at_1, Some([1.0, 1.0]));
        assert!((found.lowest_cosine.unwrap() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_photo_that_moved_is_seen() {
        // The last photo goes 12.5° on, past 360°, to 4.5°: 3.5° from the first whale, farther from its own than they are apart.
        let moved = whales(|i| if i == PHOTOS - 1 { 12.5 } else { 0.0 });
        let found = compare(&whales(|_| 0.0), &moved, 5, 5);
        let cosine = 12.5f64.to_radians().cos();
        assert!(
            (found.lowest_cosine.unwrap() - cosine).abs() < 1e-5,
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
        assert!(found.flipped > 0.0 && found.flipped < 0.02, "{found:?}");
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
        assert_eq!((found.mean_cosine, found.flipped), (None, 0.0));
    }
}
