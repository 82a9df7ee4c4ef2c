//! Local matching among labelled photos.

use crate::gallery::candidates::{best_whales, candidates};
use crate::gallery::labelled::LabelledEmbeddings;
use crate::gallery::local::{LocalGallery, Norms};
use crate::gallery::search::{PhotoScores, score_photos};
use flukewatch_common::local_matching::{CandidatePhoto, LocalCatalogue, LocalPhotosError};

/// The photos with their descriptors, so that the best whales of a search are scored by them as well.
///
/// # Panics
/// If there is not one set of descriptors per photo.
pub fn with_local(photos: LabelledEmbeddings, local: LocalGallery) -> LabelledEmbeddings {
    let norms = norms(&photos, &local, |_| true);
    photos.with_descriptors(local, norms)
}

/// The photos of a catalogue, made by [`LabelledEmbeddings::of_catalogue`], with their descriptors.
///
/// # Errors
/// If descriptors are damaged.
pub fn with_local_of(
    photos: LabelledEmbeddings,
    local: LocalCatalogue<'_>,
) -> Result<LabelledEmbeddings, LocalPhotosError> {
    let descriptors = (0..photos.len())
        .map(|photo| local.photos.descriptors(photo))
        .collect::<Result<_, _>>()?;
    let score = *local.score;
    Ok(with_local(photos, LocalGallery::new(descriptors, score)))
}

/// The norm of every photo: its mean similarity to the photos that a search in its gallery among the other enrolled whales finds. Photos of
/// whales that are not enrolled get the typical norm.
pub fn norms(
    photos: &LabelledEmbeddings,
    local: &LocalGallery,
    enrolled: impl Fn(usize) -> bool + Sync,
) -> Norms {
    let queries: Vec<usize> = (0..photos.len())
        .filter(|&photo| photos.whale_of(photo).is_some_and(&enrolled))
        .collect();
    let found = score_photos(photos, &queries, |query, scores| {
        let others = |whale| enrolled(whale) && Some(whale) != photos.whale_of(query);
        pairs_of(photos, local, query, scores, others)
            .into_iter()
            .map(|pair| (pair.photo as u32, pair.similarity))
            .collect()
    });
    let mut norms = Norms::typical(photos.len(), local.score());
    for (query, compared) in queries.into_iter().zip(found) {
        norms.set(query, compared, local.score());
    }
    norms
}

/// A query and a photo that its search finds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LocalPair {
    /// Position of the query.
    pub query: usize,
    /// Position of the other photo.
    pub photo: usize,
    /// The cosine of their embeddings.
    pub cosine: f32,
    /// Their similarity ([`LocalScore::similarity`]).
    pub similarity: f32,
}

/// The pairs that a search of every named photo in its gallery compares by descriptors.
pub fn pairs(photos: &LabelledEmbeddings, local: &LocalGallery) -> Vec<LocalPair> {
    let queries: Vec<usize> = (0..photos.len())
        .filter(|&photo| photos.whale_of(photo).is_some())
        .collect();
    let found = score_photos(photos, &queries, |query, scores| {
        pairs_of(photos, local, query, scores, |_| true)
    });
    found.into_iter().flatten().collect()
}

