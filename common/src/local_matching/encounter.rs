//! The search of an encounter in a catalogue, by embeddings and descriptors.

use super::descriptors::Descriptors;
use super::photos::{LocalPhotos, LocalPhotosError};
use super::rescore::{CANDIDATE_PHOTOS, CandidatePhoto, GalleryPhoto, rescore};
use super::score::LocalScore;
use crate::catalogue::{CandidateWhale, Catalogue, CatalogueError, Match};
use crate::embedding::Embedding;
use crate::whale_score::WhaleScore;

/// A photo as the model sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddedPhoto {
    /// Its embedding.
    pub embedding: Embedding,
    /// Its descriptors, where the bundle has local matching.
    pub local: Option<Descriptors>,
}

/// The descriptors of a catalogue's photos and how they are scored.
#[derive(Clone, Copy, Debug)]
pub struct LocalCatalogue<'a> {
    /// The descriptors.
    pub photos: &'a LocalPhotos,
    /// The score.
    pub score: &'a LocalScore,
}

/// Why a search fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// The catalogue cannot be searched.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The descriptors cannot be used.
    #[error(transparent)]
    Local(#[from] LocalPhotosError),
}

/// The `most` best whales for one or several photos of the same whale, best first; whales of equal score by name. A whale's score is
/// the mean over the queries, its photo the one of the highest score.
///
/// Without `local`, or if a query has no descriptors, whales are scored by cosines alone ([`Catalogue::search_encounter`]).
///
/// # Errors
/// When the queries are of another model, or descriptors are damaged or do not belong to the catalogue.
pub fn search_encounter(
    catalogue: &Catalogue,
    local: Option<LocalCatalogue<'_>>,
    queries: &[EmbeddedPhoto],
    rule: WhaleScore,
    most: usize,
) -> Result<Vec<Match>, SearchError> {
    let described: Option<Vec<&Descriptors>> = queries.iter().map(|q| q.local.as_ref()).collect();
    let (Some(LocalCatalogue { photos, score }), Some(described)) = (local, described) else {
        let embeddings: Vec<Embedding> = queries.iter().map(|q| q.embedding.clone()).collect();
        return Ok(catalogue.search_encounter(&embeddings, rule, most)?);
    };
    if photos.len() != catalogue.len() {
        return Err(LocalPhotosError::OtherCatalogue.into());
    }
    if let Some(other) = described.iter().find(|d| d.layout() != photos.layout()) {
        return Err(LocalPhotosError::Layout {
            expected: photos.layout(),
            got: other.layout(),
        }
        .into());
    }
    photos.expect_unchanged()?;
    let embeddings: Vec<&Embedding> = queries.iter().map(|q| &q.embedding).collect();
    // A whale that is not compared may still be among the best by its cosine.
    let candidates = catalogue.candidates(&embeddings, score.whales + most, CANDIDATE_PHOTOS)?;
    let mut gallery = Gallery {
        photos,
        score,
        read: vec![],
    };
    let mut sums: Vec<Sum> = vec![Sum::default(); candidates.len()];
    for (number, query) in described.iter().enumerate() {
        let by_candidate: Vec<Vec<CandidatePhoto>> = candidates
            .iter()
            .map(|whale| photos_for(whale, number))
            .collect();
        let slices: Vec<&[CandidatePhoto]> = by_candidate.iter().map(Vec::as_slice).collect();
        let rescored = rescore(&slices, rule, score, |photo| gallery.compare(query, photo))?;
        for (sum, rescored) in sums.iter_mut().zip(rescored.into_iter().flatten()) {
            sum.score += rescored.score;
            if sum.best.is_none_or(|(score, _)| rescored.score > score) {
                sum.best = Some((rescored.score, rescored.photo));
            }
        }
    }
    photos.release_pages();
    let mut found: Vec<Match> = candidates
        .into_iter()
        .zip(sums)
        .filter_map(|(candidate, sum)| {
            let (_, photo) = sum.best?;
            Some(Match {
                whale: candidate.whale,
                score: sum.score / queries.len() as f32,
                photo: catalogue.entries()[photo].photo.clone(),
            })
        })
        .collect();
    found.sort_by(|a, b| {
        let order = b.score.total_cmp(&a.score);
        order.then_with(|| a.whale.cmp(&b.whale))
    });
    found.truncate(most);
    Ok(found)
}

fn photos_for(whale: &CandidateWhale, query: usize) -> Vec<CandidatePhoto> {
    let photos = whale.photos_by_query[query].iter();
    photos
        .map(|p| CandidatePhoto {
            photo: p.photo,
            cosine: p.cosine,
        })
        .collect()
}

/// The scores of a candidate over the queries.
#[derive(Clone, Copy, Default)]
struct Sum {
    score: f32,
    best: Option<(f32, usize)>,
}

/// Reads each photo of the gallery once for all queries.
struct Gallery<'a> {
    photos: &'a LocalPhotos,
    score: &'a LocalScore,
    read: Vec<(usize, Descriptors)>,
}

impl Gallery<'_> {
    fn compare(
        &mut self,
        query: &Descriptors,
        photo: usize,
    ) -> Result<GalleryPhoto, LocalPhotosError> {
        let at = match self.read.iter().position(|(read, _)| *read == photo) {
            Some(at) => at,
            None => {
                self.read.push((photo, self.photos.descriptors(photo)?));
                self.read.len() - 1
            }
        };
        Ok(GalleryPhoto {
            similarity: self.score.similarity(query, &self.read[at].1),
            norm: self.photos.norm(photo),
        })
    }
}
