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
