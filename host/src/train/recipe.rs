//! The recipe: every setting of a training run.

pub mod about;
mod average;
mod divide;
mod frozen;
pub mod loss;
pub mod miner;
pub mod preset;
#[cfg(test)]
mod tests;

pub use average::AverageChoice;
pub use divide::{ClusterBy, ClusterUnit, DivideSettings, DividedBatches};
pub use loss::LossChoice;
pub use miner::MinerChoice;

use crate::network::{Backbone, head::Head};
use flukewatch_common::prepare::{Colour, Fit, Preparation};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Why a recipe cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The file itself.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No TOML, an unknown key, or a value of the wrong type; names line and column.
    #[error("{path}: {reason}")]
    Format {
        /// Which.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// Values that make no sense.
    #[error("recipe: {0}")]
    Value(String),
}

/// All settings of a run; reproducible from them, the photos and the seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Everything random follows from it.
    pub seed: u64,
    /// The network that looks at the photos.
    pub backbone: Backbone,
    /// What makes an embedding of its features.
    pub head: Head,
    /// The stem and this many blocks keep their pretrained weights and statistics; `None` ("none") trains all.
    #[serde(with = "frozen")]
    pub frozen_blocks: Option<usize>,
    /// Grey or colour.
    pub colour: Colour,
    /// How a crop fills the input.
    pub fit: Fit,
    /// How far a box is widened, as a share of its sides.
    pub margin: f32,
    /// Sizes and how long each is trained.
    pub stages: Vec<Stage>,
    /// Photos a step.
    pub batch: usize,
    /// Which photos make a batch.
    pub sampler: SamplerChoice,
    /// A mirrored fluke counts as another whale (flukes are not symmetric): twice the whales, and mirrored views at test tell more.
    pub mirror_is_another: bool,
    /// What is minimised.
    pub loss: LossChoice,
    /// Divide and conquer of the embedding space.
    #[serde(default)]
    pub divide: DivideSettings,
    /// Step sizes.
    pub optimiser: OptimiserSettings,
    /// How photos are varied.
    pub augmentation: Augmentation,
    /// This many whales (with two photos or more) are kept from training and watched instead.
    pub validation_whales: usize,
    /// Stop when the whales kept aside were found no better (MAP@5) for so many epochs, and keep the best; 0 never stops early.
    #[serde(default)]
    pub patience: usize,
    /// The backbone's normalisation keeps its pretrained statistics, as the paper's does.
    #[serde(default)]
    pub frozen_norm: bool,
    /// What convolutions are computed in.
    #[serde(default)]
    pub precision: Precision,
    /// Averaged weights.
    #[serde(default)]
    pub average: AverageChoice,
    /// The last so many epochs round weights and activations as the exported int8 model does.
    #[serde(default)]
    pub rounded_epochs: usize,
    /// Threads of the CPU; 0 for all.
    pub threads: usize,
    /// Threads that vary photos and make batches ahead of the steps.
    #[serde(default = "one")]
    pub workers: usize,
    /// A checkpoint is written at least every so many minutes, besides after each epoch; 0 for after epochs only.
    #[serde(default = "ten")]
    pub save_minutes: f64,
}

fn one() -> usize {
    1
}

fn ten() -> f64 {
    10.0
}

/// Some epochs at one size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// How many.
    pub epochs: usize,
    /// Pixels down.
    pub height: u32,
    /// Pixels across.
    pub width: u32,
}

/// What convolutions are computed in while training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    F32,
    /// bfloat16, with 32-bit weights, statistics, head and loss: mixed precision, for CUDA cards. bfloat16 has the range of a
    /// 32-bit float, so that losses need no scaling.
    Bf16,
}

/// Which photos make a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum SamplerChoice {
    /// Every photo once an epoch, in random order.
    Shuffled,
    /// P whales with K photos each (P x K is the batch), as losses over pairs need.
    Pk {
        /// K.
        photos_per_whale: usize,
    },
}

