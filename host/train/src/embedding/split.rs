//! Identities to train on, and held-out identities to validate on.

use super::recipe::Recipe;
use flukewatch_dataset::{Dataset, DatasetError};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Named identities with their photos, as positions in the dataset.
pub type Identities = Vec<(String, Vec<usize>)>;

/// What chose the held-out identities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitSource {
    /// The seed of the recipe.
    Seed,
    /// The column `split` of the table.
    Column,
}

/// A split of identities into disjoint sets.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// What chose the held-out identities.
    pub source: SplitSource,
    /// Identities to train on.
    pub train: Identities,
    /// Identities held out for validation.
    pub validation: Identities,
}

impl Split {
    /// Holds out `validation_identities` identities with two photos or more, drawn from `seed`: the same
    /// photos and seed always give the same split.
    pub fn of(dataset: &Dataset, validation_identities: usize, seed: u64) -> Self {
        let mut train: Identities = dataset
            .by_whale()
            .into_iter()
            .map(|(w, photos)| (w.to_owned(), photos))
            .collect();
        let mut eligible: Vec<usize> = (0..train.len())
            .filter(|&i| train[i].1.len() >= 2)
            .collect();
        eligible.shuffle(&mut ChaCha8Rng::seed_from_u64(seed ^ 0x7a11_da7e));
        eligible.truncate(validation_identities);
        eligible.sort_unstable();
        let validation = eligible
            .into_iter()
            .rev()
            .map(|i| train.remove(i))
            .collect();
        Self {
            source: SplitSource::Seed,
            train,
            validation,
        }
    }
}

/// Why the splits of a table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// A whale is in both.
    #[error(
        "{count} whales are of split train and of split validation (e.g. {first}); \
         whales that validate must not be trained on"
    )]
    SameWhale {
        /// Number of such whales.
        count: usize,
        /// One of them.
        first: String,
    },
    /// A picture is in both.
    #[error(
        "{train} of split train and {validation} of split validation are the same picture; \
         keep it in one of them"
    )]
    SamePicture {
        /// Name of the photo to train on.
        train: String,
        /// Name of the photo to validate on.
        validation: String,
    },
    /// No named whale validates.
    #[error("no photo of split validation has the name of a whale")]
    NoValidation,
    /// A photo cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
}

/// Adds the photos of split `validation` to those of split `train`, and returns the whales that
/// validate.
///
/// # Errors
/// When a whale or a picture is in both.
pub fn join_splits(
    train: &mut Dataset,
    validation: &Dataset,
) -> Result<BTreeSet<String>, SplitError> {
    let trained = train.by_whale();
    let whales: BTreeSet<String> = validation
        .by_whale()
        .into_keys()
        .map(str::to_owned)
        .collect();
    let both: Vec<&String> = whales
        .iter()
        .filter(|w| trained.contains_key(w.as_str()))
        .collect();
    if let Some(first) = both.first() {
        return Err(SplitError::SameWhale {
            count: both.len(),
            first: (*first).clone(),
        });
    }
    if whales.is_empty() {
        return Err(SplitError::NoValidation);
    }
    // Two whales in one photo are one picture with two boxes; it would show the trainer a whale that validates.
    let hashes: BTreeMap<String, &str> = train
        .picture_hashes()?
        .into_iter()
        .zip(train.photos.iter().map(|p| p.name.as_str()))
        .collect();
    for (photo, hash) in validation.photos.iter().zip(validation.picture_hashes()?) {
        if let Some(train) = hashes.get(&hash) {
            return Err(SplitError::SamePicture {
                train: (*train).to_owned(),
                validation: photo.name.clone(),
            });
        }
    }
    train.photos.extend(validation.photos.iter().cloned());
    Ok(whales)
}

/// The split of a new run: `validation` names the whales that validate, if a table does; else the
/// recipe draws them.
pub fn split(dataset: &Dataset, validation: Option<&BTreeSet<String>>, recipe: &Recipe) -> Split {
    let Some(names) = validation else {
        return Split::of(dataset, recipe.validation_identities, recipe.seed);
    };
    let all = Split::of(dataset, 0, recipe.seed).train.into_iter();
    let (validation, train) = all.partition(|(whale, _)| names.contains(whale));
    Split {
        source: SplitSource::Column,
        train,
        validation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_dataset::LabelledPhoto;

    #[test]
    fn no_identity_is_on_both_sides() {
        let photos = (0..40)
            .map(|i| LabelledPhoto {
                path: "x".into(),
                name: i.to_string(),
                whale: (i % 13 != 0).then(|| format!("W{}", i / 2)),
                region: None,
                date: None,
                encounter: None,
            })
            .collect();
        let dataset = Dataset {
            photos,
            ..Dataset::default()
        };
        let split = Split::of(&dataset, 5, 9);
        assert_eq!(split.validation.len(), 5);
        assert!(
            split
                .validation
                .iter()
                .all(|(w, photos)| photos.len() >= 2 && split.train.iter().all(|(t, _)| t != w))
        );
        assert_eq!(split, Split::of(&dataset, 5, 9));
        assert_ne!(split, Split::of(&dataset, 5, 10));
    }
}
