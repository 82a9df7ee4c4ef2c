//! What a run leaves behind at the end of each epoch: one safetensors file with weights, loss, optimiser and, as metadata, the
//! recipe and how far it came. Batches follow from seed and epoch, so that nothing else is needed to go on.

use super::recipe::Recipe;
use crate::network::weights::{self, Weights, WeightsError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The last checkpoint in a run's folder.
pub const CHECKPOINT: &str = "checkpoint.safetensors";

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

/// A run at the end of an epoch.
pub struct Checkpoint {
    /// How it was trained.
    pub recipe: Recipe,
    /// Epochs done.
    pub epochs: usize,
    /// Optimiser steps done.
    pub steps: u64,
    /// Photos and whales that it was trained on, in words.
    pub trained_on: String,
    /// Everything else.
    pub tensors: Weights,
}

impl Checkpoint {
    /// Writes it whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), CheckpointError> {
        // A recipe is plain data: it always has a JSON form.
        let recipe = serde_json::to_string(&self.recipe).unwrap_or_default();
        let metadata = BTreeMap::from([
            ("recipe".to_owned(), recipe),
            ("epochs".to_owned(), self.epochs.to_string()),
            ("steps".to_owned(), self.steps.to_string()),
            ("trained_on".to_owned(), self.trained_on.clone()),
        ]);
        Ok(weights::write(path, &self.tensors, &metadata)?)
    }

    /// Without what only the trainer needs to go on (optimiser and class centres): for export and for tuning on other whales.
    pub fn without_optimiser(mut self) -> Self {
        self.tensors
            .retain(|name, _| !name.starts_with("optimiser.") && !name.starts_with("loss."));
        self
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
            epochs: get("epochs")?.parse().map_err(|_| missing("epochs"))?,
            steps: get("steps")?.parse().map_err(|_| missing("steps"))?,
            trained_on: get("trained_on")?.clone(),
            tensors,
        })
    }
}
