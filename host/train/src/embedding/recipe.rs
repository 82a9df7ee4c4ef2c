//! The recipe: every setting of a training run.

mod augmentation;
mod check;
mod divide;
mod error;
mod frozen;
pub mod preset;
mod source;
#[cfg(test)]
mod tests;

pub use augmentation::Augmentation;
pub use divide::{ClusterBy, ClusterUnit, DivideSettings, DividedBatches};
pub use error::RecipeError;

use crate::loss::LossSettings;
use crate::loss::arcface::ArcFaceSettings;
use crate::trainer::average::AverageSettings;
#[cfg(feature = "libtorch")]
use crate::trainer::optimiser::UpdateRule;
use crate::trainer::schedule::{Decay, Schedule};
use flukewatch_common::prepare::{Colour, Fit, Preparation};
use flukewatch_network::{Backbone, head::Head};
use serde::{Deserialize, Serialize};
use source::Source;
use std::path::Path;

/// All settings of a run, which is reproducible from them, the photos and the seed: on a CPU always, on a
/// CUDA device with `deterministic`, as far as libtorch has reproducible algorithms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Seed of everything random.
    pub seed: u64,
    /// The network that extracts features.
    pub backbone: Backbone,
    /// The layers from features to an embedding.
    pub head: Head,
    /// The stem and this many blocks keep their pretrained weights and statistics; `None` ("none")
    /// trains everything.
    #[serde(with = "frozen")]
    pub frozen_blocks: Option<usize>,
    /// Whether photos are grey or in colour.
    pub colour: Colour,
    /// How a crop fills the input.
    pub fit: Fit,
    /// How far a box is widened, as a fraction of its sides.
    pub padding: f32,
    /// Input sizes and the number of epochs of each.
    pub stages: Vec<Stage>,
    /// Photos per batch: what batch normalisation and losses see at once.
    pub batch_size: usize,
    /// Batches per optimiser step, whose gradients are averaged.
    #[serde(default = "one")]
    pub accumulate_steps: usize,
    /// Which photos make a batch.
    pub sampler: SamplerSettings,
    /// A mirrored fluke counts as another identity (flukes are not symmetric). That doubles the number
    /// of classes, and mirrored views then improve identification.
    pub mirror_as_new_identity: bool,
    /// The loss with its settings.
    pub loss: LossSettings,
    /// Divide and conquer of the embedding space.
    #[serde(default)]
    pub divide: DivideSettings,
    /// Learning rates and weight decay.
    pub optimiser: OptimiserSettings,
    /// Random variations of the photos.
    pub augmentation: Augmentation,
    /// This many identities (with two photos or more) are held out for validation.
    pub validation_identities: usize,
    /// Stop when MAP@5 on the validation identities has not improved for this many epochs, and keep
    /// the best epoch; 0 never stops early.
    #[serde(default)]
    pub patience: usize,
    /// The backbone's batch normalisation keeps its pretrained statistics, as in the paper on dividing.
    #[serde(default)]
    pub frozen_norm: bool,
    /// Precision of convolutions.
    #[serde(default)]
    pub precision: Precision,
    /// Use reproducible algorithms only. Slower on CUDA devices; on a CPU, a run is reproducible anyway.
    #[serde(default)]
    pub deterministic: bool,
    /// Averaged weights.
    #[serde(default)]
    pub average: AverageSettings,
    /// The last epochs train with fake quantisation of weights and activations, as in the exported
    /// int8 model.
    #[serde(default)]
    pub qat_epochs: usize,
    /// CPU threads; 0 for all.
    pub threads: usize,
    /// Threads that prepare batches ahead of the steps.
    #[serde(default = "one")]
    pub workers: usize,
    /// Minutes between checkpoints within an epoch; 0 for none. One is always written after an epoch.
    #[serde(default = "ten")]
    pub save_minutes: f64,
}

fn one() -> usize {
    1
}

fn ten() -> f64 {
    10.0
}

fn momentum() -> f64 {
    0.9
}

/// Some epochs at one input size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Number of epochs.
    pub epochs: usize,
    /// Height in pixels, a multiple of 32.
    pub height: u32,
    /// Width in pixels, a multiple of 32.
    pub width: u32,
}

/// Precision of convolutions in training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    F32,
    /// bfloat16, with 32-bit weights, statistics, head and loss: mixed precision, for CUDA devices.
    /// bfloat16 has the range of a 32-bit float, so losses need no scaling.
    Bf16,
}

