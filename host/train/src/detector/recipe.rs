//! The settings of a detector's training.

use crate::trainer::average::AverageSettings;
use crate::trainer::schedule::{Decay, Schedule};
use serde::{Deserialize, Serialize};

/// All settings of a run, which is reproducible on a CPU from them and the photos.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorRecipe {
    /// Seed of everything random.
    pub seed: u64,
    /// Stages in order.
    pub stages: Vec<DetectorStage>,
    /// Peak learning rate.
    pub lr: f64,
    /// Decoupled weight decay, not of biases and scales.
    pub weight_decay: f64,
    /// Fraction of the averaged weights that a step keeps.
    pub ema_decay: f64,
}

/// A part of the training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorStage {
    /// Number of optimiser steps.
    pub steps: u64,
    /// Pictures per step.
    pub batch_size: usize,
    /// Height in pixels.
    pub height: u32,
    /// Width in pixels.
    pub width: u32,
}

/// Peak learning rate of a training from random weights.
pub const LEARNING_RATE: f64 = 3e-3;
/// Peak learning rate of a training that continues from trained weights, which a higher one would undo.
pub const CONTINUED_LEARNING_RATE: f64 = 1e-3;

impl DetectorRecipe {
    /// A run of `steps` steps. Most use pieces of frames, at a quarter of the cost, since the network is
    /// translation-invariant; the last ones use whole frames, so that it sees flukes that fill them.
    pub fn of_steps(seed: u64, steps: u64, lr: f64) -> Self {
        let whole = steps / 5;
        Self {
            seed,
            stages: vec![
                DetectorStage {
                    steps: steps - whole,
                    batch_size: 16,
                    height: 192,
                    width: 320,
                },
                DetectorStage {
                    steps: whole,
                    batch_size: 6,
                    height: 360,
                    width: 640,
                },
            ],
            lr,
            weight_decay: 0.01,
            ema_decay: 0.995,
        }
    }

    /// Total number of steps.
    pub fn steps(&self) -> u64 {
        self.stages.iter().map(|s| s.steps).sum()
    }

    /// The stage of `step`, counted from 0, and its number.
    pub fn stage(&self, step: u64) -> Option<(usize, &DetectorStage)> {
        let mut end = 0;
        self.stages.iter().enumerate().find(|(_, stage)| {
            end += stage.steps;
            step < end
        })
    }

    /// The learning rate schedule.
    pub fn schedule(&self) -> Schedule {
        Schedule {
            warm_up_fraction: 0.03,
            decay: Decay::Cosine { floor: 0.02 },
            steps: self.steps(),
        }
    }

    /// The average of weights that is exported.
    pub fn average(&self) -> AverageSettings {
        AverageSettings::Ema {
            decay: self.ema_decay,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_its_stage_and_learning_rate() {
        let recipe = DetectorRecipe::of_steps(1, 1000, LEARNING_RATE);
        assert_eq!(recipe.steps(), 1000);
        assert_eq!(recipe.stage(0).map(|s| s.0), Some(0));
        assert_eq!(recipe.stage(799).map(|s| s.0), Some(0));
        assert_eq!(recipe.stage(800).map(|s| (s.0, s.1.width)), Some((1, 640)));
        assert_eq!(recipe.stage(1000), None);
        let lr_factor = |step| recipe.schedule().lr_factor(step);
        assert!(lr_factor(0) < 0.1 && lr_factor(30) > 0.99 && lr_factor(999) < 0.03);
    }
}