fn pairs_of(
    photos: &LabelledEmbeddings,
    local: &LocalGallery,
    query: usize,
    scores: &PhotoScores<'_>,
    eligible: impl Fn(usize) -> bool,
) -> Vec<LocalPair> {
    let best = (0..photos.whales().len()).map(|whale| {
        let of_whale = scores.view().photos_of(whale);
        let cosines = of_whale.filter_map(|photo| scores.score(photo));
        cosines.max_by(f32::total_cmp).filter(|_| eligible(whale))
    });
    let whales = best_whales(best, local.score().whales);
    let found = candidates(photos, &whales, |photo| scores.score(photo));
    let compared = found
        .iter()
        .flat_map(|(_, photos)| photos.iter().take(local.score().photos));
    compared
        .map(|&CandidatePhoto { photo, cosine }| LocalPair {
            query,
            photo,
            cosine,
            similarity: local.similarity(query, photo),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gallery::labelled::tests::{plane, plane_with};
    use crate::gallery::search::score_encounters;
    use flukewatch_common::local_matching::{Descriptors, Layout, LocalScore};

    const LAYOUT: Layout = Layout {
        height: 1,
        width: 2,
        dimension: 2,
        fine: 0,
    };

    /// Descriptors that all point to `degrees`, so that a similarity is the cosine of two angles.
    fn pointing(degrees: f32) -> Descriptors {
        let (sin, cos) = degrees.to_radians().sin_cos();
        Descriptors::quantised(LAYOUT, &[cos, sin, cos, sin]).unwrap()
    }

    const SCORE: LocalScore = LocalScore {
        weight: 1.0,
        intercept: 0.0,
        slope: 0.0,
        typical_norm: 0.5,
        whales: 30,
        photos: 2,
        fine: None,
    };

    fn local(degrees: &[f32]) -> LocalGallery {
        let descriptors = degrees.iter().map(|d| pointing(*d)).collect();
        LocalGallery::new(descriptors, SCORE)
    }

    #[test]
    fn descriptors_change_the_order_of_whales() {
        // By its embedding the query (0°) is like B, by its descriptors like the other photo of A.
        let photos = plane(&[("A", 0.0), ("A", 30.0), ("B", 20.0), ("C", 80.0)]);
        let first = |photos: &LabelledEmbeddings| {
            let found = score_photos(photos, &[0], |_, scores| scores.whales());
            found[0].top(1, |_| true)[0]
        };
        assert_eq!(first(&photos).whale, 1);
        let photos = with_local(photos, local(&[0.0, 0.0, 90.0, 90.0]));
        let found = first(&photos);
        assert_eq!((found.whale, found.photo), (0, 1));
        // cos 30° + 1 - (0.5 + norm of photo 1) / 2, cut off at 1; that norm is the mean of four typical ones, and 0 for B and C.
        let norm = photos.norms().values()[1];
        assert!((norm - 2.0 / 6.0).abs() < 1e-3, "{norm}");
        assert_eq!(found.score, 1.0);
    }

    #[test]
    fn norms_are_of_the_enrolled_whales_only() {
        let photos = plane(&[("A", 0.0), ("B", 20.0), ("C", 80.0), ("?", 1.0)]);
        let local = local(&[0.0, 0.0, 90.0, 0.0]);
        let found = norms(&photos, &local, |_| true);
        let all = found.values();
        // A: B is equal (1), C is not (0), and four of 0.5.
        assert!((all[0] - 3.0 / 6.0).abs() < 1e-3, "{all:?}");
        let some = norms(&photos, &local, |whale| whale != 2);
        let some = some.values();
        assert!((some[0] - 3.0 / 5.0).abs() < 1e-3, "{some:?}");
        assert_eq!((some[2], some[3]), (0.5, 0.5));
        // For a query that hides B, its photo does not count.
        let seen = found.seen(0, local.score(), |photo| photo != 1);
        assert!((seen - 2.0 / 5.0).abs() < 1e-3, "{seen}");
    }

    /// Photos of A and B at these angles, the first two of one encounter, with descriptors that are
    /// the same for the encounter.
    fn encounter() -> LabelledEmbeddings {
        let photos = [
            ("A", 0.0),
            ("A", 1.0),
            ("A", 30.0),
            ("B", 20.0),
            ("C", 80.0),
        ];
        let photos = plane_with(&photos, |i, label| {
            label.encounter = Some(["e1", "e1", "e2", "e3", "e4"][i].into());
        });
        with_local(photos, local(&[0.0, 0.0, 90.0, 90.0, 90.0]))
    }

    #[test]
    fn descriptors_of_the_same_encounter_are_not_compared() {
        let photos = encounter();
        let found = score_photos(&photos, &[0], |_, scores| {
            (scores.score(1), scores.whales().top(3, |_| true))
        });
        let (own, top) = &found[0];
        // The other photo of the encounter would win; without it B is nearer than A.
        let order: Vec<_> = top.iter().map(|c| (c.whale, c.photo)).collect();
        assert_eq!((*own, order), (None, vec![(1, 3), (0, 2), (2, 4)]));
        let pairs = pairs(&photos, photos.local().unwrap());
        let hidden = |pair: &LocalPair| pair.query < 2 && pair.photo < 2;
        assert!(!pairs.iter().any(hidden), "{pairs:?}");
    }

    #[test]
    fn an_encounter_scores_the_mean_over_its_photos_by_descriptors() {
        let photos = encounter();
        let alone = score_photos(&photos, &[0, 1], |_, scores| scores.whales());
        let found = score_encounters(
            &photos,
            &[vec![0, 1]],
            |_| true,
            |_, s| s.whales().into_owned(),
        );
        for whale in 0..3 {
            let mean = alone.iter().filter_map(|s| s.score(whale)).sum::<f32>() / 2.0;
            let score = found[0].score(whale).unwrap();
            assert!((score - mean).abs() < 1e-6, "{whale}: {score} {mean}");
        }
    }

    #[test]
    fn pairs_leave_the_query_out() {
        let photos = plane(&[("A", 0.0), ("A", 60.0), ("B", 90.0)]);
        let found = pairs(&photos, &local(&[0.0, 0.0, 90.0]));
        let of_first: Vec<_> = found.iter().filter(|p| p.query == 0).collect();
        assert_eq!(of_first.iter().map(|p| p.photo).collect::<Vec<_>>(), [1, 2]);
        assert!((of_first[0].cosine - 0.5).abs() < 1e-6);
        assert!((of_first[0].similarity - 1.0).abs() < 1e-3);
        assert_eq!(found.len(), 6);
    }
}
