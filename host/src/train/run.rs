//! The training loop.

use super::checkpoint::{CHECKPOINT, Checkpoint, CheckpointError};
use super::device;
use super::forward::{Mode, TorchNetwork};
use super::loader::{self, Batch, Making};
use super::loss::{Loss, arcface::ArcFace, margin::Margin};
use super::optimiser::{AdamW, schedule};
use super::progress::{EpochMetrics, MetricsFile, bar};
use super::recipe::{LossChoice, Recipe, SamplerChoice};
use super::sampler::Sampler;
use super::split::Split;
use super::validation;
use crate::dataset::{Dataset, DatasetError};
use crate::network::weights::{self, Weights, WeightsError};
use crate::network::{HEAD, Network, Role, names};
use flukewatch_common::prepare::Preparation;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};

/// Why training stops.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The photos.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Pretrained weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Reading or writing in the run's folder.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nothing to learn from.
    #[error("{0}")]
    TooLittle(String),
    /// The checkpoint was made with other settings.
    #[error(
        "{path} was trained with another recipe; go on with the same one, or start anew in another folder ({reason})"
    )]
    OtherRecipe {
        /// The checkpoint.
        path: PathBuf,
        /// The difference.
        reason: String,
    },
    /// The loss is no number any more.
    #[error(
        "the loss became {loss} in epoch {epoch}, batch {batch} (photos {photos}): lower the rates; the last checkpoint stands"
    )]
    NotFinite {
        /// What it became.
        loss: f64,
        /// From 1.
        epoch: usize,
        /// From 1.
        batch: usize,
        /// The photos in it.
        photos: String,
    },
}

/// What a run needs besides its recipe.
pub struct Job {
    /// How to train.
    pub recipe: Recipe,
    /// On what.
    pub dataset: Dataset,
    /// Pretrained weights of the backbone, if any.
    pub weights: Option<PathBuf>,
    /// Where checkpoint and metrics go.
    pub folder: PathBuf,
    /// Even where there is a CUDA card.
    pub force_cpu: bool,
    /// End after this epoch, though the recipe goes on; the next call does.
    pub until_epoch: Option<usize>,
    /// Show no bars.
    pub quiet: bool,
}

/// The metrics of a run, a JSON line an epoch.
pub const METRICS: &str = "metrics.jsonl";

/// Where no bar can be drawn (a log file), a line says as often how it goes.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// `[N, D]` to unit length, row by row.
pub fn normalise(embeddings: &Tensor) -> Tensor {
    embeddings
        / embeddings
            .norm_scalaropt_dim(2.0, [1i64], true)
            .clamp_min(1e-12)
}

