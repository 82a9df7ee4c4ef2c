//! The steps of an epoch, and their records.

use super::batches::Batch;
use super::phase::Phase;
use super::recipe::Stage;
use super::run_log::{LearningRates, StepMetrics};
use super::sampler::BatchPlan;
use super::state::{StepNorms, Target};
use super::training::Training;
use crate::trainer::error::TrainError;
use crate::trainer::prefetch::Prefetcher;
use crate::trainer::progress::Position;
use crate::trainer::schedule::Schedule;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::ops::Range;
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};

/// Steps between reads of the loss on a CUDA device: each read waits for the device.
const READ_LOSS_EVERY: usize = 20;

/// A step whose numbers are still on the device.
struct UnreadStep {
    /// Of each batch, double scalars.
    losses: Vec<Tensor>,
    norms: StepNorms,
    lr_factor: f64,
    /// The numbers of its batches in the epoch.
    batches: Range<usize>,
    seconds: f64,
}

impl Training<'_> {
    /// Takes the remaining steps of an epoch; returns false if interrupted.
    pub(super) fn steps(
        &mut self,
        epoch: usize,
        phase: Phase,
        stage: &Stage,
        plan: &[BatchPlan],
        batches: Prefetcher<Result<Batch, TrainError>>,
    ) -> Result<bool, TrainError> {
        let recipe = &self.job.recipe;
        let shape = self.builder.shape(stage);
        let schedule = self.schedule();
        let read_every = if self.state.network.device().is_cuda() {
            READ_LOSS_EVERY
        } else {
            1
        };
        // Steps whose losses have not been read from the device yet.
        let mut unread: Vec<UnreadStep> = vec![];
        let mut group: Vec<Tensor> = vec![];
        let (before, started) = (self.state.progress.seconds, Instant::now());
        let mut stepped = started;
        let mut saved = Instant::now();
        for (batch, number) in batches.zip(self.state.progress.batches..) {
            let batch = batch.map_err(|_| TrainError::Prefetcher)??;
            let target = self.target(phase, &plan[number]);
            // Random draws of a batch follow from its number, so that an epoch can be resumed anywhere.
            let mut random = ChaCha8Rng::seed_from_u64(recipe.seed ^ 0x3141_5926);
            random.set_stream(((epoch as u64) << 32) | number as u64);
            let first = number - number % recipe.accumulate_steps;
            let end = (first + recipe.accumulate_steps).min(plan.len());
            let loss = self
                .state
                .add(&batch, shape, end - first, &target, &mut random);
            group.push(loss.sum(Kind::Double));
            if number + 1 < end {
                continue;
            }
            let lr_factor = schedule.lr_factor(self.state.steps());
            let norms = self.state.step(lr_factor, recipe.optimiser.max_grad_norm);
            let losses = std::mem::take(&mut group);
            let now = Instant::now();
            unread.push(UnreadStep {
                losses,
                norms,
                lr_factor,
                batches: first..end,
                seconds: (now - std::mem::replace(&mut stepped, now)).as_secs_f64(),
            });
            self.state.progress.batches = end;
            self.state.progress.seconds = before + started.elapsed().as_secs_f64();
            let stop = (self.job.stop)(self.state.steps());
            if unread.len() >= read_every || end == plan.len() || stop {
                let steps = std::mem::take(&mut unread);
                self.read_steps(&steps, epoch, plan)?;
            }
            if stop {
                return Ok(false);
            }
            if recipe.save_minutes > 0.0
                && saved.elapsed() > Duration::from_secs_f64(recipe.save_minutes * 60.0)
                && unread.is_empty()
            {
                self.save()?;
                saved = Instant::now();
            }
        }
        Ok(true)
    }

    pub(super) fn schedule(&self) -> Schedule {
        let recipe = &self.job.recipe;
        let steps = recipe.steps_of(self.sampler.batches());
        recipe.optimiser.schedule(recipe.epochs(), steps)
    }

    fn target(&self, phase: Phase, plan: &BatchPlan) -> Target {
        match (phase, plan.cluster, &self.state.division) {
            (Phase::Divided, Some(k), _) => Target::Learner(k),
            (Phase::DividedMixed, _, Some(division)) => {
                Target::Mixed(plan.draws.iter().map(|d| division.of[d.photo]).collect())
            }
            _ => Target::Whole,
        }
    }

    /// Reads the losses and norms of the last steps from the device, checks that the losses are finite, and
    /// records them.
    fn read_steps(
        &mut self,
        steps: &[UnreadStep],
        epoch: usize,
        plan: &[BatchPlan],
    ) -> Result<(), TrainError> {
        let recipe = &self.job.recipe;
        let of_step = |step: &UnreadStep| {
            let norms = [&step.norms.gradient, &step.norms.parameters];
            let losses = step.losses.iter();
            let all: Vec<Tensor> = losses
                .chain(norms)
                .map(|t| t.to_device(Device::Cpu))
                .collect();
            Vec::<f64>::try_from(Tensor::stack(&all, 0))
                .expect("losses and norms are double scalars")
        };
        let mut lines = Vec::with_capacity(steps.len());
        let mut sum = 0.0;
        for (i, step) in steps.iter().enumerate() {
            let numbers = of_step(step);
            let (losses, norms) = numbers.split_at(step.losses.len());
            let number = self.state.steps() - (steps.len() - 1 - i) as u64;
            if let Some(bad) = losses.iter().position(|l| !l.is_finite()) {
                self.log.steps(&lines)?;
                return Err(TrainError::NotFinite {
                    loss: losses[bad],
                    step: number,
                    photos: plan[step.batches.start + bad]
                        .draws
                        .iter()
                        .map(|d| self.photos.train[d.photo].name.clone())
                        .collect(),
                });
            }
            let rates = LearningRates::at(&recipe.optimiser, step.lr_factor);
            let total = losses.iter().sum::<f64>();
            sum += total;
            lines.push(StepMetrics {
                step: number,
                epoch: epoch + 1,
                loss: total / losses.len() as f64,
                backbone_lr: rates.backbone,
                head_lr: rates.head,
                loss_lr: rates.loss,
                gradient_norm: norms[0],
                parameter_norm: norms[1],
                seconds: step.seconds,
            });
        }
        self.log.steps(&lines)?;
        self.state.progress.loss_sum += sum;
        let batches: usize = steps.iter().map(|s| s.losses.len()).sum();
        self.progress.step(&Position {
            steps: (epoch * self.sampler.batches() + self.state.progress.batches) as u64,
            part: &format!("epoch {}/{}", epoch + 1, recipe.epochs()),
            loss: sum / batches as f64,
            batch_size: recipe.batch_size,
        });
        Ok(())
    }
}
