//! Why training stops.

use super::checkpoint::CheckpointError;
use crate::dataset::DatasetError;
use crate::network::weights::WeightsError;
use std::path::PathBuf;

/// Why training stops.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The photos.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Pretrained weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Reading or writing in the run's folder.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nothing to learn from.
    #[error("{0}")]
    TooLittle(String),
    /// The checkpoint was made with other settings.
    #[error(
        "{path} was trained with another recipe; go on with the same one, or start anew in another folder ({reason})"
    )]
    OtherRecipe {
        /// The checkpoint.
        path: PathBuf,
        /// The difference.
        reason: String,
    },
    /// The loss is no number any more.
    #[error(
        "the loss became {loss} in epoch {epoch}, batch {batch} (photos {photos}): lower the rates; the last checkpoint stands"
    )]
    NotFinite {
        /// What it became.
        loss: f64,
        /// From 1.
        epoch: usize,
        /// From 1.
        batch: usize,
        /// The photos in it.
        photos: String,
    },
    /// A thread of ours is gone.
    #[error(
        "a thread that prepares batches stopped; this is a fault of flukewatch: please report it"
    )]
    Loader,
}
