//! The descriptors of labelled photos.

use flukewatch_common::local_matching::{Descriptors, LocalScore};

/// The descriptors of labelled photos and how they are scored.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalGallery {
    /// One per photo.
    pub descriptors: Vec<Descriptors>,
    /// How their similarity is mixed into a score.
    pub score: LocalScore,
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
