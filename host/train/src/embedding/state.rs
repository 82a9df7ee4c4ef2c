//! Everything that changes from step to step: network, losses, optimiser, averaged weights, clusters.

use super::average::AveragedNetwork;
use super::batches::Batch;
use super::checkpoint::{EmbeddingCheckpoint, Progress};
use super::divide::Division;
use super::network::{EmbeddingPart, Mode, NetworkOptions, SavedActivations, TorchNetwork};
use super::phase;
use super::recipe::Recipe;
use crate::loss::{Classes, Loss};
use crate::torch::tensors::images;
use crate::trainer::checkpoint::CLUSTERS;
use crate::trainer::error::TrainError;
use crate::trainer::optimiser::{
    Optimiser, ParameterGroup, StepScope, UpdateScope, weight_decay_of,
};
use flukewatch_network::weights::{self, Values, Weights};
use flukewatch_network::{HEAD, Network, names};
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// What a batch trains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The whole embedding.
    Whole,
    /// One learner's slice.
    Learner(usize),
    /// For each photo the slice of the given learner: `[N]`.
    Mixed(Vec<usize>),
}

/// Norms of a step, scalars still on the device.
pub(super) struct StepNorms {
    /// Of the gradient, before clipping.
    pub(super) gradient: Tensor,
    /// Of all trained parameters, after the step.
    pub(super) parameters: Tensor,
}

/// A run between two steps.
pub(super) struct State {
    pub(super) network: TorchNetwork,
    pub(super) average: Option<AveragedNetwork>,
    /// The loss of the whole embedding.
    pub(super) whole: Box<dyn Loss>,
    /// The loss of each learner; empty if the embedding is not divided.
    pub(super) learners: Vec<Box<dyn Loss>>,
    /// The cluster of each photo, once they are divided.
    pub(super) division: Option<Division>,
    pub(super) progress: Progress,
    /// Whether the run starts from a trained embedding, so that class centres can be initialised with
    /// the means of their photos.
    pub(super) fine_tuning: bool,
    optimiser: Optimiser,
}

impl State {
    /// The state of the checkpoint `saved` from `path`, or the initial state, with pretrained or random
    /// weights.
    ///
    /// # Errors
    /// When weights or checkpoint do not match the recipe.
    pub(super) fn start(
        recipe: &Recipe,
        saved: Option<(&Path, EmbeddingCheckpoint)>,
        pretrained: Option<&Path>,
        classes: usize,
        device: Device,
    ) -> Result<Self, TrainError> {
        if let Some((path, saved)) = &saved {
            check_same_recipe(path, &saved.recipe, recipe)?;
        }
        let description = Network::new(
            recipe.backbone,
            recipe.preparation().channels(),
            &recipe.head,
        );
        let weights = match (&saved, pretrained) {
            (Some((path, saved)), _) => {
                weights::select(&description, &saved.tensors, path, |_| true)?
            }
            (None, Some(file)) => read_pretrained(&description, file)?,
            (None, None) => Weights::new(),
        };
        let learners = recipe.divide.learners;
        let fine_tuning = saved.is_none() && weights.contains_key("embedding.linear.weight");
        let options = NetworkOptions {
            trained: true,
            frozen_blocks: recipe.frozen_blocks,
            frozen_norm: recipe.frozen_norm,
            learners,
            precision: recipe.precision,
            device,
            seed: recipe.seed,
        };
        let network = TorchNetwork::new(description, &weights, options);
        let dimension = recipe.head.dimension;
        let build = |dimension, name: &str, seed| {
            recipe.loss.build(&Classes {
                count: classes,
                dimension,
                name,
                device,
                seed,
            })
        };
        let tensors = saved.as_ref().map(|(_, saved)| &saved.tensors);
        let mut state = Self {
            average: AveragedNetwork::start(&network, recipe.average, tensors),
            network,
            whole: build(dimension, "loss", recipe.seed),
            learners: (0..if learners > 1 { learners } else { 0 })
                .map(|k| {
                    let seed = recipe.seed.wrapping_add(1 + k as u64);
                    build(dimension / learners, &format!("loss.{k}"), seed)
                })
                .collect(),
            division: None,
            progress: Progress::default(),
            fine_tuning,
            optimiser: Optimiser::new(recipe.optimiser.update_rule()),
        };
        state.fill_optimiser(recipe);
        if let Some((path, saved)) = saved {
            state.restore(recipe, path, &saved)?;
        }
        Ok(state)
    }