/// AdamW with linear warm-up and cosine decay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimiserSettings {
    /// Peak step size of the backbone.
    pub backbone_rate: f64,
    /// Of the head.
    pub head_rate: f64,
    /// Of the loss's own parameters (class centres, beta).
    pub loss_rate: f64,
    /// Decay of weights (not of biases and scales).
    pub weight_decay: f64,
    /// Share of all steps that the rise to the peak takes.
    pub warm_up: f64,
}

/// How far photos are varied; 0 leaves a variation out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    /// Degrees, either way.
    pub rotation: f32,
    /// Horizontal shear, either way.
    pub shear: f32,
    /// Share by which either side grows or shrinks, independently.
    pub scale: f32,
    /// Share of a side by which the picture moves.
    pub shift: f32,
    /// Share of a side by which each corner moves.
    pub perspective: f32,
    /// Share by which contrast and brightness change.
    pub contrast: f32,
    /// Probability of a blur.
    pub blur: f32,
    /// Standard deviation of added noise at most, in grey levels.
    pub noise: f32,
    /// Probability that a rectangle is wiped out.
    pub erasing: f32,
}

impl Default for Recipe {
    /// What `models/humpback-lite0` was trained with, less the length.
    fn default() -> Self {
        Self {
            seed: 1,
            backbone: Backbone::EfficientnetLite0,
            head: Head {
                pooling: crate::network::Pooling::Average,
                dropout: 0.2,
                dimension: 512,
            },
            frozen_blocks: Some(3),
            colour: Colour::Grey,
            fit: Fit::Stretch,
            margin: 0.04,
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
            batch: 32,
            sampler: SamplerChoice::Shuffled,
            mirror_is_another: true,
            loss: LossChoice::Arcface(loss::ArcFaceSettings::default()),
            divide: DivideSettings::default(),
            optimiser: OptimiserSettings {
                backbone_rate: 6e-4,
                head_rate: 1.5e-3,
                loss_rate: 3e-3,
                weight_decay: 1e-4,
                warm_up: 0.05,
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
            validation_whales: 0,
            patience: 0,
            frozen_norm: false,
            precision: Precision::F32,
            average: AverageChoice::None,
            rounded_epochs: 0,
            threads: 0,
            workers: one(),
            save_minutes: ten(),
        }
    }
}

impl Recipe {
    /// The default recipe, then a preset, a TOML file, and `overrides` (`key=value`, dotted keys), each over what came before.
    ///
    /// # Errors
    /// Names the file and line of what cannot be read, or the value that makes no sense.
    pub fn read(
        preset: Option<&str>,
        path: Option<&Path>,
        overrides: &[String],
    ) -> Result<Self, RecipeError> {
        let mut table = toml::Table::try_from(Self::default())
            .map_err(|e| RecipeError::Value(e.to_string()))?;
        if let Some(name) = preset {
            lay_over(&mut table, preset::text(name)?, Path::new(name))?;
        }
        if let Some(path) = path {
            let text = std::fs::read_to_string(path).map_err(|source| RecipeError::File {
                path: path.to_owned(),
                source,
            })?;
            lay_over(&mut table, &text, path)?;
        }
        for text in overrides {
            let bad = |reason: String| RecipeError::Value(format!("'--set {text}': {reason}"));
            let (key, value) = text
                .split_once('=')
                .ok_or_else(|| bad("write it as key=value".into()))?;
            let own: toml::Table = format!("{key} = {value}")
                .parse()
                .or_else(|_| format!("{key} = \"{value}\"").parse())
                .map_err(|e: toml::de::Error| bad(e.message().to_owned()))?;
            merge(&mut table, own);
            let merged: Result<Self, _> = table.clone().try_into();
            merged.map_err(|e: toml::de::Error| bad(e.message().to_owned()))?;
        }
        let recipe: Self = table
            .try_into()
            .map_err(|e: toml::de::Error| RecipeError::Value(e.to_string()))?;
        recipe.check()?;
        Ok(recipe)
    }

