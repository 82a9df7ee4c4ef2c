//! The best whales of a search, scored again by descriptors with the code that the boat uses.

use crate::gallery::labelled::LabelledEmbeddings;
use crate::gallery::local::LocalGallery;
use flukewatch_common::local_matching::{CANDIDATE_PHOTOS, CandidatePhoto, GalleryPhoto, rescore};
use flukewatch_common::whale_score::WhaleScore;
use std::convert::Infallible;

/// A whale with its photos, the most similar first.
pub(crate) type Candidate = (usize, Vec<CandidatePhoto>);

/// The whales of the highest of `cosines`, one per whale, best first; those of equal cosine in the
/// order of their names.
pub(crate) fn best_whales(cosines: impl Iterator<Item = Option<f32>>, most: usize) -> Vec<usize> {
    let mut order: Vec<(usize, f32)> = cosines
        .enumerate()
        .filter_map(|(whale, cosine)| Some((whale, cosine?)))
        .collect();
    let by_cosine = |a: &(usize, f32), b: &(usize, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if order.len() > most {
        order.select_nth_unstable_by(most - 1, by_cosine);
        order.truncate(most);
    }
    order.sort_unstable_by(by_cosine);
    order.into_iter().map(|(whale, _)| whale).collect()
}

/// Whales with their photos in a query's gallery: those that have a `cosine`.
pub(crate) fn candidates(
    photos: &LabelledEmbeddings,
    whales: &[usize],
    cosine: impl Fn(usize) -> Option<f32>,
) -> Vec<Candidate> {
    let with_photos = |&whale: &usize| {
        let mut found: Vec<CandidatePhoto> = photos
            .photos_of(whale)
            .iter()
            .filter_map(|&photo| {
                let cosine = cosine(photo)?;
                Some(CandidatePhoto { photo, cosine })
            })
            .collect();
        found.sort_by(|a, b| b.cosine.total_cmp(&a.cosine));
        found.truncate(CANDIDATE_PHOTOS);
        (whale, found)
    };
    whales.iter().map(with_photos).collect()
}

/// The new scores of candidates for a query: whale, score and photo of the highest score.
pub(crate) fn rescored(
    local: &LocalGallery,
    norm: impl Fn(usize) -> f32,
    query: usize,
    candidates: &[Candidate],
    rule: WhaleScore,
) -> Vec<(usize, f32, usize)> {
    let photos: Vec<&[CandidatePhoto]> = candidates.iter().map(|(_, p)| p.as_slice()).collect();
    let compare = |photo: usize| {
        Ok::<_, Infallible>(GalleryPhoto {
            similarity: local.similarity(query, photo),
            norm: norm(photo),
        })
    };
    let Ok(scores) = rescore(&photos, rule, local.score(), compare);
    let whales = candidates.iter().map(|(whale, _)| *whale);
    whales
        .zip(scores)
        .filter_map(|(whale, rescored)| rescored.map(|r| (whale, r.score, r.photo)))
        .collect()
}
