//! Pictures to batches.

use super::network::STRIDES;
use super::preparation::preparation_of;
use super::recipe::DetectorRecipe;
use super::samples::Samples;
use super::targets::Targets;
use crate::trainer::error::TrainError;
use crate::trainer::prefetch::Prefetcher;
use flukewatch_inference::detector::input::DetectorInput;
use std::sync::Arc;

/// The numbers of one step.
pub(super) struct Batch {
    /// `[N, 1, H, W] f32`, row-major.
    pub(super) images: Vec<f32>,
    /// `[N]`
    pub(super) targets: Vec<Targets>,
}

/// Prepares batches ahead, starting at step `from`.
pub(super) fn prefetch(
    samples: Arc<Samples>,
    recipe: &DetectorRecipe,
    from: u64,
    workers: usize,
) -> Prefetcher<Result<Batch, TrainError>> {
    let (steps, recipe) = (recipe.steps(), recipe.clone());
    Prefetcher::new((from, steps), workers, move |step| {
        batch(&samples, &recipe, step)
    })
}

/// A batch; the same for the same seed and step.
fn batch(samples: &Samples, recipe: &DetectorRecipe, step: u64) -> Result<Batch, TrainError> {
    let (number, stage) = recipe
        .stage(step)
        .expect("every step of the run has a stage");
    let mut input = DetectorInput::new(&preparation_of(stage.height, stage.width))?;
    let (mut images, mut targets) = (vec![], vec![]);
    for i in 0..stage.batch_size {
        let picture = step as u32 * stage.batch_size as u32 + i as u32;
        let sample = samples.make(number as u32, picture, (stage.width, stage.height))?;
        input.fill(&sample.picture)?;
        images.extend(input.numbers().iter());
        targets.push(Targets::of(
            &sample.flukes,
            stage.width,
            stage.height,
            &STRIDES,
        ));
    }
    Ok(Batch { images, targets })
}
