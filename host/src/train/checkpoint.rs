//! What a run leaves behind: one safetensors file with weights, averaged weights, loss, optimiser and clusters and, as metadata,
//! the recipe and how far it came. Batches follow from seed, epoch and number, so that nothing else is needed to go on, from the
//! end of an epoch or from the middle of one.

use super::recipe::Recipe;
use crate::network::weights::{self, Values, Weights, WeightsError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The last checkpoint in a run's folder.
pub const CHECKPOINT: &str = "checkpoint.safetensors";
/// The checkpoint of the best epoch, of a run that stops early.
pub const BEST: &str = "best.safetensors";

/// What the names of averaged weights begin with.
pub const AVERAGE: &str = "average.";
/// The cluster of each training photo.
pub const CLUSTERS: &str = "clusters";

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The tensors.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A safetensors file, but no checkpoint of ours.
    #[error("{path} is no checkpoint of flukewatch train: it has no usable '{key}'")]
    Metadata {
        /// Which.
        path: PathBuf,
        /// What is missing.
        key: &'static str,
    },
}

/// How far a run has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Epochs done.
    pub epochs: usize,
    /// Batches done of the epoch under way.
    pub batches: usize,
    /// Optimiser steps done.
    pub steps: u64,
    /// Sum of the losses of those batches.
    pub loss_sum: f64,
    /// Time that those batches took.
    pub seconds: f64,
    /// The best MAP@5 on the whales kept aside, and after how many epochs.
    pub best: Option<(f64, usize)>,
}

/// A run, as it stood at some moment.
pub struct Checkpoint {
    /// How it was trained.
    pub recipe: Recipe,
    /// How far it has come.
    pub progress: Progress,
    /// Photos and whales that it was trained on, in words.
    pub trained_on: String,
    /// Everything else.
    pub tensors: Weights,
}

/// The averaged weights among a checkpoint's tensors, under the network's names; empty where no average was kept.
pub fn averaged(tensors: &Weights) -> Weights {
    let own =
        |(name, v): (&String, &Values)| Some((name.strip_prefix(AVERAGE)?.to_owned(), v.clone()));
    tensors.iter().filter_map(own).collect()
}

impl Checkpoint {
    /// Writes it whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), CheckpointError> {
        // A recipe is plain data: it always has a JSON form.
        let recipe = serde_json::to_string(&self.recipe).unwrap_or_default();
        let progress = serde_json::to_string(&self.progress).unwrap_or_default();
        let metadata = BTreeMap::from([
            ("recipe".to_owned(), recipe),
            ("progress".to_owned(), progress),
            ("trained_on".to_owned(), self.trained_on.clone()),
        ]);
        Ok(weights::write(path, &self.tensors, &metadata)?)
    }

    /// The weights that count: the averaged ones where there are some; without what only the trainer needs to go on (optimiser,
    /// class centres, clusters). For export and for tuning on other whales.
    pub fn for_export(mut self) -> Self {
        let averaged = averaged(&self.tensors);
        let only_training = |name: &str| {
            ["optimiser.", "loss.", AVERAGE]
                .iter()
                .any(|p| name.starts_with(p))
        };
        self.tensors
            .retain(|name, _| !only_training(name) && name != CLUSTERS);
        self.tensors.extend(averaged);
        self
    }

    /// The checkpoint of a run's folder that should be exported, the best epoch's where there is one; or `path` itself if it is a
    /// file.
    pub fn find(path: &Path) -> PathBuf {
        if !path.is_dir() {
            return path.to_owned();
        }
        let best = path.join(BEST);
        if best.is_file() {
            best
        } else {
            path.join(CHECKPOINT)
        }
    }

    /// Reads it back.
    ///
    /// # Errors
    /// When the file is damaged or no checkpoint.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let (tensors, metadata) = weights::read(path)?;
        let missing = |key| CheckpointError::Metadata {
            path: path.to_owned(),
            key,
        };
        let get = |key: &'static str| metadata.get(key).ok_or(missing(key));
        Ok(Self {
            recipe: serde_json::from_str(get("recipe")?).map_err(|_| missing("recipe"))?,
            progress: match get("progress") {
                Ok(progress) => serde_json::from_str(progress).map_err(|_| missing("progress"))?,
                // Written before a run could be cut within an epoch.
                Err(_) => Progress {
                    epochs: get("epochs")?.parse().map_err(|_| missing("progress"))?,
                    steps: get("steps")?.parse().map_err(|_| missing("progress"))?,
                    ..Progress::default()
                },
            },
            trained_on: get("trained_on")?.clone(),
            tensors,
        })
    }
}