    fn fill_optimiser(&mut self, recipe: &Recipe) {
        let settings = &recipe.optimiser;
        for trained in self.network.trained() {
            let parameter = trained.parameter;
            let group = ParameterGroup {
                lr: if parameter.block == HEAD {
                    settings.head_lr
                } else {
                    settings.backbone_lr
                },
                weight_decay: weight_decay_of(parameter.role, settings.weight_decay),
                scope: trained
                    .slice
                    .map_or(UpdateScope::Shared, UpdateScope::Slice),
            };
            self.optimiser.add(parameter.name, trained.tensor, group);
        }
        let learners = self.learners.iter().enumerate();
        let losses = std::iter::once((UpdateScope::Whole, &self.whole))
            .chain(learners.map(|(k, loss)| (UpdateScope::Learner(k), loss)));
        for (scope, loss) in losses {
            for parameter in loss.parameters() {
                let group = ParameterGroup {
                    lr: settings.loss_lr,
                    weight_decay: weight_decay_of(parameter.role, settings.weight_decay),
                    scope,
                };
                self.optimiser.add(parameter.name, parameter.tensor, group);
            }
        }
    }

    fn restore(
        &mut self,
        recipe: &Recipe,
        path: &Path,
        saved: &EmbeddingCheckpoint,
    ) -> Result<(), TrainError> {
        self.whole.restore(&saved.tensors);
        for loss in &mut self.learners {
            loss.restore(&saved.tensors);
        }
        self.optimiser
            .restore(&saved.tensors, saved.progress.steps, self.network.device())
            .map_err(|name| TrainError::RecipeMismatch {
                path: path.to_owned(),
                reason: format!("tensor '{name}' is missing or has another shape"),
            })?;
        self.division = saved.tensors.get(CLUSTERS).map(|v| Division {
            of: v.data.iter().map(|&k| k as usize).collect(),
        });
        self.progress = saved.progress.clone();
        // Ranges are saved once quantisation has started; the schedule decides whether it continues.
        if phase::quantised(recipe, self.progress.epochs) {
            self.network.start_quantisation(&saved.tensors);
        }
        Ok(())
    }

    /// Optimiser steps so far.
    pub(super) fn steps(&self) -> u64 {
        self.optimiser.steps()
    }

    /// The network that is evaluated: the average, if one is kept, with the quantisation of the trained
    /// one.
    pub(super) fn evaluated(&mut self) -> &TorchNetwork {
        match &mut self.average {
            Some(average) => {
                average.network.share_quantisation(&self.network);
                &average.network
            }
            None => &self.network,
        }
    }

    /// Adds a batch to the next step, as one of `batches`. Returns the loss, the mean over the batch's
    /// photos, still on the device.
    pub(super) fn add(
        &mut self,
        batch: &Batch,
        shape: [i64; 3],
        batches: usize,
        target: &Target,
        random: &mut ChaCha8Rng,
    ) -> Tensor {
        let images = images(&batch.images, shape);
        let mut saved = SavedActivations::default();
        let mode = Mode::Train {
            random,
            saved: &mut saved,
        };
        let features = self.network.features(&images, mode);
        let classes = Tensor::from_slice(&batch.classes).to_device(features.device());
        let embed = |features: &Tensor, part| self.network.training_embedding(features, part);
        let (loss, scope) = match target {
            Target::Whole => {
                let embeddings = embed(&features, EmbeddingPart::Whole);
                let loss = self.whole.loss(&embeddings, &classes, random);
                (loss, StepScope::Whole)
            }
            Target::Learner(k) => {
                let embeddings = embed(&features, EmbeddingPart::Learner(*k));
                let loss = self.learners[*k].loss(&embeddings, &classes, random);
                (loss, StepScope::learner(*k))
            }
            Target::Mixed(learner_of) => {
                let (mut losses, mut learners) = (vec![], 0);
                for (k, learner) in self.learners.iter().enumerate() {
                    let rows = rows_of(learner_of, k);
                    if rows.is_empty() {
                        continue;
                    }
                    let share = rows.len() as f64 / learner_of.len() as f64;
                    let rows = Tensor::from_slice(&rows).to_device(features.device());
                    let part = EmbeddingPart::Learner(k);
                    let embeddings = embed(&features.index_select(0, &rows), part);
                    let classes = classes.index_select(0, &rows);
                    losses.push(learner.loss(&embeddings, &classes, random) * share);
                    learners |= 1 << k;
                }
                let loss = Tensor::stack(&losses, 0).sum(Kind::Float);
                (loss, StepScope::Learners(learners))
            }
        };
        if batches == 1 {
            self.optimiser.accumulate(&loss, saved, scope);
        } else {
            let share = &loss / batches as f64;
            self.optimiser.accumulate(&share, saved, scope);
        }
        loss.detach()
    }

