//! Embeds and decodes the photos of an audit.

use crate::audit::thumbnail::Thumbnail;
use crate::embed::{self, EmbedError};
use flukewatch_common::bundle::Bundle;
use flukewatch_common::embedding::Embedding;
use flukewatch_dataset::LabelledPhoto;
use rayon::prelude::*;
use serde::Serialize;

/// What an audit compares of a photo.
#[derive(Clone, Debug)]
pub struct PhotoFeatures {
    /// Small grey crop.
    pub thumbnail: Thumbnail,
    /// Embedding by the bundle.
    pub embedding: Embedding,
}

/// A photo that cannot be read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unreadable {
    /// Name in the table.
    pub photo: String,
    /// Why it cannot be read.
    pub reason: String,
}

/// The photos of an audit.
#[derive(Debug, Default)]
pub struct AuditPhotos {
    /// Readable photos.
    pub photos: Vec<LabelledPhoto>,
    /// Features of each readable photo.
    pub features: Vec<PhotoFeatures>,
    /// Photos that cannot be read.
    pub unreadable: Vec<Unreadable>,
}

impl AuditPhotos {
    /// Reads the photos on all cores.
    ///
    /// # Errors
    /// If the bundle's model cannot be loaded.
    pub fn read(
        bundle: &Bundle,
        photos: &[LabelledPhoto],
        quiet: bool,
    ) -> Result<Self, EmbedError> {
        let embeddings = embed::photos(bundle, photos, quiet)?;
        let features: Vec<Result<PhotoFeatures, EmbedError>> = photos
            .par_iter()
            .zip(embeddings)
            .map(|(photo, embedding)| {
                Ok(PhotoFeatures {
                    embedding: embedding?,
                    thumbnail: Thumbnail::of(photo)?,
                })
            })
            .collect();
        let mut all = Self::default();
        for (photo, features) in photos.iter().zip(features) {
            match features {
                Ok(features) => {
                    all.photos.push(photo.clone());
                    all.features.push(features);
                }
                Err(error) => all.unreadable.push(Unreadable {
                    photo: photo.name.clone(),
                    reason: error.to_string(),
                }),
            }
        }
        Ok(all)
    }
}
