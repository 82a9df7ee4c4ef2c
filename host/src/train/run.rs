//! The training loop.

use super::checkpoint::{BEST, CHECKPOINT, Checkpoint};
use super::device;
use super::divide;
use super::error::TrainError;
use super::forward::{Mode, Part, normalise, values};
use super::loader::{Ahead, Making};
use super::memory;
use super::photos::RunPhotos;
use super::progress::{EpochMetrics, JsonLines, Live};
use super::recipe::{ClusterBy, Recipe, Stage};
use super::sampler::{Planned, Sampler};
use super::schedule::{self, Phase};
use super::state::{Learning, State, images};
use super::validation;
use crate::dataset::Dataset;
use crate::retrieval::Retrieval;
use ndarray::{Array2, ArrayView1};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tch::{Kind, Tensor};

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
    /// Asked after each step, with the number of steps taken: whether to save and stop here.
    pub stop: Box<dyn Fn(u64) -> bool>,
    /// Show no bars.
    pub quiet: bool,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its last epoch is done.
    Done(PathBuf),
    /// The whales kept aside were no longer found better; the best epoch's checkpoint.
    StoppedEarly(PathBuf),
    /// It was asked to stop, and can be gone on with.
    Interrupted(PathBuf),
}

impl Outcome {
    /// The checkpoint that it left.
    pub fn checkpoint(&self) -> &Path {
        match self {
            Self::Done(path) | Self::StoppedEarly(path) | Self::Interrupted(path) => path,
        }
    }
}

/// The metrics of a run, a JSON line an epoch.
pub const METRICS: &str = "metrics.jsonl";
/// The clusters of a run, a JSON line a clustering.
pub const CLUSTER_HISTORY: &str = "clusters.jsonl";

/// How often the loss is looked at on a CUDA card, in steps: each look waits for the card.
const LOOK_EVERY: usize = 20;

/// Trains, or goes on where the folder's checkpoint stands.
///
/// # Errors
/// See [`TrainError`]; what the last checkpoint holds stays.
pub fn run(job: &Job) -> Result<Outcome, TrainError> {
    memory::keep_between_steps();
    let chosen = device::choose(job.force_cpu);
    let recipe = &job.recipe;
    let threads = device::set_threads(recipe.threads);
    eprintln!(
        "training on {} ({threads} threads), seed {}",
        chosen.why, recipe.seed
    );
    std::fs::create_dir_all(&job.folder).map_err(|source| TrainError::File {
        path: job.folder.clone(),
        source,
    })?;
    let photos = RunPhotos::read(&job.dataset, recipe, job.quiet)?;
    let sampler = Sampler::new(
        photos.of_whale.clone(),
        recipe.batch,
        recipe.sampler.clone(),
        recipe.mirror_is_another,
        recipe.seed,
    );
    eprintln!(
        "learning from {}, {} classes; watching {} whales",
        photos.in_words(),
        sampler.classes(),
        photos.watching
    );
    let path = job.folder.join(CHECKPOINT);
    let saved = if path.exists() {
        Some((path.as_path(), Checkpoint::read(&path)?))
    } else {
        None
    };
    let weights = job.weights.as_deref();
    let state = State::start(recipe, saved, weights, sampler.classes(), chosen.device)?;
    let done = &state.progress;
    if done.batches > 0 {
        eprintln!(
            "going on after batch {} of epoch {}",
            done.batches,
            done.epochs + 1
        );
    } else if done.epochs > 0 {
        eprintln!("going on after epoch {}", done.epochs);
    }
    let making = Arc::new(Making {
        photos: photos.train.clone(),
        preparation: recipe.preparation(),
        augmentation: recipe.augmentation.clone(),
        seed: recipe.seed,
    });
    let lines = |name: &str| {
        let path = job.folder.join(name);
        JsonLines::open(&path).map_err(|source| TrainError::File { path, source })
    };
    Training {
        job,
        live: Live::new(job.quiet, (recipe.epochs() * sampler.batches()) as u64),
        metrics: lines(METRICS)?,
        clusters: lines(CLUSTER_HISTORY)?,
        path,
        photos,
        sampler,
        making,
        state,
    }
    .run()
}

/// A run under way.
struct Training<'a> {
    job: &'a Job,
    path: PathBuf,
    photos: RunPhotos,
    sampler: Sampler,
    making: Arc<Making>,
    state: State,
    metrics: JsonLines,
    clusters: JsonLines,
    live: Live,
}

/// How an epoch ended.
enum EpochEnd {
    Done { seconds_clustering: f64 },
    Interrupted,
}

