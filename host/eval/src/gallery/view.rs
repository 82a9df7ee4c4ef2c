//! The gallery as a query may see it.

use crate::gallery::labelled::LabelledEmbeddings;

/// The photos without those that show the same meeting as a query: the query itself, its encounter
/// (by name, or by whale and day) and its near-duplicates.
///
/// The search makes one for each query and gives no scores of hidden photos, so no protocol can
/// compare a query with its own encounter.
#[derive(Clone, Debug, PartialEq)]
pub struct GalleryView<'a> {
    photos: &'a LabelledEmbeddings,
    /// Sorted.
    hidden: Vec<usize>,
}

impl<'a> GalleryView<'a> {
    /// The gallery for a query of one photo or several, which are searched together.
    pub fn of(photos: &'a LabelledEmbeddings, query: &[usize]) -> Self {
        let mut hidden = vec![];
        for &photo in query {
            photos.relations().same_meeting(photo, &mut hidden);
        }
        hidden.sort_unstable();
        hidden.dedup();
        Self { photos, hidden }
    }

    /// Whether a photo is in the gallery.
    pub fn admits(&self, photo: usize) -> bool {
        self.hidden.binary_search(&photo).is_err()
    }

    /// The photos of a whale in the gallery.
    pub fn photos_of(&self, whale: usize) -> impl Iterator<Item = usize> {
        self.photos
            .photos_of(whale)
            .iter()
            .copied()
            .filter(|&photo| self.admits(photo))
    }

    /// All photos, in the gallery or not.
    pub(super) fn photos(&self) -> &'a LabelledEmbeddings {
        self.photos
    }
}