    fn check(&self) -> Result<(), RecipeError> {
        let need = |good: bool, what: &str| {
            if good {
                Ok(())
            } else {
                Err(RecipeError::Value(what.to_owned()))
            }
        };
        need(!self.stages.is_empty(), "at least one stage is needed")?;
        for stage in &self.stages {
            need(stage.epochs > 0, "a stage needs an epoch or more")?;
            let sound = |side: u32| side.is_multiple_of(32) && (32..=1024).contains(&side);
            need(
                sound(stage.height) && sound(stage.width),
                "sizes must be multiples of 32 from 32 to 1024",
            )?;
        }
        need((2..=4096).contains(&self.batch), "batch must be 2 to 4096")?;
        need(
            (8..=4096).contains(&self.head.dimension),
            "head.dimension must be 8 to 4096",
        )?;
        need(
            (0.0..1.0).contains(&self.head.dropout),
            "head.dropout must be 0 up to, but not, 1",
        )?;
        need((0.0..=1.0).contains(&self.margin), "margin must be 0 to 1")?;
        need(
            (0.0..1.0).contains(&self.optimiser.warm_up),
            "optimiser.warm_up is a share, 0 up to, but not, 1",
        )?;
        self.divide
            .check(self.head.dimension, self.epochs())
            .map_err(RecipeError::Value)?;
        self.average
            .check(self.epochs())
            .map_err(RecipeError::Value)?;
        need(
            self.rounded_epochs <= self.epochs(),
            "rounded_epochs cannot be more than all epochs",
        )?;
        need(
            self.patience == 0 || self.validation_whales > 0,
            "patience watches whales kept aside: set validation_whales too",
        )?;
        need((1..=64).contains(&self.workers), "workers must be 1 to 64")?;
        need(
            (0.0..=1e6).contains(&self.save_minutes),
            "save_minutes must be 0 or more",
        )?;
        if let SamplerChoice::Pk {
            photos_per_whale: k,
        } = self.sampler
        {
            need(
                k >= 2 && self.batch.is_multiple_of(k),
                "sampler.photos_per_whale must be 2 or more and divide the batch",
            )?;
        }
        self.loss.check().map_err(RecipeError::Value)?;
        need(
            !self.loss.needs_pairs() || matches!(self.sampler, SamplerChoice::Pk { .. }),
            &format!(
                "the {} loss compares pairs and needs sampler.kind = \"pk\"",
                self.loss.about().kind
            ),
        )?;
        Ok(())
    }

    /// Epochs in all.
    pub fn epochs(&self) -> usize {
        self.stages.iter().map(|s| s.epochs).sum()
    }

    /// The stage that `epoch` (from 0) belongs to.
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

    /// The preparation that the photos are trained with, at the size of the last stage.
    pub fn preparation(&self) -> Preparation {
        let (height, width) = self.final_size();
        let (mean, deviation) = self.backbone.normalisation();
        let (mean, deviation) = if self.colour == Colour::Grey {
            let one = |of: [f32; 3]| vec![of.iter().sum::<f32>() / 3.0];
            (one(mean), one(deviation))
        } else {
            (mean.to_vec(), deviation.to_vec())
        };
        Preparation {
            height,
            width,
            colour: self.colour,
            fit: self.fit,
            margin: self.margin,
            mean,
            deviation,
        }
    }

    /// The largest input, at which the model is exported: that of the last stage.
    pub fn final_size(&self) -> (u32, u32) {
        let last = &self.stages[self.stages.len() - 1];
        (last.height, last.width)
    }
}

/// Puts a TOML text over `table`; `path` is where it comes from.
fn lay_over(table: &mut toml::Table, text: &str, path: &Path) -> Result<(), RecipeError> {
    let format = |e: toml::de::Error| RecipeError::Format {
        path: path.to_owned(),
        reason: e.to_string(),
    };
    merge(table, text.parse().map_err(format)?);
    let merged: Result<Recipe, _> = table.clone().try_into();
    merged.map_err(format)?;
    Ok(())
}

/// Puts `own` over `base`; a table that chooses another `kind` replaces, any other table is merged key by key.
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
