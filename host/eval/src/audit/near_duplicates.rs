//! Marks near-duplicates in the labels of photos, so that no query is compared with a copy of
//! itself.

use crate::audit::copies::{self, CopyRule};
use crate::audit::photos::PhotoFeatures;
use crate::audit::thumbnail::Thumbnail;
use flukewatch_common::bundle::View;
use flukewatch_common::embedding::Embedding;
use flukewatch_dataset::{DatasetError, LabelledPhoto};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// For each photo, the position of the first photo of its group of near-duplicates; `None` for that
/// first photo and for photos without a copy. `views` are those of the embeddings.
///
/// # Errors
/// If a photo cannot be read.
pub fn first_copies(
    photos: &[LabelledPhoto],
    embeddings: &[Embedding],
    views: &[View],
) -> Result<Vec<Option<usize>>, DatasetError> {
    let features: Vec<PhotoFeatures> = photos
        .par_iter()
        .zip(embeddings)
        .map(|(photo, embedding)| {
            Ok(PhotoFeatures {
                thumbnail: Thumbnail::of(photo)?,
                embedding: embedding.clone(),
            })
        })
        .collect::<Result<_, DatasetError>>()?;
    let pairs = copies::find(&features, views, &CopyRule::default());
    let mut firsts = vec![None; photos.len()];
    for group in copies::groups(photos.len(), &pairs) {
        if let [first, rest @ ..] = &group[..] {
            rest.iter().for_each(|&copy| firsts[copy] = Some(*first));
        }
    }
    Ok(firsts)
}

/// Like [`first_copies`], by names: from each near-duplicate to the first photo of its group.
///
/// # Errors
/// If a photo cannot be read.
pub fn first_copies_by_name(
    photos: &[LabelledPhoto],
    embeddings: &[Embedding],
    views: &[View],
) -> Result<BTreeMap<String, String>, DatasetError> {
    let firsts = first_copies(photos, embeddings, views)?;
    let named = |(photo, first): (&LabelledPhoto, Option<usize>)| {
        Some((photo.name.clone(), photos[first?].name.clone()))
    };
    Ok(photos.iter().zip(firsts).filter_map(named).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, Luma};

    /// A pattern that differs between seeds.
    fn picture(seed: u32, brighter: u8) -> GrayImage {
        GrayImage::from_fn(128, 64, |x, y| {
            let field = (x / 4)
                .wrapping_mul(2_654_435_761)
                .wrapping_add((y / 4).wrapping_mul(40_503))
                .wrapping_add(seed.wrapping_mul(97_561));
            let noise = field.wrapping_mul(field ^ 0x9e37_79b9) >> 24;
            Luma([(noise as u8 / 2).saturating_add(brighter)])
        })
    }

    #[test]
    fn a_brighter_copy_is_marked_and_another_photo_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let photos: Vec<LabelledPhoto> = [picture(1, 0), picture(2, 0), picture(1, 30)]
            .into_iter()
            .enumerate()
            .map(|(i, image)| {
                let path = dir.path().join(format!("{i}.png"));
                image.save(&path).unwrap();
                LabelledPhoto {
                    path,
                    name: format!("{i}.png"),
                    whale: Some("A".into()),
                    region: None,
                    date: None,
                    encounter: None,
                }
            })
            .collect();
        let embedding = |x: f32| Embedding::normalised(vec![1.0, x]).unwrap();
        let embeddings = [embedding(0.0), embedding(0.1), embedding(0.05)];
        assert_eq!(
            first_copies(&photos, &embeddings, &[View::Plain]).unwrap(),
            [None, None, Some(0)]
        );
    }
}
