//! Embeds photos with a bundle on all cores, by the same engine as on the boat.

use flukewatch_common::bundle::Bundle;
use flukewatch_common::embedding::Embedding;
use flukewatch_common::local_matching::EmbeddedPhoto;
use flukewatch_dataset::{DatasetError, LabelledPhoto};
use flukewatch_inference::embedder::{Embedder, EmbedderError};
use flukewatch_progress::bar_unless;
use rayon::prelude::*;
use std::path::PathBuf;

/// Why a photo has no embedding.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The bundle's model cannot be loaded.
    #[error(transparent)]
    Model(EmbedderError),
    /// A photo that cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A photo that cannot be embedded.
    #[error("{path}: {source}")]
    Photo {
        /// File of the photo.
        path: PathBuf,
        /// What the embedder reports.
        source: EmbedderError,
    },
}

/// The embeddings of photos in their order, or an error for each that cannot be used.
///
/// # Errors
/// If the bundle's model cannot be loaded.
pub fn photos(
    bundle: &Bundle,
    photos: &[LabelledPhoto],
    quiet: bool,
) -> Result<Vec<Result<Embedding, EmbedError>>, EmbedError> {
    let embedded = embedded(bundle, photos, quiet)?;
    let embedding = |photo: Result<EmbeddedPhoto, EmbedError>| photo.map(|photo| photo.embedding);
    Ok(embedded.into_iter().map(embedding).collect())
}

/// Like [`photos`], with the descriptors of the photos where the bundle has local matching.
///
/// # Errors
/// If the bundle's model cannot be loaded.
pub fn embedded(
    bundle: &Bundle,
    photos: &[LabelledPhoto],
    quiet: bool,
) -> Result<Vec<Result<EmbeddedPhoto, EmbedError>>, EmbedError> {
    // Reports a broken model once instead of for every photo.
    Embedder::open(bundle).map_err(EmbedError::Model)?;
    let progress = bar_unless(quiet, photos.len() as u64, "embedding");
    let embedded = photos
        .par_iter()
        .map_init(
            || Embedder::open(bundle),
            |embedder, photo| {
                progress.inc(1);
                let embedder = match embedder {
                    Ok(embedder) => embedder,
                    Err(e) => {
                        return Err(EmbedError::Model(EmbedderError::Mismatch {
                            bundle: bundle.manifest.name.clone(),
                            why: e.to_string(),
                        }));
                    }
                };
                let (picture, region) = photo.decode_with_region()?;
                embedder
                    .embed_with_local(&picture, region)
                    .map_err(|source| EmbedError::Photo {
                        path: photo.path.clone(),
                        source,
                    })
            },
        )
        .collect();
    progress.finish_and_clear();
    Ok(embedded)
}

/// Like [`photos`], but stops at the first photo that cannot be used.
///
/// # Errors
/// If the model cannot be loaded or a photo cannot be used.
pub fn all_photos(
    bundle: &Bundle,
    all: &[LabelledPhoto],
    quiet: bool,
) -> Result<Vec<Embedding>, EmbedError> {
    photos(bundle, all, quiet)?.into_iter().collect()
}

/// The values of embeddings, row by row.
///
/// # Shapes
/// `[N, D] f32`.
pub fn values(rows: &[Embedding]) -> Vec<f32> {
    rows.iter()
        .flat_map(|row| row.as_slice())
        .copied()
        .collect()
}

/// Like [`embedded`], but stops at the first photo that cannot be used.
///
/// # Errors
/// If the model cannot be loaded or a photo cannot be used.
pub fn all_embedded(
    bundle: &Bundle,
    all: &[LabelledPhoto],
    quiet: bool,
) -> Result<Vec<EmbeddedPhoto>, EmbedError> {
    embedded(bundle, all, quiet)?.into_iter().collect()
}
