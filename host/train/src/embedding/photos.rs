//! The photos of a run, decoded once.

use super::batches;
use super::recipe::{Recipe, SamplerSettings};
use super::split::{Identities, Split};
use crate::trainer::error::TrainError;
use flukewatch_dataset::Dataset;
use flukewatch_progress::{ProgressBar, bar};
use ndarray::Array3;
use std::sync::Arc;

/// Prepared photos, `[H, W, C] u8` each, at the size of the last stage.
pub(super) struct RunPhotos {
    pub(super) train: Arc<Vec<Array3<u8>>>,
    /// Names of the training photos.
    pub(super) names: Vec<String>,
    /// The photos of each training identity, as positions in `train`.
    pub(super) of_identity: Vec<Vec<usize>>,
    /// Photos of held-out identities.
    pub(super) validation: Vec<Array3<u8>>,
    /// The identity of each of those.
    pub(super) validation_labels: Vec<String>,
    pub(super) validation_identities: usize,
}

impl RunPhotos {
    /// Decodes the photos of a split.
    pub(super) fn read(
        dataset: &Dataset,
        split: &Split,
        recipe: &Recipe,
        quiet: bool,
    ) -> Result<Self, TrainError> {
        check_enough(recipe, split)?;
        let preparation = recipe.preparation();
        let photos_of = |identities: &Identities| -> Vec<usize> {
            identities
                .iter()
                .flat_map(|(_, photos)| photos.iter().copied())
                .collect()
        };
        let decode = |positions: &[usize]| {
            let photos: Vec<_> = positions.iter().map(|&i| &dataset.photos[i]).collect();
            let bar = if quiet {
                ProgressBar::hidden()
            } else {
                bar(photos.len() as u64, "decoding")
            };
            let decoded = batches::decode(&photos, &preparation, || bar.inc(1));
            bar.finish_and_clear();
            decoded
        };
        let train = photos_of(&split.train);
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
            train: Arc::new(decode(&train)?),
            names: train
                .iter()
                .map(|&i| dataset.photos[i].name.clone())
                .collect(),
            of_identity,
            validation: decode(&photos_of(&split.validation))?,
            validation_labels: split
                .validation
                .iter()
                .flat_map(|(identity, photos)| photos.iter().map(|_| identity.clone()))
                .collect(),
            validation_identities: split.validation.len(),
        })
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
