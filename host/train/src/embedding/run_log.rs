//! What a run records for people and programs: JSON lines and TensorBoard events, for each step and each
//! epoch.

use super::recipe::OptimiserSettings;
use crate::trainer::error::TrainError;
use crate::trainer::metrics::MetricsSink;
use crate::trainer::tensorboard::{EventTime, EventWriter};
use flukewatch_common::clock::Clock;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One JSON line per epoch.
const EPOCHS: &str = "metrics.jsonl";
/// One JSON line per optimiser step.
const STEPS: &str = "steps.jsonl";

/// One line of the epochs.
#[derive(Debug, Serialize)]
pub(super) struct EpochMetrics {
    /// Number of the epoch, from 1.
    pub(super) epoch: usize,
    /// Optimiser steps so far.
    pub(super) steps: u64,
    /// Mean over the epoch.
    pub(super) loss: f64,
    /// Factor on the peak learning rates, at the end of the epoch.
    pub(super) lr_factor: f64,
    pub(super) images_per_second: f64,
    /// Wall-clock time of the steps.
    pub(super) seconds: f64,
    /// Of clustering and matching, before the steps.
    pub(super) clustering_seconds: f64,
    /// Of mining, within the steps.
    pub(super) mining_seconds: f64,
    pub(super) height: u32,
    pub(super) width: u32,
    /// On held-out identities, if any.
    pub(super) validation_recall_at_1: Option<f64>,
    pub(super) validation_map_at_5: Option<f64>,
}

impl EpochMetrics {
    pub(super) fn description(&self, epochs: usize) -> String {
        let validation = self.validation_recall_at_1.map_or(String::new(), |r| {
            format!(", R@1 {r:.3} on validation identities")
        });
        format!(
            "epoch {}/{epochs}: loss {:.3}, {:.0} images/s, {:.0} s{validation}",
            self.epoch, self.loss, self.images_per_second, self.seconds
        )
    }
}

/// One line of the steps.
#[derive(Debug, Serialize)]
pub(super) struct StepMetrics {
    /// Optimiser steps so far, this one included.
    pub(super) step: u64,
    /// Number of the epoch, from 1.
    pub(super) epoch: usize,
    /// Mean over the step's photos.
    pub(super) loss: f64,
    pub(super) backbone_lr: f64,
    pub(super) head_lr: f64,
    pub(super) loss_lr: f64,
    /// Norm of the gradient of everything that the step trains, before clipping.
    pub(super) gradient_norm: f64,
    /// Norm of all trained parameters, after the step.
    pub(super) parameter_norm: f64,
    /// Wall-clock time since the step before, or since the steps began.
    pub(super) seconds: f64,
}

/// The learning rates of a step.
pub(super) struct LearningRates {
    pub(super) backbone: f64,
    pub(super) head: f64,
    pub(super) loss: f64,
}

impl LearningRates {
    pub(super) fn at(settings: &OptimiserSettings, lr_factor: f64) -> Self {
        Self {
            backbone: settings.backbone_lr * lr_factor,
            head: settings.head_lr * lr_factor,
            loss: settings.loss_lr * lr_factor,
        }
    }
}

/// The files of a run's records.
pub(super) struct RunLog {
    epochs: MetricsSink,
    steps: MetricsSink,
    events: EventWriter<BufWriter<File>>,
    events_path: PathBuf,
    clock: Arc<dyn Clock>,
}

impl RunLog {
    /// Continues the records of a run after the given numbers of epochs and steps.
    pub(super) fn open(
        folder: &Path,
        (epochs, steps): (usize, u64),
        clock: Arc<dyn Clock>,
    ) -> Result<Self, TrainError> {
        let wall = seconds(&*clock);
        // Viewers read files in the order of their names.
        let name = format!(
            "events.out.tfevents.{:010}.flukewatch.{steps:09}",
            wall as u64
        );
        let events_path = folder.join(name);
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&events_path);
        let file = file.map_err(TrainError::file(&events_path))?;
        let at = EventTime {
            wall,
            step: steps + 1,
        };
        let events = EventWriter::start(BufWriter::new(file), at);
        Ok(Self {
            epochs: MetricsSink::resume(&folder.join(EPOCHS), "epoch", epochs as u64)?,
            steps: MetricsSink::resume(&folder.join(STEPS), "step", steps)?,
            events: events.map_err(TrainError::file(&events_path))?,
            events_path,
            clock,
        })
    }

    pub(super) fn steps(&mut self, steps: &[StepMetrics]) -> Result<(), TrainError> {
        let wall = seconds(&*self.clock);
        for line in steps {
            self.steps.write(line)?;
            let at = EventTime {
                wall,
                step: line.step,
            };
            let values = [
                ("train/loss", line.loss),
                ("train/backbone_lr", line.backbone_lr),
                ("train/head_lr", line.head_lr),
                ("train/loss_lr", line.loss_lr),
                ("train/gradient_norm", line.gradient_norm),
                ("train/parameter_norm", line.parameter_norm),
                ("train/step_seconds", line.seconds),
            ];
            let written = self.events.scalars(at, &values);
            written.map_err(TrainError::file(&self.events_path))?;
        }
        self.flush()
    }

    pub(super) fn epoch(&mut self, line: &EpochMetrics) -> Result<(), TrainError> {
        self.epochs.write(line)?;
        let at = EventTime {
            wall: seconds(&*self.clock),
            step: line.steps,
        };
        let mut values = vec![
            ("epoch/loss", line.loss),
            ("epoch/images_per_second", line.images_per_second),
        ];
        let validation = [
            ("validation/recall_at_1", line.validation_recall_at_1),
            ("validation/map_at_5", line.validation_map_at_5),
        ];
        values.extend(validation.iter().filter_map(|(tag, v)| Some((*tag, (*v)?))));
        let written = self.events.scalars(at, &values);
        written.map_err(TrainError::file(&self.events_path))?;
        self.flush()
    }

    fn flush(&mut self) -> Result<(), TrainError> {
        let flushed = self.events.flush();
        flushed.map_err(TrainError::file(&self.events_path))
    }
}

fn seconds(clock: &dyn Clock) -> f64 {
    clock.now().0 as f64 / 1000.0
}
