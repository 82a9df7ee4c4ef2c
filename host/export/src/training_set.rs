//! What a model was trained on, for its bundle.

use anyhow::bail;
use flukewatch_common::bundle::TrainingSet;
use flukewatch_dataset::Dataset;
use flukewatch_train::embedding::checkpoint::EmbeddingCheckpoint;
use flukewatch_train::embedding::run_record::{IdentityRecord, RunRecord};
use flukewatch_train::embedding::split::{Identities, Split};

/// The training set of a recorded run whose network became `model`, an ONNX file.
pub fn of_record(record: &RunRecord, model: &[u8]) -> TrainingSet {
    let train = || record.split.train.iter();
    TrainingSet::new(
        model,
        train().map(|identity| identity.whale.as_str()),
        train().flat_map(|IdentityRecord { photos, .. }| photos.iter().map(|p| p.sha256.as_str())),
    )
}

/// All named photos of `dataset`.
///
/// # Errors
/// When a photo cannot be read.
pub fn of_named(dataset: &Dataset, model: &[u8]) -> anyhow::Result<TrainingSet> {
    of_identities(&Split::of(dataset, 0, 0).train, dataset, model)
}

/// The photos of `dataset` that a checkpoint without a record was trained on: those that are left when
/// its recipe has drawn the validation identities.
///
/// # Errors
/// When their numbers are not those of the checkpoint, so that it was trained on another table, or a photo cannot
/// be read.
pub fn of_checkpoint(
    checkpoint: &EmbeddingCheckpoint,
    dataset: &Dataset,
    model: &[u8],
) -> anyhow::Result<TrainingSet> {
    let recipe = &checkpoint.recipe;
    let train = Split::of(dataset, recipe.validation_identities, recipe.seed).train;
    let photos: usize = train.iter().map(|(_, photos)| photos.len()).sum();
    let found = format!("{photos} photos of {} whales", train.len());
    if found != checkpoint.trained_on {
        bail!(
            "the checkpoint was trained on {}, but its recipe leaves {found} of this table; pass the table of its training",
            checkpoint.trained_on
        );
    }
    of_identities(&train, dataset, model)
}

fn of_identities(
    identities: &Identities,
    dataset: &Dataset,
    model: &[u8],
) -> anyhow::Result<TrainingSet> {
    let hashes = dataset.picture_hashes()?;
    Ok(TrainingSet::new(
        model,
        identities.iter().map(|(whale, _)| whale.as_str()),
        identities
            .iter()
            .flat_map(|(_, photos)| photos.iter().map(|&at| hashes[at].as_str())),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_dataset::LabelledPhoto;
    use flukewatch_network::weights::Weights;
    use flukewatch_train::embedding::checkpoint::Progress;
    use flukewatch_train::embedding::recipe::Recipe;
    use std::path::Path;

    /// Six whales with two photos each.
    fn dataset(folder: &Path) -> Dataset {
        let photos = (0..12u8).map(|i| {
            let name = format!("{i}.jpg");
            let path = folder.join(&name);
            std::fs::write(&path, [i]).unwrap();
            LabelledPhoto {
                path,
                name,
                whale: Some(format!("W{}", i / 2)),
                region: None,
                date: None,
                encounter: None,
            }
        });
        Dataset {
            photos: photos.collect(),
            ..Dataset::default()
        }
    }

    fn checkpoint(trained_on: &str) -> EmbeddingCheckpoint {
        EmbeddingCheckpoint {
            recipe: Recipe {
                validation_identities: 2,
                ..Recipe::default()
            },
            progress: Progress::default(),
            trained_on: trained_on.into(),
            tensors: Weights::new(),
        }
    }

    #[test]
    fn validation_identities_are_not_in_the_training_set() {
        let dir = tempfile::tempdir().unwrap();
        let data = dataset(dir.path());
        let hashes = data.picture_hashes().unwrap();
        let split = Split::of(&data, 2, Recipe::default().seed);
        let old = of_checkpoint(&checkpoint("8 photos of 4 whales"), &data, b"model").unwrap();
        let record = RunRecord::new(&data, &split, 1).unwrap();
        assert_eq!(of_record(&record, b"model"), old);
        for (identities, is_in) in [(&split.train, true), (&split.validation, false)] {
            for (whale, photos) in identities {
                assert_eq!(old.has_whale(whale), is_in, "{whale}");
                assert!(photos.iter().all(|&p| old.has_photo(&hashes[p]) == is_in));
            }
        }
        let all = of_named(&data, b"model").unwrap();
        assert_eq!((all.whales(), all.photos()), (6, 12));
    }

    #[test]
    fn another_table_than_that_of_training_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let data = dataset(dir.path());
        let error = of_checkpoint(&checkpoint("10 photos of 5 whales"), &data, b"model");
        let error = error.unwrap_err().to_string();
        assert!(error.contains("leaves 8 photos of 4 whales"), "{error}");
    }
}
