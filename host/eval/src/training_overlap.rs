//! How much of the photos that a bundle is measured or fitted on its model was trained on. A network
//! recognises what it was trained on far better than whales that it never saw.

use flukewatch_common::bundle::TrainingSet;
use flukewatch_dataset::{DatasetError, LabelledPhoto};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// Photos and whales that a model was trained on, among those of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TrainingOverlap {
    /// Number of photos that it was trained on, by their content.
    pub photos: usize,
    /// Number of photos in the table.
    pub of_photos: usize,
    /// Number of named whales that it was trained on, by their name.
    pub whales: usize,
    /// Number of named whales in the table.
    pub of_whales: usize,
    /// The name of one of these photos.
    pub photo: Option<String>,
    /// One of these whales.
    pub whale: Option<String>,
}

impl TrainingOverlap {
    /// The overlap of `photos` with `training`.
    ///
    /// # Errors
    /// When a photo cannot be read.
    pub fn of(training: &TrainingSet, photos: &[LabelledPhoto]) -> Result<Self, DatasetError> {
        let trained = photos
            .par_iter()
            .map(|photo| Ok(training.has_photo(&photo.picture_hash()?)))
            .collect::<Result<Vec<bool>, DatasetError>>()?;
        let whales: BTreeSet<&str> = photos.iter().filter_map(|p| p.whale.as_deref()).collect();
        let known: Vec<&str> = whales
            .iter()
            .copied()
            .filter(|whale| training.has_whale(whale))
            .collect();
        let first = trained.iter().position(|trained| *trained);
        Ok(Self {
            photos: trained.iter().filter(|trained| **trained).count(),
            of_photos: photos.len(),
            whales: known.len(),
            of_whales: whales.len(),
            photo: first.map(|at| photos[at].name.clone()),
            whale: known.first().map(|&whale| whale.to_owned()),
        })
    }

    /// Whether figures on these photos say nothing about other photos: the model was trained on some
    /// of them.
    pub fn is_misleading(&self) -> bool {
        self.photos > 0
    }

    /// Whether the overlap is empty.
    pub fn is_empty(&self) -> bool {
        self.photos == 0 && self.whales == 0
    }
}

/// E.g. "12 of 80 photos (e.g. a.jpg) and 3 of 20 whales (e.g. HW12)".
impl fmt::Display for TrainingOverlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let example = |name: &Option<String>| match name {
            Some(name) => format!(" (e.g. {name})"),
            None => String::new(),
        };
        write!(
            f,
            "{} of {} photos{} and {} of {} whales{}",
            self.photos,
            self.of_photos,
            example(&self.photo),
            self.whales,
            self.of_whales,
            example(&self.whale)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photos_count_by_content_and_whales_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let photo = |file: &str, content: &[u8], whale: Option<&str>| {
            let path = dir.path().join(file);
            std::fs::write(&path, content).unwrap();
            LabelledPhoto {
                path,
                name: file.into(),
                whale: whale.map(str::to_owned),
                region: None,
                date: None,
                encounter: None,
            }
        };
        let trained = photo("trained.jpg", b"one", Some("A"));
        let hash = trained.picture_hash().unwrap();
        let set = TrainingSet::new(b"model", ["A"], [hash.as_str()]);
        let photos = [
            photo("new.jpg", b"two", Some("A")),
            photo("copy.jpg", b"one", Some("B")),
            photo("unnamed.jpg", b"three", None),
        ];
        let overlap = TrainingOverlap::of(&set, &photos).unwrap();
        assert_eq!(
            overlap.to_string(),
            "1 of 3 photos (e.g. copy.jpg) and 1 of 2 whales (e.g. A)"
        );
        assert!(overlap.is_misleading() && !overlap.is_empty());
        // Other photos of a whale of training are not misleading by themselves: names may coincide.
        let overlap = TrainingOverlap::of(&set, &photos[..1]).unwrap();
        assert!(!overlap.is_misleading() && !overlap.is_empty());
        let none = TrainingOverlap::of(&set, &photos[2..]).unwrap();
        assert!(none.is_empty());
        assert_eq!(none.to_string(), "0 of 1 photos and 0 of 0 whales");

        std::fs::remove_file(&photos[0].path).unwrap();
        assert!(TrainingOverlap::of(&set, &photos).is_err());
    }
}
