//! The photos of a run: those to learn from, decoded once, and those of whales kept aside.

use super::error::TrainError;
use super::loader;
use super::progress::bar;
use super::recipe::{Recipe, SamplerChoice};
use super::split::Split;
use crate::dataset::Dataset;
use ndarray::Array3;
use std::sync::Arc;

/// Prepared photos, `[H, W, C] u8` each, at the size of the last stage.
pub struct RunPhotos {
    /// To learn from.
    pub train: Arc<Vec<Array3<u8>>>,
    /// Their names.
    pub names: Vec<String>,
    /// The photos of each whale, as positions in `train`.
    pub of_whale: Vec<Vec<usize>>,
    /// Photos of whales kept aside.
    pub watched: Vec<Array3<u8>>,
    /// Their whales.
    pub watched_whales: Vec<String>,
    /// How many whales those are.
    pub watching: usize,
}

impl RunPhotos {
    /// Splits and decodes.
    ///
    /// # Errors
    /// When there is too little to learn from, or at the first photo that cannot be used.
    pub fn read(dataset: &Dataset, recipe: &Recipe, quiet: bool) -> Result<Self, TrainError> {
        let split = Split::of(dataset, recipe.validation_whales, recipe.seed);
        check_enough(recipe, &split)?;
        let preparation = recipe.preparation();
        let photos_in = |whales: &[(String, Vec<usize>)]| -> Vec<usize> {
            whales
                .iter()
                .flat_map(|(_, photos)| photos.iter().copied())
                .collect()
        };
        let decode = |positions: &[usize]| {
            let photos: Vec<_> = positions.iter().map(|&i| &dataset.photos[i]).collect();
            let bar = if quiet {
                indicatif::ProgressBar::hidden()
            } else {
                bar(photos.len() as u64, "decoding")
            };
            let cached = loader::cache(&photos, &preparation, || bar.inc(1));
            bar.finish_and_clear();
            cached
        };
        let (train_at, watch_at) = (photos_in(&split.train), photos_in(&split.watch));
        let mut next = 0;
        let of_whale = split
            .train
            .iter()
            .map(|(_, photos)| {
                next += photos.len();
                (next - photos.len()..next).collect()
            })
            .collect();
        Ok(Self {
            train: Arc::new(decode(&train_at)?),
            names: train_at
                .iter()
                .map(|&i| dataset.photos[i].name.clone())
                .collect(),
            of_whale,
            watched: decode(&watch_at)?,
            watched_whales: split
                .watch
                .iter()
                .flat_map(|(whale, photos)| photos.iter().map(|_| whale.clone()))
                .collect(),
            watching: split.watch.len(),
        })
    }

    /// Photos and whales, in words.
    pub fn in_words(&self) -> String {
        format!(
            "{} photos of {} whales",
            self.train.len(),
            self.of_whale.len()
        )
    }
}

fn check_enough(recipe: &Recipe, split: &Split) -> Result<(), TrainError> {
    if split.train.len() < 2 {
        let count = split.train.len();
        return Err(TrainError::TooLittle(format!(
            "{count} named whale(s) to learn from; at least two are needed to tell them apart"
        )));
    }
    let pairs = split
        .train
        .iter()
        .filter(|(_, photos)| photos.len() >= 2)
        .count();
    let need_pairs = matches!(recipe.sampler, SamplerChoice::Pk { .. });
    if need_pairs && pairs < 2 {
        return Err(TrainError::TooLittle(format!(
            "{pairs} whale(s) with two photos or more; the pk sampler needs at least two. With one photo per whale, train with sampler.kind = \"shuffled\" and the arcface loss"
        )));
    }
    if pairs == 0 {
        eprintln!(
            "note: every whale has a single photo; the network learns from its variations alone"
        );
    }
    Ok(())
}
