//! The best whales of a search, scored again by descriptors with the code that the boat uses.

use crate::gallery::labelled::LabelledEmbeddings;
use crate::gallery::local::LocalGallery;
use flukewatch_common::local_matching::{
    CANDIDATE_PHOTOS, CandidatePhoto, GalleryPhoto, rescore, similarity,
};
use flukewatch_common::whale_score::WhaleScore;
use std::convert::Infallible;

/// A whale with its photos, the most similar first.
pub(crate) type Candidate = (usize, Vec<CandidatePhoto>);

/// The whales of the highest cosines to a query, best first, with their eligible photos. `best` holds for each whale the position of its
/// most similar eligible photo.
pub(crate) fn candidates(
    photos: &LabelledEmbeddings,
    best: impl Iterator<Item = Option<usize>>,
    cosines: &[f32],
    eligible: impl Fn(usize) -> bool,
    most: usize,
) -> Vec<Candidate> {
    let mut order: Vec<(usize, usize)> = best
        .enumerate()
        .filter_map(|(whale, photo)| Some((whale, photo?)))
        .collect();
    // Whales of equal cosine are in the order of their names.
    let by_cosine = |a: &(usize, usize), b: &(usize, usize)| {
        cosines[b.1].total_cmp(&cosines[a.1]).then(a.0.cmp(&b.0))
    };
    if order.len() > most {
        order.select_nth_unstable_by(most - 1, by_cosine);
        order.truncate(most);
    }
    order.sort_unstable_by(by_cosine);
    let with_photos = |(whale, _): (usize, usize)| {
        let mut found: Vec<CandidatePhoto> = photos
            .photos_of(whale)
            .iter()
            .filter(|&&photo| eligible(photo))
            .map(|&photo| CandidatePhoto {
                photo,
                cosine: cosines[photo],
            })
            .collect();
        found.sort_by(|a, b| b.cosine.total_cmp(&a.cosine));
        found.truncate(CANDIDATE_PHOTOS);
        (whale, found)
    };
    order.into_iter().map(with_photos).collect()
}

/// The new scores of candidates for a query: whale, score and photo of the highest score.
pub(crate) fn rescored(
    local: &LocalGallery,
    norms: &[f32],
    query: usize,
    candidates: &[Candidate],
    rule: WhaleScore,
) -> Vec<(usize, f32, usize)> {
    let photos: Vec<&[CandidatePhoto]> = candidates.iter().map(|(_, p)| p.as_slice()).collect();
    let compare = |photo: usize| {
        Ok::<_, Infallible>(GalleryPhoto {
            similarity: similarity(&local.descriptors[query], &local.descriptors[photo]),
            norm: norms[photo],
        })
    };
    let Ok(scores) = rescore(&photos, rule, &local.score, compare);
    let whales = candidates.iter().map(|(whale, _)| *whale);
    whales
        .zip(scores)
        .filter_map(|(whale, rescored)| rescored.map(|r| (whale, r.score, r.photo)))
        .collect()
}