/// Which photos make a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum SamplerSettings {
    /// Every photo once per epoch, in random order.
    Shuffled,
    /// P identities with K photos each (P x K is the batch size), as losses over pairs need.
    Pk {
        /// K, the number of photos of each identity in a batch.
        photos_per_identity: usize,
    },
}

/// How a step follows from gradients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimiserRule {
    /// Adam with decoupled weight decay.
    #[default]
    Adamw,
    /// Adam with weight decay in the gradient (L2), as in the paper on dividing.
    Adam,
    /// Stochastic gradient descent with momentum, and weight decay in the gradient.
    Sgd,
}

/// How learning rates change after the warm-up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ScheduleSettings {
    /// They fall to a hundredth along half a cosine.
    #[default]
    Cosine,
    /// They stay.
    Constant,
    /// They are multiplied by a factor at intervals.
    Step {
        /// Epochs between two multiplications.
        every_epochs: usize,
        /// The factor.
        factor: f64,
    },
}

/// Update rule, learning rates and weight decay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimiserSettings {
    /// How a step follows from gradients.
    #[serde(default)]
    pub rule: OptimiserRule,
    /// Of stochastic gradient descent.
    #[serde(default = "momentum")]
    pub momentum: f64,
    /// How learning rates change after the warm-up.
    #[serde(default)]
    pub schedule: ScheduleSettings,
    /// Peak learning rate of the backbone.
    pub backbone_lr: f64,
    /// Peak learning rate of the head.
    pub head_lr: f64,
    /// Peak learning rate of the loss's own parameters (class centres, beta).
    pub loss_lr: f64,
    /// Weight decay, not of biases and scales.
    pub weight_decay: f64,
    /// Fraction of all steps that the warm-up takes.
    pub warm_up_fraction: f64,
    /// The gradient of a step is scaled down to this norm if it is larger; 0 never does.
    #[serde(default)]
    pub max_grad_norm: f64,
}

impl OptimiserSettings {
    /// The schedule of a run of `epochs` with `steps` each.
    pub fn schedule(&self, epochs: usize, steps: usize) -> Schedule {
        Schedule {
            warm_up_fraction: self.warm_up_fraction,
            decay: match self.schedule {
                ScheduleSettings::Cosine => Decay::Cosine { floor: 0.01 },
                ScheduleSettings::Constant => Decay::Constant,
                ScheduleSettings::Step {
                    every_epochs,
                    factor,
                } => Decay::Step {
                    every: (every_epochs * steps) as f64,
                    factor,
                },
            },
            steps: (epochs * steps) as u64,
        }
    }

    #[cfg(feature = "libtorch")]
    pub(super) fn update_rule(&self) -> UpdateRule {
        match self.rule {
            OptimiserRule::Adamw => UpdateRule::AdamW,
            OptimiserRule::Adam => UpdateRule::Adam,
            OptimiserRule::Sgd => UpdateRule::Sgd {
                momentum: self.momentum,
            },
        }
    }
}

impl Default for Recipe {
    /// What `models/humpback-lite0` was trained with, except for its length.
    fn default() -> Self {
        Self {
            seed: 1,
            backbone: Backbone::EfficientnetLite0,
            head: Head {
                pooling: flukewatch_network::Pooling::Average,
                dropout: 0.2,
                dimension: 512,
            },
            frozen_blocks: Some(3),
            colour: Colour::Grey,
            fit: Fit::Stretch,
            padding: 0.04,
            stages: vec![
                Stage {
                    epochs: 12,
                    height: 96,
                    width: 192,
                },
                Stage {
                    epochs: 8,
                    height: 128,
                    width: 256,
                },
            ],
            batch_size: 32,
            accumulate_steps: one(),
            sampler: SamplerSettings::Shuffled,
            mirror_as_new_identity: true,
            loss: LossSettings::Arcface(ArcFaceSettings::default()),
            divide: DivideSettings::default(),
            optimiser: OptimiserSettings {
                rule: OptimiserRule::Adamw,
                momentum: momentum(),
                schedule: ScheduleSettings::Cosine,
                backbone_lr: 6e-4,
                head_lr: 1.5e-3,
                loss_lr: 3e-3,
                weight_decay: 1e-4,
                warm_up_fraction: 0.05,
                max_grad_norm: 0.0,
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
                flip: 0.0,
                crop_area: 1.0,
                crop_aspect: 1.0,
                colour: 0.0,
                reduction: 0.0,
                reduced_width: 48,
                jpeg: 0.0,
            },
            validation_identities: 0,
            patience: 0,
            frozen_norm: false,
            precision: Precision::F32,
            deterministic: false,
            average: AverageSettings::None,
            qat_epochs: 0,
            threads: 0,
            workers: one(),
            save_minutes: ten(),
        }
    }
}

