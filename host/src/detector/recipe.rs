//! How a detector is taught.

use serde::{Deserialize, Serialize};

/// Everything that a training follows from, but its photos.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorRecipe {
    /// Every draw follows from it.
    pub seed: u64,
    /// One after another.
    pub stages: Vec<DetectorStage>,
    /// The greatest step size.
    pub rate: f64,
    /// Pulls weights to zero.
    pub weight_decay: f64,
    /// How slowly the averaged weights follow.
    pub average: f64,
}

/// A part of the training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorStage {
    /// Steps.
    pub steps: u64,
    /// Pictures a step.
    pub batch: usize,
    /// Pixels of a picture down.
    pub height: u32,
    /// Pixels of a picture across.
    pub width: u32,
}

impl DetectorRecipe {
    /// Of about `steps` steps. Most show pieces of frames, a quarter of the work each, since the network looks at every place alike;
    /// the last ones show whole frames, so that it sees flukes that fill them.
    pub fn of_steps(seed: u64, steps: u64) -> Self {
        let whole = steps / 5;
        Self {
            seed,
            stages: vec![
                DetectorStage {
                    steps: steps - whole,
                    batch: 16,
                    height: 192,
                    width: 320,
                },
                DetectorStage {
                    steps: whole,
                    batch: 6,
                    height: 360,
                    width: 640,
                },
            ],
            rate: 3e-3,
            weight_decay: 0.01,
            average: 0.995,
        }
    }

    /// All of them.
    pub fn steps(&self) -> u64 {
        self.stages.iter().map(|s| s.steps).sum()
    }

    /// The stage of step `step`, from 0, and its place in the order.
    pub fn stage(&self, step: u64) -> Option<(usize, &DetectorStage)> {
        let mut end = 0;
        self.stages.iter().enumerate().find(|(_, stage)| {
            end += stage.steps;
            step < end
        })
    }

    /// The factor on the rate at step `step`: up within the first 3 %, then down along a cosine.
    pub fn factor(&self, step: u64) -> f64 {
        let (step, steps) = (step as f64, self.steps() as f64);
        let warm = (0.03 * steps).max(1.0);
        if step < warm {
            return (step + 1.0) / warm;
        }
        let done = ((step - warm) / (steps - warm).max(1.0)).min(1.0);
        0.02 + 0.98 * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_its_stage_and_rate() {
        let recipe = DetectorRecipe::of_steps(1, 1000);
        assert_eq!(recipe.steps(), 1000);
        assert_eq!(recipe.stage(0).map(|s| s.0), Some(0));
        assert_eq!(recipe.stage(799).map(|s| s.0), Some(0));
        assert_eq!(recipe.stage(800).map(|s| (s.0, s.1.width)), Some((1, 640)));
        assert_eq!(recipe.stage(1000), None);
        assert!(recipe.factor(0) < 0.1 && recipe.factor(30) > 0.99 && recipe.factor(999) < 0.03);
    }
}
