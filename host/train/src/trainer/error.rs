//! Why a training stops.

use super::checkpoint::CheckpointError;
use super::device::DeviceError;
use super::record_error::RunRecordError;
use flukewatch_common::prepare::PrepareError;
use flukewatch_dataset::DatasetError;
use flukewatch_network::weights::WeightsError;
use std::io;
use std::path::{Path, PathBuf};

/// Why a training stops. The last checkpoint is always left intact.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A photo cannot be used.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The pretrained weights cannot be used.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The requested device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A picture cannot be prepared.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// Reading or writing in the run's folder failed.
    #[error("{path}: {source}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The photos are not enough to train on.
    #[error("{0}")]
    TooFewPhotos(String),
    /// The checkpoint was made with other settings.
    #[error(
        "{path} was trained with a different recipe ({reason}); \
         resume with the same recipe, or start in another folder"
    )]
    RecipeMismatch {
        /// Path of the checkpoint.
        path: PathBuf,
        /// The setting that differs.
        reason: String,
    },
    /// The run's record cannot be used.
    #[error(transparent)]
    Record(#[from] RunRecordError),
    /// A checkpoint without a record of its photos.
    #[error(
        "{path} has no run.json next to it, so that the photos of its training are unknown; \
         resume in the folder of the run, or start in another folder with --weights {path}"
    )]
    NoRecord {
        /// Path of the checkpoint.
        path: PathBuf,
    },
    /// The photos are not those that the run was started with.
    #[error(
        "{path} was started with other photos: {reason}; \
         resume with the same table, or start in another folder"
    )]
    TableMismatch {
        /// Path of the run's record.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// The loss is NaN or infinite.
    #[error(
        "loss is {loss} at step {step}{}; lower the learning rate; the last checkpoint is intact",
        in_photos(.photos)
    )]
    NotFinite {
        /// NaN or an infinity.
        loss: f64,
        /// Number of the step, from 1.
        step: u64,
        /// The photos of the batch; empty for composed pictures.
        photos: Vec<String>,
    },
    /// A thread that prepares batches has died.
    #[error("internal error: a thread that prepares batches stopped; please report it")]
    Prefetcher,
}

impl TrainError {
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

fn in_photos(photos: &[String]) -> String {
    if photos.is_empty() {
        String::new()
    } else {
        format!(" (photos {})", photos.join(" "))
    }
}
