//! Reports what a bundle's model was trained on, before it is measured or fitted.

use anyhow::{Context, bail};
use clap::Args;
use flukewatch_common::bundle::Bundle;
use flukewatch_dataset::LabelledPhoto;
use flukewatch_eval::training_overlap::TrainingOverlap;
use std::path::Path;

/// The option of commands whose figures mean nothing on photos that the model was trained on.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct AllowTrainingPhotos {
    /// Go on with photos that the model was trained on: the figures say nothing about other whales
    #[arg(long)]
    allow_training_photos: bool,
}

impl AllowTrainingPhotos {
    /// Whether figures on training photos are wanted.
    pub(super) fn is_set(self) -> bool {
        self.allow_training_photos
    }

    /// As [`report`]; training photos are an error without the option.
    pub(super) fn check(
        self,
        bundle: &Bundle,
        photos: &[LabelledPhoto],
        data: &Path,
    ) -> anyhow::Result<Option<TrainingOverlap>> {
        let overlap = report(bundle, photos, data)?;
        if !self.is_set() && overlap.as_ref().is_some_and(TrainingOverlap::is_misleading) {
            bail!(
                "{}: figures on photos that the model was trained on say nothing about other whales; \
                 leave them out, or pass --allow-training-photos",
                data.display()
            );
        }
        Ok(overlap)
    }
}

/// The overlap of photos with what the model was trained on; `None` if the bundle does not say so.
/// Writes either to stderr; an empty overlap is not mentioned.
pub(super) fn report(
    bundle: &Bundle,
    photos: &[LabelledPhoto],
    data: &Path,
) -> anyhow::Result<Option<TrainingOverlap>> {
    let name = &bundle.manifest.name;
    let Some(training) = &bundle.training else {
        eprintln!(
            "{}: unknown whether the model of {name} was trained on these photos: the bundle has no hashes of its training photos",
            data.display()
        );
        return Ok(None);
    };
    let overlap =
        TrainingOverlap::of(training, photos).context("comparing with training photos")?;
    if !overlap.is_empty() {
        eprintln!(
            "WARNING: {}: the model of {name} was trained on {overlap}",
            data.display()
        );
    }
    Ok(Some(overlap))
}
