//! Embeds many photos with a bundle, on all cores, through the same engine as on the boat.

use crate::dataset::{DatasetError, LabelledPhoto};
use crate::train::progress::bar;
use flukewatch_common::bundle::Bundle;
use flukewatch_common::embedder::{Embedder, EmbedderError};
use flukewatch_common::embedding::Embedding;
use rayon::prelude::*;
use std::path::PathBuf;

/// Why photos have no embeddings.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The bundle's model.
    #[error(transparent)]
    Model(EmbedderError),
    /// A photo that cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A photo that cannot be embedded.
    #[error("{path}: {source}")]
    Photo {
        /// Which.
        path: PathBuf,
        /// Why.
        source: EmbedderError,
    },
}

/// The photos' embeddings, in their order; a photo that cannot be used stands as its error.
///
/// # Errors
/// When the bundle's model cannot be loaded.
pub fn photos(
    bundle: &Bundle,
    photos: &[LabelledPhoto],
    quiet: bool,
) -> Result<Vec<Result<Embedding, EmbedError>>, EmbedError> {
    // The model is loaded once here, so that a broken one is reported once and not for every photo.
    Embedder::open(bundle).map_err(EmbedError::Model)?;
    let progress = if quiet {
        indicatif::ProgressBar::hidden()
    } else {
        bar(photos.len() as u64, "embedding")
    };
    let embeddings = photos
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
                let picture = photo.decode()?;
                embedder
                    .embed(&picture, photo.region)
                    .map_err(|source| EmbedError::Photo {
                        path: photo.path.clone(),
                        source,
                    })
            },
        )
        .collect();
    progress.finish_and_clear();
    Ok(embeddings)
}

/// As [`photos`], ending at the first photo that cannot be used.
///
/// # Errors
/// When the model cannot be loaded or a photo cannot be used.
pub fn all_photos(
    bundle: &Bundle,
    all: &[LabelledPhoto],
    quiet: bool,
) -> Result<Vec<Embedding>, EmbedError> {
    photos(bundle, all, quiet)?.into_iter().collect()
}
