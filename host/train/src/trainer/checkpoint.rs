//! The file that a run leaves: a safetensors file with weights, averaged weights, loss parameters,
//! optimiser state and clusters, and as metadata the recipe and the progress. Batches follow from
//! seed, epoch and number, so nothing else is needed to resume, also in the middle of an epoch.
//!
//! Read without libtorch, so that a trained network can be exported anywhere.

use flukewatch_network::weights::{self, Values, Weights, WeightsError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Prefix of the names of averaged weights.
pub(crate) const AVERAGE: &str = "average.";
/// Prefix of the optimiser's state.
pub(crate) const OPTIMISER: &str = "optimiser.";
/// Prefix of the losses' parameters.
pub(crate) const LOSS: &str = "loss";
/// The cluster of each training photo.
pub(crate) const CLUSTERS: &str = "clusters";

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file or its tensors.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A safetensors file, but not such a checkpoint.
    #[error(
        "{path} is not a checkpoint of flukewatch {command}: its metadata has no valid '{key}'"
    )]
    Metadata {
        /// Path of the checkpoint.
        path: PathBuf,
        /// The command that writes such checkpoints.
        command: &'static str,
        /// The key that is missing or invalid.
        key: &'static str,
    },
}

/// A kind of training: what identifies its checkpoints.
pub trait Task {
    /// The settings of the run.
    type Recipe: Clone + Serialize + DeserializeOwned;
    /// The progress of a run.
    type Progress: Clone + Serialize + DeserializeOwned;
    /// The command that trains.
    const COMMAND: &'static str;
    /// The metadata key of the recipe, which differs between tasks.
    const RECIPE_KEY: &'static str;
    /// The last checkpoint in a run's folder.
    const FILE: &'static str;
    /// The checkpoint of the best epoch, for runs that stop early.
    const BEST_FILE: Option<&'static str>;
}

/// The state of a run.
pub struct Checkpoint<T: Task> {
    /// How it is trained.
    pub recipe: T::Recipe,
    /// The progress of the run.
    pub progress: T::Progress,
    /// What it is trained on, as a phrase.
    pub trained_on: String,
    /// Weights, moments, statistics and averages.
    pub tensors: Weights,
}

/// The averaged weights among a checkpoint's tensors, under the network's names; empty if no average
/// was kept.
pub(crate) fn averaged(tensors: &Weights) -> Weights {
    let own =
        |(name, v): (&String, &Values)| Some((name.strip_prefix(AVERAGE)?.to_owned(), v.clone()));
    tensors.iter().filter_map(own).collect()
}

#[cfg(feature = "libtorch")]
/// Averaged weights under the names that [`averaged`] reads.
pub(crate) fn with_average_prefix(weights: Weights) -> Weights {
    weights
        .into_iter()
        .map(|(name, v)| (format!("{AVERAGE}{name}"), v))
        .collect()
}

impl<T: Task> Checkpoint<T> {
    /// Writes the checkpoint atomically.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), CheckpointError> {
        let json = |key: &str, value: serde_json::Result<String>| {
            let value = value.expect("recipe and progress are plain data with string keys");
            (key.to_owned(), value)
        };
        let metadata = BTreeMap::from([
            json(T::RECIPE_KEY, serde_json::to_string(&self.recipe)),
            json("progress", serde_json::to_string(&self.progress)),
            ("trained_on".to_owned(), self.trained_on.clone()),
        ]);
        Ok(weights::write(path, &self.tensors, &metadata)?)
    }

    /// The final weights, averaged where an average was kept, without what only training needs
    /// (optimiser state, class centres, clusters). For export and fine-tuning.
    #[must_use]
    pub fn for_export(mut self) -> Self {
        let averaged = averaged(&self.tensors);
        let only_training = |name: &str| {
            let of_loss = |rest: &str| rest.starts_with('.');
            name.starts_with(OPTIMISER)
                || name.starts_with(AVERAGE)
                || name == CLUSTERS
                || name.strip_prefix(LOSS).is_some_and(of_loss)
        };
        self.tensors.retain(|name, _| !only_training(name));
        self.tensors.extend(averaged);
        self
    }

    /// The checkpoint to export from a run's folder: the best epoch's, if there is one. A path to a
    /// file is returned unchanged.
    pub fn find(path: &Path) -> PathBuf {
        if !path.is_dir() {
            return path.to_owned();
        }
        T::BEST_FILE
            .map(|best| path.join(best))
            .filter(|best| best.is_file())
            .unwrap_or_else(|| path.join(T::FILE))
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// When the file is damaged or not a checkpoint of this task.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let (tensors, metadata) = weights::read(path)?;
        let invalid = |key| CheckpointError::Metadata {
            path: path.to_owned(),
            command: T::COMMAND,
            key,
        };
        let get = |key: &'static str| metadata.get(key).ok_or_else(|| invalid(key));
        Ok(Self {
            recipe: serde_json::from_str(get(T::RECIPE_KEY)?)
                .map_err(|_| invalid(T::RECIPE_KEY))?,
            progress: serde_json::from_str(get("progress")?).map_err(|_| invalid("progress"))?,
            trained_on: get("trained_on")?.clone(),
            tensors,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting;

    impl Task for Counting {
        type Recipe = String;
        type Progress = u64;
        const COMMAND: &'static str = "count";
        const RECIPE_KEY: &'static str = "counting_recipe";
        const FILE: &'static str = "last.safetensors";
        const BEST_FILE: Option<&'static str> = Some("best.safetensors");
    }

    fn one(v: f32) -> Values {
        Values {
            shape: vec![1],
            data: vec![v],
        }
    }

    #[test]
    fn it_reads_back_and_averaged_weights_are_exported() {
        let folder = tempfile::tempdir().unwrap();
        let saved = Checkpoint::<Counting> {
            recipe: "by twos".into(),
            progress: 12,
            trained_on: "3 photos".into(),
            tensors: Weights::from([
                ("a.weight".into(), one(1.0)),
                ("average.a.weight".into(), one(2.0)),
                ("optimiser.first.a.weight".into(), one(3.0)),
                ("loss.centres".into(), one(4.0)),
                ("clusters".into(), one(5.0)),
            ]),
        };
        let path = folder.path().join(Counting::FILE);
        saved.write(&path).unwrap();
        assert_eq!(Checkpoint::<Counting>::find(folder.path()), path);
        let read = Checkpoint::<Counting>::read(&path).unwrap();
        assert_eq!((read.recipe.as_str(), read.progress), ("by twos", 12));
        assert_eq!(read.tensors, saved.tensors);
        let exported = read.for_export().tensors;
        assert_eq!(exported, Weights::from([("a.weight".into(), one(2.0))]));
        let best = folder.path().join("best.safetensors");
        saved.write(&best).unwrap();
        assert_eq!(Checkpoint::<Counting>::find(folder.path()), best);
    }

    #[test]
    fn another_safetensors_file_is_not_a_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.safetensors");
        let weights = Weights::from([("a".to_owned(), one(1.0))]);
        weights::write(&path, &weights, &BTreeMap::new()).unwrap();
        let Err(CheckpointError::Metadata { command, key, .. }) =
            Checkpoint::<Counting>::read(&path)
        else {
            panic!("it was read");
        };
        assert_eq!((command, key), ("count", "counting_recipe"));
    }
}
