//! The best whales of a search with their photos, to be scored by more than cosines.

use super::names::Names;
use super::rows::Rows;
use super::scan::Hit;
use crate::embedding::dot;

/// A photo of a candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoredPhoto {
    /// The index of the photo in the catalogue.
    pub photo: usize,
    /// Its cosine to the query.
    pub cosine: f32,
}

/// A whale that photos may show.
#[derive(Clone, Debug, PartialEq)]
pub struct CandidateWhale {
    /// The whale's name.
    pub whale: String,
    /// For each query the most similar photos, best first.
    pub photos_by_query: Vec<Vec<ScoredPhoto>>,
}

/// The cosines of all photos of the whales in `hits` to each query, the `photos_each` highest of each, in the order of `hits`.
pub(super) fn candidates(
    hits: &[Hit],
    queries: &[&[f32]],
    photos_each: usize,
    rows: &Rows,
    whales: &[u32],
    names: &Names,
    photo_of: impl Fn(u32) -> Option<usize>,
) -> Vec<CandidateWhale> {
    let mut place = vec![u32::MAX; names.count()];
    for (hit, number) in hits.iter().zip(0..) {
        place[hit.whale as usize] = number;
    }
    let mut found: Vec<CandidateWhale> = hits
        .iter()
        .map(|hit| CandidateWhale {
            whale: names.name(hit.whale).to_owned(),
            photos_by_query: vec![vec![]; queries.len()],
        })
        .collect();
    let mut floats = rows.rerank_rows();
    for (row, &whale) in whales.iter().enumerate() {
        let at = place.get(whale as usize).copied();
        let Some(candidate) = at.and_then(|at| found.get_mut(at as usize)) else {
            continue;
        };
        let Some(photo) = photo_of(row as u32) else {
            continue;
        };
        let floats = floats.of(row);
        for (query, photos) in queries.iter().zip(&mut candidate.photos_by_query) {
            let cosine = dot(query, floats);
            let at = photos.partition_point(|p: &ScoredPhoto| p.cosine >= cosine);
            if at < photos_each {
                photos.insert(at, ScoredPhoto { photo, cosine });
                photos.truncate(photos_each);
            }
        }
    }
    found
}
