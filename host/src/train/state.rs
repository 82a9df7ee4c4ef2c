//! Everything that changes from step to step: network, losses, optimiser, averaged weights, clusters.

use super::average::Average;
use super::checkpoint::{CLUSTERS, Checkpoint, Progress};
use super::divide::Division;
use super::error::TrainError;
use super::forward::{Mode, Part, Running, TorchNetwork};
use super::loader::Batch;
use super::loss::{self, Loss};
use super::optimiser::{AdamW, Movers, Owner};
use super::recipe::Recipe;
use super::schedule;
use crate::network::weights::{self, Values, Weights};
use crate::network::{HEAD, Network, Role, names};
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// What a batch teaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Learning {
    /// The whole embedding.
    Whole,
    /// One learner's slice.
    Learner(usize),
    /// Each photo the slice of the learner that it names: `[N]`.
    Mixed(Vec<usize>),
}

/// A run between two steps.
pub struct State {
    /// What learns.
    pub network: TorchNetwork,
    /// Its average, if one is kept.
    pub average: Option<Average>,
    /// The loss of the whole embedding.
    pub whole: Box<dyn Loss>,
    /// The loss of each learner; empty where the embedding is not divided.
    pub learners: Vec<Box<dyn Loss>>,
    /// The cluster of each photo, once they are divided.
    pub division: Option<Division>,
    /// How far it has come.
    pub progress: Progress,
    /// Whether it started from an embedding trained before, so that classes can start at the means of their photos.
    pub tuning: bool,
    adam: AdamW,
}

impl State {
    /// At the start, from pretrained weights or from chance, or where the checkpoint `saved` of the run in `path` stands.
    ///
    /// # Errors
    /// When weights or checkpoint are not those of the recipe.
    pub fn start(
        recipe: &Recipe,
        saved: Option<(&Path, Checkpoint)>,
        pretrained: Option<&Path>,
        classes: usize,
        device: Device,
    ) -> Result<Self, TrainError> {
        if let Some((path, saved)) = &saved {
            same_recipe(path, &saved.recipe, recipe)?;
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
            (None, Some(file)) => begin_with(&description, file)?,
            (None, None) => Weights::new(),
        };
        let learners = recipe.divide.learners;
        let tuning = saved.is_none() && weights.keys().any(|n| n == "embedding.linear.weight");
        let running = Running {
            frozen_blocks: recipe.frozen_blocks,
            frozen_norm: recipe.frozen_norm,
            learners,
            precision: recipe.precision,
            device,
            seed: recipe.seed,
        };
        let network = TorchNetwork::new(description, &weights, running);
        let dimension = recipe.head.dimension;
        let build = |dimension, name: &str, seed| {
            loss::build(&recipe.loss, classes, dimension, name, device, seed)
        };
        let mut state = Self {
            average: Average::of(&network, recipe.average),
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
            tuning,
            adam: AdamW::default(),
        };
        state.fill_optimiser(recipe);
        if let Some((path, saved)) = saved {
            state.go_on(recipe, path, &saved)?;
        }
        Ok(state)
    }

    fn fill_optimiser(&mut self, recipe: &Recipe) {
        let settings = &recipe.optimiser;
        for trained in self.network.trained() {
            let parameter = trained.parameter;
            let rate = if parameter.block == HEAD {
                settings.head_rate
            } else {
                settings.backbone_rate
            };
            let decay = if parameter.role == Role::Weight {
                settings.weight_decay
            } else {
                0.0
            };
            let owner = trained.slice.map_or(Owner::Shared, Owner::Slice);
            self.adam
                .add(parameter.name, trained.tensor, rate, decay, owner);
        }
        let losses = std::iter::once((Owner::Whole, &self.whole)).chain(
            self.learners
                .iter()
                .enumerate()
                .map(|(k, loss)| (Owner::Learner(k), loss)),
        );
        for (owner, loss) in losses {
            for (name, tensor) in loss.parameters() {
                let (rate, decay) = (settings.loss_rate, settings.weight_decay);
                self.adam.add(name, tensor, rate, decay, owner);
            }
        }
    }

    fn go_on(
        &mut self,
        recipe: &Recipe,
        path: &Path,
        saved: &Checkpoint,
    ) -> Result<(), TrainError> {
        self.whole.restore(&saved.tensors);
        for loss in &mut self.learners {
            loss.restore(&saved.tensors);
        }
        if let Some(average) = &mut self.average {
            average.restore(&saved.tensors);
        }
        self.adam
            .restore(&saved.tensors, saved.progress.steps, self.network.device())
            .map_err(|name| TrainError::OtherRecipe {
                path: path.to_owned(),
                reason: format!("it has no fitting tensor '{name}'"),
            })?;
        self.division = saved.tensors.get(CLUSTERS).map(|v| Division {
            of: v.data.iter().map(|&k| k as usize).collect(),
        });
        self.progress = saved.progress.clone();
        // Ranges are there once rounding has begun; whether it goes on is the schedule's to say.
        if schedule::rounds(recipe, self.progress.epochs) {
            self.network.start_rounding(&saved.tensors);
        }
        Ok(())
    }

