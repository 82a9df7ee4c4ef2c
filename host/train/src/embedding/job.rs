//! What a run is given, and what it leaves.

use super::recipe::Recipe;
use crate::trainer::device_choice::DeviceChoice;
use flukewatch_common::clock::Clock;
use flukewatch_dataset::Dataset;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a run needs besides its recipe.
pub struct Job {
    /// Settings of the training.
    pub recipe: Recipe,
    /// Photos to train on and to validate on.
    pub dataset: Dataset,
    /// Names of the whales that validate; `None` to draw them as the recipe says.
    pub validation: Option<BTreeSet<String>>,
    /// Pretrained weights of the backbone.
    pub weights: Option<PathBuf>,
    /// The run's folder, for checkpoint and metrics.
    pub folder: PathBuf,
    /// Where to train.
    pub device: DeviceChoice,
    /// Folder of the cached crops, which runs may share; `None` for `crops` in the run's folder.
    pub crops: Option<PathBuf>,
    /// Stop after this epoch; the run can be resumed later.
    pub until_epoch: Option<usize>,
    /// Called after each step with the number of steps taken; returns whether to save and stop.
    pub stop: Box<dyn Fn(u64) -> bool>,
    /// Hide progress bars.
    pub quiet: bool,
    /// For the run's record.
    pub provenance: Provenance,
}

/// When and by which program a run is trained.
pub struct Provenance {
    /// Dates the run.
    pub clock: Arc<dyn Clock>,
    /// The git revision of the program, if it was built from one.
    pub revision: Option<String>,
}

/// How a run ended, with the checkpoint that it left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are done.
    Done(PathBuf),
    /// Validation has not improved for `patience` epochs; the best epoch's checkpoint.
    StoppedEarly(PathBuf),
    /// Interrupted; it can be resumed.
    Interrupted(PathBuf),
}

impl Outcome {
    /// The checkpoint that the run left.
    pub fn checkpoint(&self) -> &Path {
        match self {
            Self::Done(path) | Self::StoppedEarly(path) | Self::Interrupted(path) => path,
        }
    }
}
