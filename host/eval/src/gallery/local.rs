//! The descriptors of labelled photos.

use flukewatch_common::local_matching::{Descriptors, LocalScore};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The descriptors of labelled photos and how they are scored.
///
/// Norms, protocols and trials compare the same pairs many times, so each comparison is kept.
#[derive(Clone, Debug)]
pub struct LocalGallery {
    descriptors: Vec<Descriptors>,
    score: LocalScore,
    /// For each query, what its descriptors gave with those of other photos.
    known: Arc<Vec<Mutex<HashMap<usize, f32>>>>,
}

impl PartialEq for LocalGallery {
    fn eq(&self, other: &Self) -> bool {
        (&self.descriptors, self.score) == (&other.descriptors, other.score)
    }
}

impl LocalGallery {
    /// The descriptors of photos, one of each, and how their similarity is mixed into a score.
    pub fn new(descriptors: Vec<Descriptors>, score: LocalScore) -> Self {
        let known = descriptors.iter().map(|_| Mutex::default()).collect();
        Self {
            descriptors,
            score,
            known: Arc::new(known),
        }
    }

    /// The descriptors, one per photo.
    pub fn descriptors(&self) -> &[Descriptors] {
        &self.descriptors
    }

    /// How their similarity is mixed into a score.
    pub fn score(&self) -> &LocalScore {
        &self.score
    }

    /// The same where a typical photo has another norm.
    pub fn with_typical_norm(mut self, typical_norm: f32) -> Self {
        self.score.typical_norm = typical_norm;
        self
    }

    /// The similarity of two photos ([`LocalScore::similarity`]).
    ///
    /// # Panics
    /// If a photo is out of range.
    pub fn similarity(&self, query: usize, photo: usize) -> f32 {
        // A value that another thread was about to add is computed again.
        let row = || {
            self.known[query]
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        let kept = row().get(&photo).copied();
        kept.unwrap_or_else(|| {
            let [one, other] = [query, photo].map(|at| &self.descriptors[at]);
            let found = self.score.similarity(one, other);
            row().insert(photo, found);
            found
        })
    }
}

/// The norms of photos: the mean similarity of each to the photos that a search among other whales
/// finds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Norms {
    values: Vec<f32>,
    /// The photos that each was compared with, and the similarities.
    compared: Vec<Vec<(u32, f32)>>,
}

impl Norms {
    /// The typical norm for `photos` photos.
    pub(crate) fn typical(photos: usize, score: &LocalScore) -> Self {
        Self {
            values: vec![score.typical_norm; photos],
            compared: vec![vec![]; photos],
        }
    }

    /// Sets the norm of a photo that was compared with others.
    pub(crate) fn set(&mut self, photo: usize, compared: Vec<(u32, f32)>, score: &LocalScore) {
        self.values[photo] = score.norm(compared.iter().map(|(_, similarity)| *similarity));
        self.compared[photo] = compared;
    }

    /// The norm of each photo.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The norm of a photo for a query that `admits` only some photos to its gallery: without the
    /// similarities to the others.
    pub fn seen(&self, photo: usize, score: &LocalScore, admits: impl Fn(usize) -> bool) -> f32 {
        let compared = &self.compared[photo];
        if compared.iter().all(|(other, _)| admits(*other as usize)) {
            return self.values[photo];
        }
        let seen = compared.iter().filter(|(other, _)| admits(*other as usize));
        score.norm(seen.map(|(_, similarity)| *similarity))
    }
}