/// Trains, or goes on where the folder's checkpoint stands. Returns the checkpoint's path.
///
/// # Errors
/// See [`TrainError`]; what the last checkpoint holds stays.
pub fn run(job: &Job) -> Result<PathBuf, TrainError> {
    let chosen = device::choose(job.force_cpu);
    let recipe = &job.recipe;
    let threads = device::set_threads(recipe.threads);
    eprintln!(
        "training on {} ({threads} threads), seed {}",
        chosen.why, recipe.seed
    );
    let device = chosen.device;
    std::fs::create_dir_all(&job.folder).map_err(|source| TrainError::File {
        path: job.folder.clone(),
        source,
    })?;

    let split = Split::of(&job.dataset, recipe.validation_whales, recipe.seed);
    check_enough(recipe, &split)?;
    let preparation = recipe.preparation();
    let photos_in = |whales: &[(String, Vec<usize>)]| -> Vec<usize> {
        whales
            .iter()
            .flat_map(|(_, photos)| photos.iter().copied())
            .collect()
    };
    let decode = |positions: &[usize]| {
        let photos: Vec<_> = positions.iter().map(|&i| &job.dataset.photos[i]).collect();
        let bar = if job.quiet {
            indicatif::ProgressBar::hidden()
        } else {
            bar(photos.len() as u64, "decoding")
        };
        let cached = loader::cache(&photos, &preparation, || bar.inc(1));
        bar.finish_and_clear();
        cached
    };
    let (train_at, watch_at) = (photos_in(&split.train), photos_in(&split.watch));
    let photos = Arc::new(decode(&train_at)?);
    let watched = decode(&watch_at)?;
    let watched: Vec<_> = watched.iter().collect();
    let watched_whales: Vec<String> = split
        .watch
        .iter()
        .flat_map(|(whale, photos)| photos.iter().map(|_| whale.clone()))
        .collect();
    let mut next = 0;
    let photos_of = split
        .train
        .iter()
        .map(|(_, photos)| {
            next += photos.len();
            (next - photos.len()..next).collect()
        })
        .collect();
    let sampler = Sampler::new(
        photos_of,
        recipe.batch,
        recipe.sampler.clone(),
        recipe.mirror_is_another,
        recipe.seed,
    );
    let trained_on = format!("{} photos of {} whales", train_at.len(), split.train.len());
    eprintln!(
        "learning from {trained_on}, {} classes; watching {} whales",
        sampler.classes(),
        split.watch.len()
    );

    let mut state = State::start(job, &sampler, device)?;
    let making = Arc::new(Making {
        photos,
        preparation: preparation.clone(),
        augmentation: recipe.augmentation.clone(),
        seed: recipe.seed,
    });
    let metrics_path = job.folder.join(METRICS);
    let file = |source| TrainError::File {
        path: metrics_path.clone(),
        source,
    };
    let mut metrics = MetricsFile::open(&metrics_path).map_err(file)?;
    let path = job.folder.join(CHECKPOINT);
    let total_steps = (recipe.epochs() * sampler.batches()) as u64;

    for epoch in state.epochs..job.until_epoch.unwrap_or(usize::MAX).min(recipe.epochs()) {
        let started = Instant::now();
        let stage = recipe.stage(epoch).clone();
        let batches = sampler.epoch(epoch);
        let steps = batches.len();
        let bar = if job.quiet {
            indicatif::ProgressBar::hidden()
        } else {
            bar(steps as u64, "training")
        };
        let mut random = ChaCha8Rng::seed_from_u64(recipe.seed ^ 0x3141_5926);
        random.set_stream(epoch as u64);
        let (queue, worker) = loader::ahead(making.clone(), epoch, batches.clone(), stage.clone());
        let mut sum = Tensor::zeros([1], (Kind::Double, device));
        let (mut shown, mut images, mut said) = (0.0, 0, Instant::now());
        let mut factor = 0.0;
        for (number, batch) in queue.iter().enumerate() {
            factor = schedule(&recipe.optimiser, state.adam.steps(), total_steps);
            let loss = state.step(
                &batch,
                &making.preparation,
                (stage.height, stage.width),
                factor,
                &mut random,
            );
            images += batch.classes.len();
            sum += loss.to_kind(Kind::Double);
            // Looking at the loss waits for the device: now and then is enough.
            if number % 20 == 19 || number + 1 == steps {
                let now = loss.double_value(&[]);
                if !now.is_finite() || !sum.double_value(&[0]).is_finite() {
                    bar.finish_and_clear();
                    let names: Vec<_> = batches[number]
                        .iter()
                        .map(|d| job.dataset.photos[train_at[d.photo]].name.as_str())
                        .collect();
                    return Err(TrainError::NotFinite {
                        loss: now,
                        epoch: epoch + 1,
                        batch: number + 1,
                        photos: names.join(" "),
                    });
                }
                shown = if shown == 0.0 {
                    now
                } else {
                    0.7 * shown + 0.3 * now
                };
                let rate = images as f64 / started.elapsed().as_secs_f64();
                let message = format!(
                    "epoch {}/{} loss {shown:.3} {rate:.0} img/s",
                    epoch + 1,
                    recipe.epochs()
                );
                if bar.is_hidden() && !job.quiet && said.elapsed() > LOG_EVERY {
                    said = Instant::now();
                    eprintln!("{message}, step {} of {steps}", number + 1);
                }
                bar.set_message(message);
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        if worker.join().is_err() {
            return Err(TrainError::TooLittle(
                "the thread that prepares batches stopped; this is a fault of flukewatch".into(),
            ));
        }
        let seconds = started.elapsed().as_secs_f64();
        state.epochs = epoch + 1;
        let found = validation::retrieve(&state.network, &watched, &watched_whales, &preparation);
        let line = EpochMetrics {
            epoch: epoch + 1,
            steps: state.adam.steps(),
            loss: sum.double_value(&[0]) / steps.max(1) as f64,
            rate_factor: factor,
            images_per_second: images as f64 / seconds,
            seconds,
            height: stage.height,
            width: stage.width,
            validation_recall_at_1: found.as_ref().map(|r| r.recall_at_1),
            validation_map_at_5: found.as_ref().map(|r| r.map_at_5),
        };
        metrics.write(&line).map_err(file)?;
        let watched = found.map_or(String::new(), |r| {
            format!(", R@1 {:.3} on the whales kept aside", r.recall_at_1)
        });
        eprintln!(
            "epoch {}/{}: loss {:.3}, {:.0} images/s, {seconds:.0} s{watched}",
            epoch + 1,
            recipe.epochs(),
            line.loss,
            line.images_per_second
        );
        state.checkpoint(recipe, &trained_on).write(&path)?;
    }
    Ok(path)
}

fn check_enough(recipe: &Recipe, split: &Split) -> Result<(), TrainError> {
    if split.train.len() < 2 {
        let count = split.train.len();
        return Err(TrainError::TooLittle(format!(
            "{count} named whale(s) to learn from; at least two are needed to tell them apart"
        )));
    }
    let pairs = split
        .train
        .iter()
        .filter(|(_, photos)| photos.len() >= 2)
        .count();
    let need_pairs = matches!(recipe.sampler, SamplerChoice::Pk { .. });
    if need_pairs && pairs < 2 {
        return Err(TrainError::TooLittle(format!(
            "{pairs} whale(s) with two photos or more; the pk sampler needs at least two. With one photo per whale, train with sampler.kind = \"shuffled\" and the arcface loss"
        )));
    }
    if pairs == 0 {
        eprintln!(
            "note: every whale has a single photo; the network learns from its variations alone"
        );
    }
    Ok(())
}

/// Everything that changes from step to step.
struct State {
    network: TorchNetwork,
    loss: Box<dyn Loss>,
    adam: AdamW,
    epochs: usize,
}

impl State {
    fn start(job: &Job, sampler: &Sampler, device: Device) -> Result<Self, TrainError> {
        let recipe = &job.recipe;
        let path = job.folder.join(CHECKPOINT);
        let saved = if path.exists() {
            Some(Checkpoint::read(&path)?)
        } else {
            None
        };
        if let Some(saved) = &saved {
            same_recipe(&path, &saved.recipe, recipe)?;
        }
        let description = Network::new(
            recipe.backbone,
            recipe.preparation().channels(),
            &recipe.head,
        );
        let weights = match (&saved, &job.weights) {
            (Some(saved), _) => weights::select(&description, &saved.tensors, &path, |_| true)?,
            (None, Some(file)) => pretrained(&description, file)?,
            (None, None) => Weights::new(),
        };
        let network = TorchNetwork::new(
            description,
            &weights,
            recipe.frozen_blocks,
            device,
            recipe.seed,
        );
        let dimension = recipe.head.dimension;
        let mut loss: Box<dyn Loss> = match recipe.loss {
            LossChoice::Arcface { scale, margin } => Box::new(ArcFace::new(
                sampler.classes(),
                dimension,
                scale,
                margin,
                device,
                recipe.seed,
            )),
            LossChoice::Margin {
                alpha,
                beta,
                learn_beta,
            } => Box::new(Margin::new(alpha, beta, learn_beta, device)),
        };
        let mut adam = AdamW::default();
        let settings = &recipe.optimiser;
        for (parameter, tensor) in network.trained() {
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
            adam.add(parameter.name, tensor, rate, decay);
        }
        for (name, tensor) in loss.parameters() {
            adam.add(name, tensor, settings.loss_rate, settings.weight_decay);
        }
        let mut epochs = 0;
        if let Some(saved) = saved {
            loss.restore(&saved.tensors);
            adam.restore(&saved.tensors, saved.steps, device)
                .map_err(|reason| TrainError::OtherRecipe { path, reason })?;
            epochs = saved.epochs;
            eprintln!("going on after epoch {epochs}");
        }
        Ok(Self {
            network,
            loss,
            adam,
            epochs,
        })
    }

    /// One step; returns the loss, still on the device.
    fn step(
        &mut self,
        batch: &Batch,
        preparation: &Preparation,
        (height, width): (u32, u32),
        factor: f64,
        random: &mut ChaCha8Rng,
    ) -> Tensor {
        let count = batch.classes.len() as i64;
        let shape = [
            count,
            preparation.channels() as i64,
            i64::from(height),
            i64::from(width),
        ];
        let images = Tensor::from_slice(&batch.images).reshape(shape);
        let embeddings = normalise(&self.network.forward(&images, Mode::Train(random)));
        let classes = Tensor::from_slice(&batch.classes).to_device(embeddings.device());
        let loss = self.loss.loss(&embeddings, &classes, random);
        self.adam.zero_grad();
        loss.backward();
        self.adam.step(factor);
        loss.detach()
    }

    fn checkpoint(&self, recipe: &Recipe, trained_on: &str) -> Checkpoint {
        let mut tensors = self.network.weights();
        tensors.extend(self.loss.weights());
        tensors.extend(self.adam.state());
        Checkpoint {
            recipe: recipe.clone(),
            epochs: self.epochs,
            steps: self.adam.steps(),
            trained_on: trained_on.to_owned(),
            tensors,
        }
    }
}

/// Weights to begin with; says whose names the file has.
fn pretrained(network: &Network, file: &Path) -> Result<Weights, TrainError> {
    let (weights, names) = names::read_pretrained(network, file)?;
    eprintln!("begins with {} ({names})", file.display());
    Ok(weights)
}

/// A resumed run must be the same run: everything but its length and its threads, which may be changed on the way.
fn same_recipe(path: &Path, saved: &Recipe, asked: &Recipe) -> Result<(), TrainError> {
    let comparable = |r: &Recipe| {
        let mut r = r.clone();
        r.threads = 0;
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