impl Recipe {
    /// The default recipe, overridden by a preset, a TOML file, and `overrides` (`key=value`, with
    /// dotted keys), in this order.
    ///
    /// # Errors
    /// Names the file and line that cannot be read, or the invalid value and where it comes from.
    pub fn read(
        preset: Option<&str>,
        path: Option<&Path>,
        overrides: &[String],
    ) -> Result<Self, RecipeError> {
        let mut table =
            toml::Table::try_from(Self::default()).expect("a recipe can be written as TOML");
        let mut sources = vec![];
        if let Some(name) = preset {
            let text = preset::text(name)?;
            overlay(&mut table, text, Path::new(name))?;
            sources.push(Source::file(format!("preset {name}"), text.to_owned()));
        }
        if let Some(path) = path {
            let text = std::fs::read_to_string(path).map_err(|source| RecipeError::File {
                path: path.to_owned(),
                source,
            })?;
            overlay(&mut table, &text, path)?;
            sources.push(Source::file(path.display().to_string(), text));
        }
        for text in overrides {
            let bad = |reason: String| RecipeError::Value(format!("'--set {text}': {reason}"));
            let (key, value) = text
                .split_once('=')
                .ok_or_else(|| bad("expected key=value".into()))?;
            let plain = format!("{key} = {value}");
            let quoted = format!("{key} = \"{value}\"");
            let (own, set): (toml::Table, _) = match plain.parse() {
                Ok(own) => (own, plain),
                Err(_) => {
                    let own = quoted.parse();
                    let own = own.map_err(|e: toml::de::Error| bad(e.message().to_owned()))?;
                    (own, quoted)
                }
            };
            merge(&mut table, own);
            let merged: Result<Self, _> = table.clone().try_into();
            merged.map_err(|e: toml::de::Error| bad(e.message().to_owned()))?;
            sources.push(Source::line(format!("--set {text}"), set));
        }
        let recipe: Self = table
            .try_into()
            .map_err(|e: toml::de::Error| RecipeError::Value(e.to_string()))?;
        recipe.check().map_err(|setting| RecipeError::Setting {
            place: source::place(&sources, &setting.key),
            setting,
        })?;
        Ok(recipe)
    }

    /// Total number of epochs.
    pub fn epochs(&self) -> usize {
        self.stages.iter().map(|s| s.epochs).sum()
    }

    /// Optimiser steps of an epoch of `batches`; the last step may have fewer batches than the others.
    pub fn steps_of(&self, batches: usize) -> usize {
        batches.div_ceil(self.accumulate_steps)
    }

    /// The stage of `epoch`, counted from 0.
    pub fn stage(&self, epoch: usize) -> &Stage {
        let mut left = epoch;
        for stage in &self.stages {
            if left < stage.epochs {
                return stage;
            }
            left -= stage.epochs;
        }
        &self.stages[self.stages.len() - 1]
    }

    /// The preparation of the photos, at the size of the last stage.
    pub fn preparation(&self) -> Preparation {
        let (height, width) = self.final_size();
        let (mean, std) = self.backbone.normalisation();
        let (mean, std) = if self.colour == Colour::Grey {
            let one = |of: [f32; 3]| vec![of.iter().sum::<f32>() / 3.0];
            (one(mean), one(std))
        } else {
            (mean.to_vec(), std.to_vec())
        };
        Preparation {
            height,
            width,
            colour: self.colour,
            fit: self.fit,
            padding: self.padding,
            mean,
            std,
        }
    }

    /// Height and width of the exported model's input: those of the last stage.
    pub fn final_size(&self) -> (u32, u32) {
        let last = &self.stages[self.stages.len() - 1];
        (last.height, last.width)
    }
}

/// Overlays `table` with a TOML text from `path`.
fn overlay(table: &mut toml::Table, text: &str, path: &Path) -> Result<(), RecipeError> {
    let format = |e: toml::de::Error| RecipeError::Format {
        path: path.to_owned(),
        reason: e.to_string(),
    };
    merge(table, text.parse().map_err(format)?);
    let merged: Result<Recipe, _> = table.clone().try_into();
    merged.map_err(format)?;
    Ok(())
}

/// Overlays `base` with `own`. A table with another `kind` replaces, any other is merged key by key.
fn merge(base: &mut toml::Table, own: toml::Table) {
    for (key, value) in own {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(own))
                if own.get("kind").is_none() || own.get("kind") == base.get("kind") =>
            {
                merge(base, own);
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}
