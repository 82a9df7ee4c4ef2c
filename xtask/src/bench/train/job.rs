//! The task of both trainers: the same network, photos, batches, augmentation and steps.

use super::THREADS;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// One training run, as JSON for `peer.py` and as settings for our recipe.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Job {
    /// The CSV of photos with boxes, next to the folder of photos.
    pub(super) catalogue: PathBuf,
    photos: PathBuf,
    /// Number of epochs; the first one warms up.
    pub(super) epochs: usize,
    height: u32,
    width: u32,
    batch: usize,
    margin: f64,
    seed: u64,
    frozen_blocks: usize,
    dropout: f64,
    dimension: usize,
    arcface_scale: f64,
    /// Margin of ArcFace in radians.
    arcface_margin: f64,
    optimiser: Optimiser,
    augmentation: Augmentation,
}

/// AdamW; see `train::recipe::OptimiserSettings`.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Optimiser {
    backbone_lr: f64,
    head_lr: f64,
    loss_lr: f64,
    weight_decay: f64,
    warm_up_fraction: f64,
}

/// See `train::recipe::Augmentation`.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Augmentation {
    rotation: f64,
    shear: f64,
    scale: f64,
    shift: f64,
    perspective: f64,
    contrast: f64,
    blur: f64,
    noise: f64,
    erasing: f64,
}

impl Job {
    /// The recipe of `models/humpback-lite0` in its first stage, on the catalogue that `flukewatch
    /// synth` wrote to `population`.
    pub(super) fn on(population: &Path, epochs: usize) -> Self {
        Self {
            catalogue: population.join("catalogue.csv"),
            photos: population.join("catalogue"),
            epochs,
            height: 96,
            width: 192,
            batch: 32,
            margin: 0.04,
            seed: 1,
            frozen_blocks: 3,
            dropout: 0.2,
            dimension: 512,
            arcface_scale: 32.0,
            arcface_margin: 0.3,
            optimiser: Optimiser {
                backbone_lr: 6e-4,
                head_lr: 1.5e-3,
                loss_lr: 3e-3,
                weight_decay: 1e-4,
                warm_up_fraction: 0.05,
            },
            augmentation: Augmentation {
                rotation: 12.0,
                shear: 0.15,
                scale: 0.15,
                shift: 0.05,
                perspective: 0.05,
                contrast: 0.3,
                blur: 0.15,
                noise: 8.0,
                erasing: 0.3,
            },
        }
    }

    /// Arguments of `flukewatch train --set`. All settings are explicit, since defaults may change.
    pub(super) fn settings(&self) -> Vec<String> {
        let Self {
            epochs,
            height,
            width,
            dropout,
            dimension,
            arcface_scale,
            arcface_margin,
            optimiser: o,
            augmentation: a,
            ..
        } = self;
        vec![
            format!("seed={}", self.seed),
            "backbone=efficientnet-lite0".into(),
            format!("head={{pooling=\"average\",dropout={dropout:?},dimension={dimension}}}"),
            format!("frozen_blocks={}", self.frozen_blocks),
            "colour=grey".into(),
            "fit=stretch".into(),
            format!("padding={:?}", self.margin),
            format!("stages=[{{epochs={epochs},height={height},width={width}}}]"),
            format!("batch_size={}", self.batch),
            "sampler={kind=\"shuffled\"}".into(),
            "mirror_as_new_identity=true".into(),
            format!("loss={{kind=\"arcface\",scale={arcface_scale:?},margin={arcface_margin:?}}}"),
            format!(
                "optimiser={{backbone_lr={:?},head_lr={:?},loss_lr={:?},weight_decay={:?},warm_up_fraction={:?}}}",
                o.backbone_lr, o.head_lr, o.loss_lr, o.weight_decay, o.warm_up_fraction
            ),
            format!(
                "augmentation={{rotation={:?},shear={:?},scale={:?},shift={:?},perspective={:?},contrast={:?},blur={:?},noise={:?},erasing={:?}}}",
                a.rotation,
                a.shear,
                a.scale,
                a.shift,
                a.perspective,
                a.contrast,
                a.blur,
                a.noise,
                a.erasing
            ),
            "validation_identities=0".into(),
            format!("threads={THREADS}"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_trainers_get_the_same_numbers() {
        let job = Job::on(Path::new("/population"), 4);
        let json = serde_json::to_string(&job).unwrap();
        assert!(json.contains("\"catalogue\":\"/population/catalogue.csv\""));
        let settings = job.settings().join("\n");
        for number in [
            "rotation=12.0",
            "backbone_lr=0.0006",
            "noise=8.0",
            "margin=0.3",
            "warm_up_fraction=0.05",
        ] {
            assert!(settings.contains(number), "{number} in {settings}");
            let (key, value) = number.split_once('=').unwrap();
            let key = if key == "margin" {
                "arcface_margin"
            } else {
                key
            };
            assert!(
                json.contains(&format!("\"{key}\":{value}")),
                "{key} in {json}"
            );
        }
    }
}