impl Training<'_> {
    fn run(mut self) -> Result<Outcome, TrainError> {
        let recipe = &self.job.recipe;
        let last = self
            .job
            .until_epoch
            .unwrap_or(usize::MAX)
            .min(recipe.epochs());
        if self.state.tuning && self.state.steps() == 0 {
            let learners = (0..self.state.learners.len()).map(Part::Learner);
            let parts: Vec<Part> = std::iter::once(Part::Whole).chain(learners).collect();
            self.start_classes(recipe.stage(0), &parts);
        }
        while self.state.progress.epochs < last {
            let epoch = self.state.progress.epochs;
            match self.epoch(epoch)? {
                EpochEnd::Interrupted => {
                    self.live.finish();
                    self.save()?;
                    return Ok(Outcome::Interrupted(self.path));
                }
                EpochEnd::Done { seconds_clustering } => {
                    if self.after_epoch(epoch, seconds_clustering)? {
                        self.live.finish();
                        return Ok(Outcome::StoppedEarly(self.job.folder.join(BEST)));
                    }
                }
            }
        }
        self.live.finish();
        Ok(Outcome::Done(self.path))
    }

    fn epoch(&mut self, epoch: usize) -> Result<EpochEnd, TrainError> {
        let recipe = &self.job.recipe;
        let stage = recipe.stage(epoch).clone();
        let phase = schedule::phase(recipe, epoch);
        let fresh = self.state.progress.batches == 0;
        let mut seconds_clustering = 0.0;
        if fresh {
            if schedule::clusters_before(recipe, epoch) {
                seconds_clustering = self.divide(epoch, &stage)?;
            }
            let switched =
                !phase.divided() && epoch > 0 && schedule::phase(recipe, epoch - 1).divided();
            if switched {
                // The learners' own losses are done.
                self.start_classes(&stage, &[Part::Whole]);
            }
        }
        if schedule::rounds(recipe, epoch) {
            self.state.network.start_rounding(&Default::default());
        }
        let division = self.state.division.as_ref().filter(|_| phase.one_cluster());
        let plan = Arc::new(self.sampler.epoch(epoch, division));
        let from = self.state.progress.batches;
        let batches = Ahead::start(&self.making, epoch, &plan, from, &stage, recipe.workers);
        self.steps(epoch, phase, &stage, &plan, batches)
            .map(|done| match done {
                true => EpochEnd::Done { seconds_clustering },
                false => EpochEnd::Interrupted,
            })
    }

    /// The steps that are left of an epoch; whether all were taken.
    fn steps(
        &mut self,
        epoch: usize,
        phase: Phase,
        stage: &Stage,
        plan: &[Planned],
        batches: Ahead,
    ) -> Result<bool, TrainError> {
        let recipe = &self.job.recipe;
        let shape = self.shape(stage);
        let total = (recipe.epochs() * self.sampler.batches()) as u64;
        let look_every = if self.state.network.device().is_cuda() {
            LOOK_EVERY
        } else {
            1
        };
        let (before, started) = (self.state.progress.seconds, Instant::now());
        let mut saved = Instant::now();
        let mut unseen: Vec<Tensor> = vec![];
        for batch in batches {
            let batch = batch.map_err(|_| TrainError::Loader)?;
            let number = self.state.progress.batches;
            let planned = &plan[number];
            let part = match (phase, planned.cluster, &self.state.division) {
                (Phase::Divided, Some(k), _) => Learning::Learner(k),
                (Phase::DividedMixed, _, Some(division)) => {
                    Learning::Mixed(planned.draws.iter().map(|d| division.of[d.photo]).collect())
                }
                _ => Learning::Whole,
            };
            // What a step draws follows from its number, so that an epoch can be taken up anywhere.
            let mut random = ChaCha8Rng::seed_from_u64(recipe.seed ^ 0x3141_5926);
            random.set_stream(((epoch as u64) << 32) | number as u64);
            let factor = schedule::rate(&recipe.optimiser, self.state.steps(), total);
            let loss = self.state.step(&batch, shape, factor, &part, &mut random);
            unseen.push(loss.to_kind(Kind::Double).reshape([1]));
            self.state.progress.batches = number + 1;
            self.state.progress.seconds = before + started.elapsed().as_secs_f64();
            let stop = (self.job.stop)(self.state.steps());
            if unseen.len() >= look_every || number + 1 == plan.len() || stop {
                let losses: Vec<f64> = Vec::try_from(Tensor::cat(&unseen, 0)).unwrap_or_default();
                let first = number + 1 - losses.len();
                if let Some(bad) = losses.iter().position(|l| !l.is_finite()) {
                    self.live.finish();
                    let photos: Vec<&str> = plan[first + bad]
                        .draws
                        .iter()
                        .map(|d| self.photos.names[d.photo].as_str())
                        .collect();
                    return Err(TrainError::NotFinite {
                        loss: losses[bad],
                        epoch: epoch + 1,
                        batch: first + bad + 1,
                        photos: photos.join(" "),
                    });
                }
                self.state.progress.loss_sum += losses.iter().sum::<f64>();
                unseen.clear();
                let mean = losses.iter().sum::<f64>() / losses.len().max(1) as f64;
                let done = (epoch * self.sampler.batches() + number + 1) as u64;
                self.live
                    .step(done, epoch + 1, recipe.epochs(), mean, recipe.batch);
            }
            if stop {
                return Ok(false);
            }
            if recipe.save_minutes > 0.0
                && saved.elapsed() > Duration::from_secs_f64(recipe.save_minutes * 60.0)
                && unseen.is_empty()
            {
                self.save()?;
                saved = Instant::now();
            }
        }
        Ok(true)
    }

    /// Measures, writes and saves; whether it is time to stop early.
    fn after_epoch(&mut self, epoch: usize, seconds_clustering: f64) -> Result<bool, TrainError> {
        let recipe = &self.job.recipe;
        let stage = recipe.stage(epoch).clone();
        let progress = &mut self.state.progress;
        let steps = std::mem::take(&mut progress.batches);
        let loss = std::mem::take(&mut progress.loss_sum) / steps.max(1) as f64;
        let seconds = std::mem::take(&mut progress.seconds);
        progress.epochs = epoch + 1;
        if let Some(mut average) = self.state.average.take() {
            if average.after_epoch(&self.state.network, epoch + 1, recipe.epochs()) {
                self.measure_statistics(&average, epoch, &stage)?;
            }
            self.state.average = Some(average);
        }
        let found = self.watch(epoch);
        let total = (recipe.epochs() * self.sampler.batches()) as u64;
        let mining = std::iter::once(&self.state.whole)
            .chain(&self.state.learners)
            .map(|loss| loss.take_mining_time().as_secs_f64())
            .sum();
        let line = EpochMetrics {
            epoch: epoch + 1,
            steps: self.state.steps(),
            loss,
            rate_factor: schedule::rate(&recipe.optimiser, self.state.steps(), total),
            images_per_second: (steps * recipe.batch) as f64 / seconds.max(1e-9),
            seconds,
            clustering_seconds: seconds_clustering,
            mining_seconds: mining,
            height: stage.height,
            width: stage.width,
            validation_recall_at_1: found.as_ref().map(|r| r.recall_at_1),
            validation_map_at_5: found.as_ref().map(|r| r.map_at_5),
        };
        write_line(&mut self.metrics, &line)?;
        self.live.epoch(&line, recipe.epochs());
        let better = match (&found, self.state.progress.best) {
            (Some(found), Some((best, _))) => found.map_at_5 > best,
            (found, None) => found.is_some(),
            (None, Some(_)) => false,
        };
        if let (true, Some(found)) = (better, &found) {
            self.state.progress.best = Some((found.map_at_5, epoch + 1));
        }
        self.save()?;
        if recipe.patience == 0 {
            return Ok(false);
        }
        if better {
            let best = self.state.checkpoint(recipe, &self.photos.in_words());
            best.for_export().write(&self.job.folder.join(BEST))?;
        }
        let best_at = self.state.progress.best.map_or(epoch + 1, |(_, at)| at);
        let stop = epoch + 1 >= best_at + recipe.patience;
        if stop {
            eprintln!(
                "no better on the whales kept aside for {} epochs: the checkpoint of epoch {best_at} is kept as {BEST}",
                recipe.patience
            );
        }
        Ok(stop)
    }

    /// Retrieval on the whales kept aside, with the embedding as it would be exported now.
    fn watch(&self, epoch: usize) -> Option<Retrieval> {
        let part = self.judged_part(epoch);
        let photos: Vec<_> = self.photos.watched.iter().collect();
        validation::retrieve(
            self.state.judged(),
            part,
            &photos,
            &self.photos.watched_whales,
            &self.making.preparation,
        )
    }

    fn judged_part(&self, epoch: usize) -> Part {
        if schedule::ends_divided(&self.job.recipe, epoch + 1) {
            Part::Slices
        } else {
            Part::Whole
        }
    }

    /// Clusters the photos anew, with the learners' numbers kept. Returns the seconds that clustering and matching took, without
    /// those of embedding.
    fn divide(&mut self, epoch: usize, stage: &Stage) -> Result<f64, TrainError> {
        let settings = &self.job.recipe.divide;
        let network = &self.state.network;
        let part = self.judged_part(epoch);
        let points = self.points(stage, |features| match settings.by {
            ClusterBy::Embedding => network.embedding(features, part),
            ClusterBy::Features => normalise(features),
        });
        let started = Instant::now();
        let mut random = ChaCha8Rng::seed_from_u64(self.job.recipe.seed ^ 0xc105_7e55);
        random.set_stream(epoch as u64);
        let before = self.state.division.take();
        let (division, report) = divide::divide(
            points.view(),
            self.sampler.photos_of(),
            before.as_ref(),
            settings,
            epoch,
            &mut random,
        );
        self.state.division = Some(division);
        let seconds = started.elapsed().as_secs_f64();
        write_line(&mut self.clusters, &report)?;
        self.live.say(&report.in_words());
        Ok(seconds)
    }

    /// Class centres and proxies of these parts start at the means of their classes' embeddings.
    fn start_classes(&mut self, stage: &Stage, parts: &[Part]) {
        let views = if self.job.recipe.mirror_is_another {
            2
        } else {
            1
        };
        let mut class_of = vec![0usize; self.photos.train.len()];
        for (whale, photos) in self.sampler.photos_of().iter().enumerate() {
            photos.iter().for_each(|&p| class_of[p] = whale * views);
        }
        let dimension = self.job.recipe.head.dimension;
        let width = |part: &Part| match part {
            Part::Learner(_) => dimension / self.state.learners.len(),
            Part::Whole | Part::Slices => dimension,
        };
        let classes = self.sampler.classes();
        let mut means: Vec<Array2<f32>> = parts
            .iter()
            .map(|part| Array2::zeros((classes, width(part))))
            .collect();
        let network = &self.state.network;
        for view in 0..views {
            self.each_feature(stage, view == 1, |photos, features| {
                for (means, &part) in means.iter_mut().zip(parts) {
                    let found = values(&network.embedding(features, part));
                    for (&photo, row) in photos.iter().zip(found.data.chunks_exact(found.shape[1]))
                    {
                        let mut mean = means.row_mut(class_of[photo] + view);
                        mean += &ArrayView1::from(row);
                    }
                }
            });
        }
        let device = network.device();
        for (means, &part) in means.iter().zip(parts) {
            let shape = [means.nrows() as i64, means.ncols() as i64];
            let means = Tensor::from_slice(means.as_slice().unwrap_or_default())
                .reshape(shape)
                .to_device(device);
            match part {
                Part::Learner(k) => self.state.learners[k].start_at(&means),
                Part::Whole | Part::Slices => self.state.whole.start_at(&means),
            }
        }
    }

    /// Every training photo as it is, at the stage's size, through `embed`: `[N, D] f32`.
    fn points(&self, stage: &Stage, embed: impl Fn(&Tensor) -> Tensor) -> Array2<f32> {
        let (mut data, mut width) = (vec![], 0);
        self.each_feature(stage, false, |_, features| {
            let found = values(&embed(features));
            width = found.shape[1];
            data.extend(found.data);
        });
        Array2::from_shape_vec((self.photos.train.len(), width), data).unwrap_or_default()
    }

    /// Hands over the positions and features `[n, F]` of every training photo as it is, some at a time, in order.
    fn each_feature(&self, stage: &Stage, mirrored: bool, mut take: impl FnMut(&[usize], &Tensor)) {
        const AT_A_TIME: usize = 64;
        let all: Vec<usize> = (0..self.photos.train.len()).collect();
        tch::no_grad(|| {
            for photos in all.chunks(AT_A_TIME) {
                let input = images(
                    &self.making.plain(photos, mirrored, stage),
                    self.shape(stage),
                );
                take(photos, &self.state.network.features(&input, Mode::Evaluate));
            }
        });
    }

    /// The statistics of batch normalisation for averaged weights, over an epoch's batches, as swa asks for.
    fn measure_statistics(
        &self,
        average: &super::average::Average,
        epoch: usize,
        stage: &Stage,
    ) -> Result<(), TrainError> {
        const BATCHES: usize = 100;
        let mut plan = self.sampler.epoch(epoch, None);
        plan.truncate(BATCHES);
        let plan = Arc::new(plan);
        let batches = Ahead::start(
            &self.making,
            epoch,
            &plan,
            0,
            stage,
            self.job.recipe.workers,
        );
        for (i, batch) in batches.enumerate() {
            let batch = batch.map_err(|_| TrainError::Loader)?;
            let input = images(&batch.images, self.shape(stage));
            let mode = Mode::Measure(1.0 / (i + 1) as f64);
            let _ = tch::no_grad(|| average.network.features(&input, mode));
        }
        Ok(())
    }

    fn shape(&self, stage: &Stage) -> [i64; 3] {
        [
            self.making.preparation.channels() as i64,
            i64::from(stage.height),
            i64::from(stage.width),
        ]
    }

    fn save(&self) -> Result<(), TrainError> {
        let checkpoint = self
            .state
            .checkpoint(&self.job.recipe, &self.photos.in_words());
        Ok(checkpoint.write(&self.path)?)
    }
}

fn write_line<T: Serialize>(lines: &mut JsonLines, line: &T) -> Result<(), TrainError> {
    lines.write(line).map_err(|source| TrainError::File {
        path: lines.path().to_owned(),
        source,
    })
}
