//! The checkpoint of an embedding's training.

use super::recipe::Recipe;
use crate::trainer::checkpoint::{Checkpoint, Task};
use serde::{Deserialize, Serialize};

/// The progress of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Number of complete epochs.
    pub epochs: usize,
    /// Batches of the current epoch.
    pub batches: usize,
    /// Number of optimiser steps taken.
    pub steps: u64,
    /// Sum of the losses of those batches.
    pub loss_sum: f64,
    /// Time that those batches took.
    pub seconds: f64,
    /// The best MAP@5 on the validation identities, and the number of epochs until then.
    pub best: Option<(f64, usize)>,
}

/// Training of an embedding.
#[derive(Debug)]
pub struct EmbeddingTask;

impl Task for EmbeddingTask {
    type Recipe = Recipe;
    type Progress = Progress;
    const COMMAND: &'static str = "train";
    const RECIPE_KEY: &'static str = "recipe";
    const FILE: &'static str = "checkpoint.safetensors";
    const BEST_FILE: Option<&'static str> = Some("best.safetensors");
}

/// The state of a run.
pub type EmbeddingCheckpoint = Checkpoint<EmbeddingTask>;
