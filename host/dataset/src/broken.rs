//! Finds the photos that cannot be read before long work starts.

use crate::{DatasetError, LabelledPhoto};
use rayon::prelude::*;

/// A photo that cannot be read.
#[derive(Debug)]
pub struct BrokenPhoto {
    /// Its position among the photos.
    pub position: usize,
    /// Why, with its path.
    pub error: DatasetError,
}

/// Checks those photos that are `read` on all cores with [`LabelledPhoto::check`], and calls `checked` after each photo.
pub fn find_broken(
    photos: &[LabelledPhoto],
    read: impl Fn(&LabelledPhoto) -> bool + Sync,
    checked: impl Fn() + Sync,
) -> Vec<BrokenPhoto> {
    photos
        .par_iter()
        .enumerate()
        .filter_map(|(position, photo)| {
            let broken = if read(photo) {
                photo.check().err()
            } else {
                None
            };
            checked();
            broken.map(|error| BrokenPhoto { position, error })
        })
        .collect()
}
