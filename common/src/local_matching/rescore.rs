//! Scores the best candidates of a search again, by their descriptors.

use super::score::{LEFT_OUT, LocalScore};
use crate::whale_score::{MAX_PHOTOS, TopScores, WhaleScore};

/// The number of most similar photos of each candidate that [`rescore`] can use: it compares some by their descriptors, and a whale's
/// score uses [`MAX_PHOTOS`] at most.
pub const CANDIDATE_PHOTOS: usize = 2 * MAX_PHOTOS;

/// A photo of a candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CandidatePhoto {
    /// The position of the photo in the gallery.
    pub photo: usize,
    /// Its cosine to the query.
    pub cosine: f32,
}

/// What [`rescore`] needs to know about a photo of the gallery.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GalleryPhoto {
    /// The similarity of its descriptors to the query's.
    pub similarity: f32,
    /// Its norm ([`LocalScore::norm`]).
    pub norm: f32,
}

/// The new score of a candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rescored {
    /// The score of the whale.
    pub score: f32,
    /// The position of its photo of the highest score.
    pub photo: usize,
    /// The cosine of its most similar photo.
    pub cosine: f32,
}

/// The scores of `candidates` for one query, in their order; `None` for one without photos.
///
/// Each candidate is the photos of a whale, the most similar first, at most [`CANDIDATE_PHOTOS`] of them. The photos of the whales of the
/// highest cosines are compared by `compare`; all others keep their cosine as score.
///
/// # Errors
/// Those of `compare`.
pub fn rescore<E>(
    candidates: &[&[CandidatePhoto]],
    rule: WhaleScore,
    local: &LocalScore,
    mut compare: impl FnMut(usize) -> Result<GalleryPhoto, E>,
) -> Result<Vec<Option<Rescored>>, E> {
    let cosine = |at: usize| {
        candidates[at]
            .first()
            .map_or(f32::NEG_INFINITY, |p| p.cosine)
    };
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    // Stable: whales of equal cosine stay in their order.
    order.sort_by(|&a, &b| cosine(b).total_cmp(&cosine(a)));
    order.truncate(local.whales);
    let compared: Vec<Vec<GalleryPhoto>> = order
        .iter()
        .map(|&at| {
            let photos = candidates[at].iter().take(local.photos);
            photos.map(|p| compare(p.photo)).collect()
        })
        .collect::<Result<_, E>>()?;
    let unrelated = compared.iter().skip(LEFT_OUT).flatten();
    let query_norm = local.norm(unrelated.map(|p| p.similarity));
    let mut by_candidate: Vec<&[GalleryPhoto]> = vec![&[]; candidates.len()];
    for (&at, photos) in order.iter().zip(&compared) {
        by_candidate[at] = photos;
    }
    let rescored = candidates.iter().zip(by_candidate).map(|(photos, found)| {
        let mut highest = TopScores::default();
        let mut best: Option<(f32, usize)> = None;
        for (at, photo) in photos.iter().enumerate() {
            let score = found.get(at).map_or(photo.cosine, |found| {
                local.of(photo.cosine, found.similarity, query_norm, found.norm)
            });
            highest.insert(score, rule.top_k);
            if best.is_none_or(|(b, _)| score > b) {
                best = Some((score, photo.photo));
            }
        }
        best.map(|(_, photo)| Rescored {
            score: rule.of(&highest),
            photo,
            cosine: photos[0].cosine,
        })
    });
    Ok(rescored.collect())
}