    /// Optimiser steps so far.
    pub fn steps(&self) -> u64 {
        self.adam.steps()
    }

    /// The network that counts: the average where one is kept.
    pub fn judged(&self) -> &TorchNetwork {
        self.average.as_ref().map_or(&self.network, |a| &a.network)
    }

    /// One step; returns the loss, still on the device: the mean over the batch's photos.
    pub fn step(
        &mut self,
        batch: &Batch,
        shape: [i64; 3],
        factor: f64,
        learning: &Learning,
        random: &mut ChaCha8Rng,
    ) -> Tensor {
        let images = images(&batch.images, shape);
        let mut uses = vec![];
        let mode = Mode::Train {
            random,
            uses: &mut uses,
        };
        let features = self.network.features(&images, mode);
        let classes = Tensor::from_slice(&batch.classes).to_device(features.device());
        let embed = |features: &Tensor, part| self.network.learning_embedding(features, part);
        let (loss, movers) = match learning {
            Learning::Whole => {
                let embeddings = embed(&features, Part::Whole);
                let loss = self.whole.loss(&embeddings, &classes, random);
                (loss, Movers::Whole)
            }
            Learning::Learner(k) => {
                let embeddings = embed(&features, Part::Learner(*k));
                let loss = self.learners[*k].loss(&embeddings, &classes, random);
                (loss, Movers::learner(*k))
            }
            Learning::Mixed(learner_of) => {
                let (mut losses, mut learners) = (vec![], 0);
                for (k, learner) in self.learners.iter().enumerate() {
                    let rows = rows_of(learner_of, k);
                    if rows.is_empty() {
                        continue;
                    }
                    let share = rows.len() as f64 / learner_of.len() as f64;
                    let rows = Tensor::from_slice(&rows).to_device(features.device());
                    let embeddings = embed(&features.index_select(0, &rows), Part::Learner(k));
                    let classes = classes.index_select(0, &rows);
                    losses.push(learner.loss(&embeddings, &classes, random) * share);
                    learners |= 1 << k;
                }
                let loss = Tensor::stack(&losses, 0).sum(Kind::Float);
                (loss, Movers::Learners(learners))
            }
        };
        self.adam.descend(&loss, uses, factor, movers);
        self.progress.steps = self.adam.steps();
        if let Some(average) = &mut self.average {
            average.after_step(&self.network, self.adam.steps());
        }
        loss.detach()
    }

    /// As it stands, for a file.
    pub fn checkpoint(&self, recipe: &Recipe, trained_on: &str) -> Checkpoint {
        let mut tensors = self.network.weights();
        tensors.extend(self.network.ranges());
        for loss in std::iter::once(&self.whole).chain(&self.learners) {
            tensors.extend(loss.weights());
        }
        tensors.extend(self.adam.state());
        if let Some(average) = &self.average {
            tensors.extend(average.weights());
        }
        if let Some(division) = &self.division {
            // Numbers of clusters and photos are far below 2^24: exact in f32.
            let data = division.of.iter().map(|&k| k as f32).collect();
            let shape = vec![division.of.len()];
            tensors.insert(CLUSTERS.into(), Values { shape, data });
        }
        Checkpoint {
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

/// `[N, C, H, W]` out of plain numbers.
pub fn images(numbers: &[f32], [c, h, w]: [i64; 3]) -> Tensor {
    Tensor::from_slice(numbers).reshape([-1, c, h, w])
}

/// Weights to begin with; says whose names the file has.
fn begin_with(network: &Network, file: &Path) -> Result<Weights, TrainError> {
    let (weights, names) = names::read_pretrained(network, file)?;
    eprintln!("begins with {} ({names})", file.display());
    Ok(weights)
}

/// A resumed run must be the same run: everything but its length, its threads and how often it saves, which may be changed on the
/// way.
fn same_recipe(path: &Path, saved: &Recipe, asked: &Recipe) -> Result<(), TrainError> {
    let comparable = |r: &Recipe| {
        let mut r = r.clone();
        (r.threads, r.workers, r.save_minutes) = (0, 1, 0.0);
        r.stages.clear();
        serde_json::to_value(r).unwrap_or_default()
    };
    let (saved, asked) = (comparable(saved), comparable(asked));
    let differing: Vec<String> = saved
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, value)| asked.get(key) != Some(value))
        .map(|(key, value)| format!("{key} was {value}"))
        .collect();
    if differing.is_empty() {
        Ok(())
    } else {
        Err(TrainError::OtherRecipe {
            path: path.to_owned(),
            reason: differing.join(", "),
        })
    }
}
