//! What a training of a detector leaves behind: one safetensors file with weights, averaged weights and the optimiser, and as
//! metadata the recipe and how far it came. Read without libtorch, so that a detector can be exported anywhere.

use super::recipe::DetectorRecipe;
use crate::network::weights::{self, Weights, WeightsError};
use crate::train::checkpoint::averaged;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The last checkpoint in a run's folder.
pub const CHECKPOINT: &str = "detector.safetensors";

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DetectorCheckpointError {
    /// The tensors.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A safetensors file, but no checkpoint of a detector.
    #[error("{path} is no checkpoint of flukewatch train-detector: it has no usable '{key}'")]
    Metadata {
        /// Which.
        path: PathBuf,
        /// What is missing.
        key: &'static str,
    },
}

/// A training, as it stood at some moment.
#[derive(Clone, Debug)]
pub struct DetectorCheckpoint {
    /// How it is taught.
    pub recipe: DetectorRecipe,
    /// Steps done.
    pub steps: u64,
    /// On what, in words.
    pub trained_on: String,
    /// Everything else.
    pub tensors: Weights,
}

impl DetectorCheckpoint {
    /// Writes it whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), DetectorCheckpointError> {
        // A recipe is plain data: it always has a JSON form.
        let recipe = serde_json::to_string(&self.recipe).unwrap_or_default();
        let metadata = BTreeMap::from([
            ("detector_recipe".to_owned(), recipe),
            ("steps".to_owned(), self.steps.to_string()),
            ("trained_on".to_owned(), self.trained_on.clone()),
        ]);
        Ok(weights::write(path, &self.tensors, &metadata)?)
    }

    /// Reads it back, from its file or from a run's folder.
    ///
    /// # Errors
    /// When the file is damaged or no checkpoint of a detector.
    pub fn read(path: &Path) -> Result<Self, DetectorCheckpointError> {
        let path = if path.is_dir() {
            path.join(CHECKPOINT)
        } else {
            path.to_owned()
        };
        let (tensors, metadata) = weights::read(&path)?;
        let missing = |key| DetectorCheckpointError::Metadata {
            path: path.clone(),
            key,
        };
        let get = |key: &'static str| metadata.get(key).ok_or(missing(key));
        Ok(Self {
            recipe: serde_json::from_str(get("detector_recipe")?)
                .map_err(|_| missing("detector_recipe"))?,
            steps: get("steps")?.parse().map_err(|_| missing("steps"))?,
            trained_on: get("trained_on")?.clone(),
            tensors,
        })
    }

    /// The weights that count: the averaged ones where there are some, without the optimiser's state.
    pub fn for_export(mut self) -> Self {
        let averaged = averaged(&self.tensors);
        self.tensors
            .retain(|name, _| !name.starts_with("optimiser.") && !name.starts_with("average."));
        self.tensors.extend(averaged);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::weights::Values;

    #[test]
    fn it_reads_back_and_averaged_weights_are_exported() {
        let folder = tempfile::tempdir().unwrap();
        let one = |v: f32| Values {
            shape: vec![1],
            data: vec![v],
        };
        let saved = DetectorCheckpoint {
            recipe: DetectorRecipe::of_steps(4, 100),
            steps: 12,
            trained_on: "3 photos".into(),
            tensors: Weights::from([
                ("a.weight".into(), one(1.0)),
                ("average.a.weight".into(), one(2.0)),
                ("optimiser.first.a.weight".into(), one(3.0)),
            ]),
        };
        saved.write(&folder.path().join(CHECKPOINT)).unwrap();
        let read = DetectorCheckpoint::read(folder.path()).unwrap();
        assert_eq!((&read.recipe, read.steps), (&saved.recipe, 12));
        let exported = read.for_export().tensors;
        assert_eq!(exported, Weights::from([("a.weight".into(), one(2.0))]));
    }

    #[test]
    fn a_checkpoint_of_something_else_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.safetensors");
        let values = Values {
            shape: vec![1],
            data: vec![1.0],
        };
        let weights = Weights::from([("a".to_owned(), values)]);
        weights::write(&path, &weights, &BTreeMap::new()).unwrap();
        let error = DetectorCheckpoint::read(&path).unwrap_err().to_string();
        assert!(error.contains("train-detector"), "{error}");
    }
}