    /// One step along the gradients of the batches that were added, scaled down to `max_grad_norm` unless
    /// it is 0.
    pub(super) fn step(&mut self, lr_factor: f64, max_grad_norm: f64) -> StepNorms {
        let gradient = self.optimiser.gradient_norm();
        if max_grad_norm > 0.0 {
            self.optimiser.clip(&gradient, max_grad_norm);
        }
        self.optimiser.apply(lr_factor);
        self.progress.steps = self.optimiser.steps();
        if let Some(average) = &self.average {
            average.after_step(&self.network, self.optimiser.steps());
        }
        StepNorms {
            gradient,
            parameters: self.optimiser.parameter_norm(),
        }
    }

    pub(super) fn checkpoint(&self, recipe: &Recipe, trained_on: &str) -> EmbeddingCheckpoint {
        let mut tensors = self.network.weights();
        tensors.extend(self.network.ranges());
        for loss in std::iter::once(&self.whole).chain(&self.learners) {
            tensors.extend(loss.weights());
        }
        tensors.extend(self.optimiser.state());
        if let Some(average) = &self.average {
            tensors.extend(average.weights());
        }
        if let Some(division) = &self.division {
            // Numbers of clusters are far below 2^24: exact in f32.
            let data = division.of.iter().map(|&k| k as f32).collect();
            let shape = vec![division.of.len()];
            tensors.insert(CLUSTERS.into(), Values { shape, data });
        }
        EmbeddingCheckpoint {
            recipe: recipe.clone(),
            progress: self.progress.clone(),
            trained_on: trained_on.to_owned(),
            tensors,
        }
    }
}

/// The rows of learner `k`.
fn rows_of(learner_of: &[usize], k: usize) -> Vec<i64> {
    let of = |(row, &learner): (usize, &usize)| (learner == k).then_some(row as i64);
    learner_of.iter().enumerate().filter_map(of).collect()
}

/// Reads weights and logs whose names they have.
fn read_pretrained(network: &Network, file: &Path) -> Result<Weights, TrainError> {
    let (weights, names) = names::read_pretrained(network, file)?;
    eprintln!("pretrained weights: {} ({names})", file.display());
    Ok(weights)
}

/// A resumed run must have the same recipe except for its length, threads and how often it saves.
fn check_same_recipe(path: &Path, saved: &Recipe, requested: &Recipe) -> Result<(), TrainError> {
    let comparable = |r: &Recipe| {
        let mut r = r.clone();
        (r.threads, r.workers, r.save_minutes) = (0, 1, 0.0);
        r.stages.clear();
        toml::Table::try_from(r).expect("a recipe can be written as TOML")
    };
    let (saved, requested) = (comparable(saved), comparable(requested));
    let differing: Vec<String> = saved
        .iter()
        .filter(|(key, value)| requested.get(*key) != Some(*value))
        .map(|(key, value)| format!("{key} was {value}"))
        .collect();
    if differing.is_empty() {
        Ok(())
    } else {
        Err(TrainError::RecipeMismatch {
            path: path.to_owned(),
            reason: differing.join(", "),
        })
    }
}
