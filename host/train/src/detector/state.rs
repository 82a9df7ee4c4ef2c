//! What changes from step to step: network, averaged weights, optimiser.

use super::batches::Batch;
use super::checkpoint::{DetectorCheckpoint, DetectorProgress};
use super::forward::TorchDetector;
use super::loss::{TargetTensors, loss};
use super::recipe::{DetectorRecipe, DetectorStage};
use crate::cpu::depthwise::SavedActivations;
use crate::torch::tensors::images;
use crate::trainer::average::WeightAverage;
use crate::trainer::checkpoint::{averaged, with_average_prefix};
use crate::trainer::error::TrainError;
use crate::trainer::optimiser::{
    Optimiser, ParameterGroup, StepScope, UpdateScope, weight_decay_of,
};
use flukewatch_network::weights::Weights;
use std::path::Path;
use tch::Device;

pub(super) struct State {
    network: TorchDetector,
    averaged: TorchDetector,
    average: WeightAverage,
    optimiser: Optimiser,
    device: Device,
}

impl State {
    /// The state of the checkpoint `saved` from `path`, or the initial state, with `initial` weights or
    /// random ones.
    pub(super) fn start(
        recipe: &DetectorRecipe,
        saved: Option<&DetectorCheckpoint>,
        initial: &Weights,
        path: &Path,
        device: Device,
    ) -> Result<Self, TrainError> {
        let weights = saved.map_or(initial, |s| &s.tensors);
        let network = TorchDetector::new(weights, recipe.seed, device, true);
        let average = match saved {
            Some(saved) => averaged(&saved.tensors),
            None => network.weights(),
        };
        let averaged = TorchDetector::new(&average, recipe.seed, device, false);
        let mut optimiser = Optimiser::default();
        for (parameter, tensor) in network.trained() {
            let group = ParameterGroup {
                lr: recipe.lr,
                weight_decay: weight_decay_of(parameter.role, recipe.weight_decay),
                scope: UpdateScope::Shared,
            };
            optimiser.add(parameter.name, tensor, group);
        }
        if let Some(saved) = saved {
            optimiser
                .restore(&saved.tensors, saved.progress.steps, device)
                .map_err(|name| TrainError::RecipeMismatch {
                    path: path.to_owned(),
                    reason: format!("tensor '{name}' is missing or has another shape"),
                })?;
        }
        Ok(Self {
            average: WeightAverage::new(recipe.average(), averaged.tensors()),
            network,
            averaged,
            optimiser,
            device,
        })
    }

    /// Optimiser steps so far.
    pub(super) fn steps(&self) -> u64 {
        self.optimiser.steps()
    }

    /// One step; returns the loss.
    pub(super) fn step(&mut self, batch: &Batch, stage: &DetectorStage, lr_factor: f64) -> f64 {
        let shape = [1, i64::from(stage.height), i64::from(stage.width)];
        let images = images(&batch.images, shape).to_device(self.device);
        let mut saved = SavedActivations::default();
        let maps = self.network.forward_train(&images, &mut saved);
        let loss = loss(&maps, &TargetTensors::of(&batch.targets, self.device));
        self.optimiser
            .step(&loss, saved, lr_factor, StepScope::Whole);
        self.average
            .after_step(&self.network.tensors(), self.optimiser.steps());
        loss.double_value(&[])
    }

    pub(super) fn checkpoint(
        &self,
        recipe: &DetectorRecipe,
        trained_on: &str,
    ) -> DetectorCheckpoint {
        let mut tensors = self.network.weights();
        tensors.extend(with_average_prefix(self.averaged.weights()));
        tensors.extend(self.optimiser.state());
        DetectorCheckpoint {
            recipe: recipe.clone(),
            progress: DetectorProgress {
                steps: self.optimiser.steps(),
            },
            trained_on: trained_on.to_owned(),
            tensors,
        }
    }
}
