//! The checkpoint of a detector's training.

use super::recipe::DetectorRecipe;
use crate::trainer::checkpoint::{Checkpoint, Task};
use serde::{Deserialize, Serialize};

/// The progress of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetectorProgress {
    /// Number of optimiser steps taken.
    pub steps: u64,
}

/// Training of a detector.
#[derive(Debug)]
pub struct DetectorTask;

impl Task for DetectorTask {
    type Recipe = DetectorRecipe;
    type Progress = DetectorProgress;
    const COMMAND: &'static str = "train-detector";
    const RECIPE_KEY: &'static str = "detector_recipe";
    const FILE: &'static str = "detector.safetensors";
    const BEST_FILE: Option<&'static str> = None;
}

/// The state of a run.
pub type DetectorCheckpoint = Checkpoint<DetectorTask>;
