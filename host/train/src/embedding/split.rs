//! Identities to train on, and held-out identities to validate on.

use flukewatch_dataset::Dataset;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Named identities with their photos, as positions in the dataset.
pub type Identities = Vec<(String, Vec<usize>)>;

/// What chose the held-out identities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitSource {
    /// The seed of the recipe.
    Seed,
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
