//! The photos of a run.

use super::batches;
use super::recipe::{Recipe, SamplerSettings};
use super::split::{Identities, Split};
use crate::trainer::error::TrainError;
use flukewatch_common::prepare::Preparation;
use flukewatch_dataset::{Dataset, LabelledPhoto};
use ndarray::Array3;

/// The photos of a run, split into training and validation.
pub(super) struct RunPhotos {
    pub(super) train: Vec<LabelledPhoto>,
    /// The photos of each training identity, as positions in `train`.
    pub(super) of_identity: Vec<Vec<usize>>,
    /// Photos of held-out identities.
    pub(super) validation: Vec<LabelledPhoto>,
    /// The identity of each of those.
    pub(super) validation_labels: Vec<String>,
    pub(super) validation_identities: usize,
}

impl RunPhotos {
    pub(super) fn new(
        dataset: &Dataset,
        split: &Split,
        recipe: &Recipe,
    ) -> Result<Self, TrainError> {
        check_enough(recipe, split)?;
        let photos_of = |identities: &Identities| -> Vec<LabelledPhoto> {
            identities
                .iter()
                .flat_map(|(_, photos)| photos.iter().map(|&i| dataset.photos[i].clone()))
                .collect()
        };
        let mut next = 0;
        let of_identity = split
            .train
            .iter()
            .map(|(_, photos)| {
                next += photos.len();
                (next - photos.len()..next).collect()
            })
            .collect();
        Ok(Self {
            train: photos_of(&split.train),
            of_identity,
            validation: photos_of(&split.validation),
            validation_labels: split
                .validation
                .iter()
                .flat_map(|(identity, photos)| photos.iter().map(|_| identity.clone()))
                .collect(),
            validation_identities: split.validation.len(),
        })
    }

    /// The validation photos as evaluation prepares them, `[H, W, C] u8` each.
    pub(super) fn prepared_validation(
        &self,
        preparation: &Preparation,
    ) -> Result<Vec<Array3<u8>>, TrainError> {
        let photos: Vec<_> = self.validation.iter().collect();
        Ok(batches::decode(&photos, preparation, || ())?)
    }

    /// E.g. "120 photos of 30 whales".
    pub(super) fn description(&self) -> String {
        format!(
            "{} photos of {} whales",
            self.train.len(),
            self.of_identity.len()
        )
    }
}

fn check_enough(recipe: &Recipe, split: &Split) -> Result<(), TrainError> {
    if split.train.len() < 2 {
        return Err(TrainError::TooFewPhotos(format!(
            "{} named whale(s) to train on; at least two are required",
            split.train.len()
        )));
    }
    let pairs = split
        .train
        .iter()
        .filter(|(_, photos)| photos.len() >= 2)
        .count();
    let need_pairs = matches!(recipe.sampler, SamplerSettings::Pk { .. });
    if need_pairs && pairs < 2 {
        return Err(TrainError::TooFewPhotos(format!(
            "{pairs} whale(s) with two photos or more; the pk sampler requires at least two. With one \
             photo per whale, use sampler.kind = \"shuffled\" and the arcface loss"
        )));
    }
    if pairs == 0 {
        eprintln!(
            "note: every whale has a single photo; the network learns from augmentation only"
        );
    }
    Ok(())
}
