//! The training loop of an embedding.

use super::average::AveragedNetwork;
use super::batches::{Batch, BatchBuilder};
use super::checkpoint::{EmbeddingCheckpoint, EmbeddingTask};
use super::crops::CropCache;
use super::divide;
use super::features::TrainingFeatures;
use super::network::{EmbeddingPart, Mode};
use super::phase::{self, Phase};
use super::photos::RunPhotos;
use super::recipe::{ClusterBy, Recipe, Stage};
use super::run_log::{EpochMetrics, LearningRates, RunLog, StepMetrics};
use super::run_record::{self, RunRecord, Session};
use super::sampler::{BatchPlan, Sampler};
use super::split::{self, Split};
use super::state::{State, StepNorms, Target};
use super::validation;
use crate::cpu::allocator::keep_memory_between_steps;
use crate::torch::tensors::{images, normalise};
use crate::trainer::checkpoint::Task;
use crate::trainer::device;
use crate::trainer::device_choice::DeviceChoice;
use crate::trainer::error::TrainError;
use crate::trainer::metrics::MetricsSink;
use crate::trainer::prefetch::Prefetcher;
use crate::trainer::progress::{Position, ProgressReporter};
use flukewatch_common::clock::{Clock, SystemClock};
use flukewatch_dataset::Dataset;
use flukewatch_eval::protocols::leave_one_out::RetrievalSummary;
use flukewatch_progress::{ProgressBar, bar};
use ndarray::Array3;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};

/// What a run needs besides its recipe.
pub struct Job {
    /// Settings of the training.
    pub recipe: Recipe,
    /// Photos to train on and to validate on.
    pub dataset: Dataset,
    /// Names of the whales that validate; `None` to draw them as the recipe says.
    pub validation: Option<BTreeSet<String>>,
    /// Pretrained weights of the backbone.
    pub weights: Option<PathBuf>,
    /// The run's folder, for checkpoint and metrics.
    pub folder: PathBuf,
    /// Where to train.
    pub device: DeviceChoice,
    /// Folder of the cached crops, which runs may share; `None` for `crops` in the run's folder.
    pub crops: Option<PathBuf>,
    /// Stop after this epoch; the run can be resumed later.
    pub until_epoch: Option<usize>,
    /// Called after each step with the number of steps taken; returns whether to save and stop.
    pub stop: Box<dyn Fn(u64) -> bool>,
    /// Hide progress bars.
    pub quiet: bool,
    /// For the run's record.
    pub provenance: Provenance,
}

/// When and by which program a run is trained.
pub struct Provenance {
    /// Dates the run.
    pub clock: Box<dyn Clock>,
    /// The git revision of the program, if it was built from one.
    pub revision: Option<String>,
}

/// How a run ended, with the checkpoint that it left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are done.
    Done(PathBuf),
    /// Validation has not improved for `patience` epochs; the best epoch's checkpoint.
    StoppedEarly(PathBuf),
    /// Interrupted; it can be resumed.
    Interrupted(PathBuf),
}

impl Outcome {
    /// The checkpoint that the run left.
    pub fn checkpoint(&self) -> &Path {
        match self {
            Self::Done(path) | Self::StoppedEarly(path) | Self::Interrupted(path) => path,
        }
    }
}

/// Clusters of a run, one JSON line per clustering.
const CLUSTER_HISTORY: &str = "clusters.jsonl";

/// Cached crops, in the run's folder.
const CROPS: &str = "crops";

/// Steps between reads of the loss on a CUDA device: each read waits for the device.
const READ_LOSS_EVERY: usize = 20;

/// Trains, or resumes from the folder's checkpoint.
///
/// # Errors
/// See [`TrainError`]; the last checkpoint is left intact.
pub fn run(job: &Job) -> Result<Outcome, TrainError> {
    keep_memory_between_steps();
    let chosen = device::choose(job.device, job.recipe.deterministic)?;
    let recipe = &job.recipe;
    let threads = device::set_threads(recipe.threads);
    eprintln!(
        "training on {} ({threads} threads), seed {}",
        chosen.reason, recipe.seed
    );
    std::fs::create_dir_all(&job.folder).map_err(TrainError::file(&job.folder))?;
    let path = job.folder.join(EmbeddingTask::FILE);
    let (split, mut record) = split_of(job, &path)?;
    let photos = RunPhotos::new(&job.dataset, &split, recipe)?;
    let crops = job.crops.clone().unwrap_or_else(|| job.folder.join(CROPS));
    let crops = CropCache::new(&crops, photos.train.clone(), recipe);
    let sampler = Sampler::new(photos.of_identity.clone(), recipe);
    eprintln!(
        "{}, {} classes; {} validation identities",
        photos.description(),
        sampler.classes(),
        photos.validation_identities
    );
    let saved = if path.exists() {
        Some((path.as_path(), EmbeddingCheckpoint::read(&path)?))
    } else {
        None
    };
    let weights = job.weights.as_deref();
    let state = State::start(recipe, saved, weights, sampler.classes(), chosen.device)?;
    let done = &state.progress;
    if done.batches > 0 {
        eprintln!(
            "resuming after batch {} of epoch {}",
            done.batches,
            done.epochs + 1
        );
    } else if done.epochs > 0 {
        eprintln!("resuming after epoch {}", done.epochs);
    }
    record.sessions.push(Session {
        started: job.provenance.clock.now().to_string(),
        ended: None,
        recipe_sha256: run_record::recipe_sha256(recipe),
        revision: job.provenance.revision.clone(),
        libraries: device::libraries(),
        device: chosen.reason,
    });
    record.write(&job.folder)?;
    let outcome = Training {
        job,
        progress: ProgressReporter::new(job.quiet, (recipe.epochs() * sampler.batches()) as u64),
        log: RunLog::open(
            &job.folder,
            (done.epochs, done.steps),
            Box::new(SystemClock),
        )?,
        clusters: MetricsSink::open(&job.folder.join(CLUSTER_HISTORY))?,
        path,
        builder: Arc::new(BatchBuilder::new(crops, recipe)),
        prepared: None,
        photos,
        sampler,
        state,
    }
    .run()?;
    if let Some(session) = record.sessions.last_mut() {
        session.ended = Some(job.provenance.clock.now().to_string());
    }
    record.write(&job.folder)?;
    Ok(outcome)
}

/// The split of a run that starts, or the stored one of a run that is resumed with the same photos;
/// and the run's record.
fn split_of(job: &Job, checkpoint: &Path) -> Result<(Split, RunRecord), TrainError> {
    let (dataset, recipe) = (&job.dataset, &job.recipe);
    if !checkpoint.exists() {
        let split = split::split(dataset, job.validation.as_ref(), recipe);
        let record = RunRecord::new(dataset, &split, recipe.seed)?;
        return Ok((split, record));
    }
    let Some(before) = RunRecord::read(&job.folder)? else {
        return Err(TrainError::NoRecord {
            path: checkpoint.to_owned(),
        });
    };
    let split = before.split_of(dataset);
    let differences = before.differences(&RunRecord::new(dataset, &split, before.seed)?);
    if differences.is_empty() {
        return Ok((split, before));
    }
    Err(TrainError::TableMismatch {
        path: job.folder.join(run_record::FILE),
        reason: differences.join("; "),
    })
}

fn total_steps(recipe: &Recipe, sampler: &Sampler) -> u64 {
    (recipe.epochs() * recipe.steps_of(sampler.batches())) as u64
}

/// A run in progress.
struct Training<'a> {
    job: &'a Job,
    path: PathBuf,
    photos: RunPhotos,
    sampler: Sampler,
    builder: Arc<BatchBuilder>,
    /// The size that crops and validation photos are prepared at, and the latter.
    prepared: Option<PreparedStage>,
    state: State,
    log: RunLog,
    clusters: MetricsSink,
    progress: ProgressReporter,
}

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

/// What the epochs of one size need.
struct PreparedStage {
    size: (u32, u32),
    validation: Vec<Array3<u8>>,
}

/// How an epoch ended.
enum EpochEnd {
    Done { clustering_seconds: f64 },
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
        if self.state.fine_tuning && self.state.steps() == 0 {
            let learners = (0..self.state.learners.len()).map(EmbeddingPart::Learner);
            let parts: Vec<_> = std::iter::once(EmbeddingPart::Whole)
                .chain(learners)
                .collect();
            self.prepare(recipe.stage(0))?;
            self.init_centres(recipe.stage(0), &parts)?;
        }
        while self.state.progress.epochs < last {
            let epoch = self.state.progress.epochs;
            match self.epoch(epoch)? {
                EpochEnd::Interrupted => {
                    self.save()?;
                    return Ok(Outcome::Interrupted(self.path));
                }
                EpochEnd::Done { clustering_seconds } => {
                    if self.end_epoch(epoch, clustering_seconds)? {
                        let best = EmbeddingCheckpoint::find(&self.job.folder);
                        return Ok(Outcome::StoppedEarly(best));
                    }
                }
            }
        }
        Ok(Outcome::Done(self.path))
    }

    /// Makes the crops of a stage, and prepares the validation photos at its size.
    fn prepare(&mut self, stage: &Stage) -> Result<(), TrainError> {
        let size = (stage.height, stage.width);
        if self.prepared.as_ref().is_some_and(|p| p.size == size) {
            return Ok(());
        }
        let crops = self.builder.crops();
        let bar = if self.job.quiet {
            ProgressBar::hidden()
        } else {
            bar(crops.len() as u64, "decoding")
        };
        let filled = crops.fill(stage, || bar.inc(1));
        bar.finish_and_clear();
        filled?;
        let preparation = self.builder.preparation(stage);
        self.prepared = Some(PreparedStage {
            size,
            validation: self.photos.prepared_validation(&preparation)?,
        });
        Ok(())
    }

    fn epoch(&mut self, epoch: usize) -> Result<EpochEnd, TrainError> {
        let recipe = &self.job.recipe;
        let stage = recipe.stage(epoch).clone();
        let phase = phase::phase(recipe, epoch);
        self.prepare(&stage)?;
        let mut clustering_seconds = 0.0;
        if self.state.progress.batches == 0 {
            if !phase::validates_like_the_previous(recipe, epoch) {
                self.state.progress.best = None;
            }
            if phase::clusters_before(recipe, epoch) {
                clustering_seconds = self.divide(epoch, &stage)?;
            }
            let was_divided = epoch > 0 && phase::phase(recipe, epoch - 1).divided();
            if was_divided && !phase.divided() {
                // From here on the losses of the learners are unused.
                self.init_centres(&stage, &[EmbeddingPart::Whole])?;
            }
        }
        if phase::quantised(recipe, epoch) {
            self.state.network.start_quantisation(&Default::default());
        }
        let division = self.state.division.as_ref().filter(|_| phase.one_cluster());
        let plan = Arc::new(self.sampler.epoch(epoch, division));
        let from = self.state.progress.batches;
        let batches = self
            .builder
            .prefetch(epoch, &plan, from, &stage, recipe.workers);
        Ok(if self.steps(epoch, phase, &stage, &plan, batches)? {
            EpochEnd::Done { clustering_seconds }
        } else {
            EpochEnd::Interrupted
        })
    }

    /// Takes the remaining steps of an epoch; returns false if interrupted.
    fn steps(
        &mut self,
        epoch: usize,
        phase: Phase,
        stage: &Stage,
        plan: &[BatchPlan],
        batches: Prefetcher<Result<Batch, TrainError>>,
    ) -> Result<bool, TrainError> {
        let recipe = &self.job.recipe;
        let shape = self.builder.shape(stage);
        let schedule = recipe
            .optimiser
            .schedule(total_steps(recipe, &self.sampler));
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

    /// Validates, writes metrics and saves; returns whether to stop early.
    fn end_epoch(&mut self, epoch: usize, clustering_seconds: f64) -> Result<bool, TrainError> {
        let recipe = &self.job.recipe;
        let stage = recipe.stage(epoch).clone();
        let progress = &mut self.state.progress;
        let batches = std::mem::take(&mut progress.batches);
        let loss = std::mem::take(&mut progress.loss_sum) / batches.max(1) as f64;
        let seconds = std::mem::take(&mut progress.seconds);
        progress.epochs = epoch + 1;
        if let Some(average) = &self.state.average
            && average.after_epoch(&self.state.network, epoch + 1, recipe.epochs())
        {
            self.measure_statistics(average, epoch, &stage)?;
        }
        let found = self.validate(epoch, &stage);
        let schedule = recipe
            .optimiser
            .schedule(total_steps(recipe, &self.sampler));
        let mining_seconds = std::iter::once(&self.state.whole)
            .chain(&self.state.learners)
            .map(|loss| loss.take_mining_time().as_secs_f64())
            .sum();
        let line = EpochMetrics {
            epoch: epoch + 1,
            steps: self.state.steps(),
            loss,
            lr_factor: schedule.lr_factor(self.state.steps()),
            images_per_second: (batches * recipe.batch_size) as f64 / seconds.max(1e-9),
            seconds,
            clustering_seconds,
            mining_seconds,
            height: stage.height,
            width: stage.width,
            validation_recall_at_1: found.as_ref().map(|r| r.recall_at_1),
            validation_map_at_5: found.as_ref().map(|r| r.map_at_5),
        };
        self.log.epoch(&line)?;
        let description = line.description(recipe.epochs());
        self.progress
            .end_of_part(line.validation_recall_at_1, &description);
        let better = match (&found, self.state.progress.best) {
            (Some(found), Some((best, _))) => found.map_at_5 > best,
            (found, None) => found.is_some(),
            (None, Some(_)) => false,
        };
        if let (true, Some(found)) = (better, &found) {
            self.state.progress.best = Some((found.map_at_5, epoch + 1));
        }
        self.save()?;
        self.stop_early(epoch, better)
    }

    fn stop_early(&self, epoch: usize, better: bool) -> Result<bool, TrainError> {
        let recipe = &self.job.recipe;
        let Some(file) = EmbeddingTask::BEST_FILE.filter(|_| recipe.patience > 0) else {
            return Ok(false);
        };
        if better {
            let best = self.state.checkpoint(recipe, &self.photos.description());
            best.for_export().write(&self.job.folder.join(file))?;
        }
        let best_at = self.state.progress.best.map_or(epoch + 1, |(_, at)| at);
        let stop = epoch + 1 >= best_at + recipe.patience;
        if stop {
            eprintln!(
                "validation has not improved for {} epochs; stopping. Epoch {best_at} is kept as {file}",
                recipe.patience
            );
        }
        Ok(stop)
    }

    /// Retrieval on the held-out identities, with the embedding as it would be exported now.
    /// The photos have the size of the epoch's training.
    fn validate(&mut self, epoch: usize, stage: &Stage) -> Option<RetrievalSummary> {
        let prepared = self.prepared.as_ref();
        let prepared = prepared.expect("an epoch starts by preparing its photos");
        let photos: Vec<_> = prepared.validation.iter().collect();
        let part = self.exported_part(epoch);
        validation::retrieve(
            self.state.evaluated(),
            part,
            &photos,
            &self.photos.validation_labels,
            &self.builder.preparation(stage),
        )
    }

    fn exported_part(&self, epoch: usize) -> EmbeddingPart {
        if phase::ends_divided(&self.job.recipe, epoch + 1) {
            EmbeddingPart::Slices
        } else {
            EmbeddingPart::Whole
        }
    }

    fn features<'a>(&'a self, stage: &'a Stage) -> TrainingFeatures<'a> {
        TrainingFeatures {
            network: &self.state.network,
            builder: &self.builder,
            stage,
            photos: self.photos.train.len(),
        }
    }

    /// Clusters the photos and keeps the learners' numbers. Returns the seconds of clustering and
    /// matching, without those of embedding.
    fn divide(&mut self, epoch: usize, stage: &Stage) -> Result<f64, TrainError> {
        let settings = &self.job.recipe.divide;
        let part = self.exported_part(epoch);
        let points = self
            .features(stage)
            .points(|features| match settings.cluster_by {
                ClusterBy::Embedding => self.state.network.embedding(features, part),
                ClusterBy::Features => normalise(features),
            })?;
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
        self.clusters.write(&report)?;
        self.progress.line(&report.description());
        Ok(seconds)
    }

    /// Initialises class centres and proxies of these parts with the means of their classes' embeddings.
    fn init_centres(&mut self, stage: &Stage, parts: &[EmbeddingPart]) -> Result<(), TrainError> {
        let mirror_classes = self.job.recipe.mirror_as_new_identity;
        let mut class_of = vec![0usize; self.photos.train.len()];
        for (identity, photos) in self.sampler.photos_of().iter().enumerate() {
            let class = identity * (1 + usize::from(mirror_classes));
            photos.iter().for_each(|&p| class_of[p] = class);
        }
        let dimension = self.job.recipe.head.dimension;
        let parts: Vec<(EmbeddingPart, usize)> = parts
            .iter()
            .map(|&part| match part {
                EmbeddingPart::Learner(_) => (part, dimension / self.state.learners.len()),
                EmbeddingPart::Whole | EmbeddingPart::Slices => (part, dimension),
            })
            .collect();
        let means = self.features(stage).class_means(
            &parts,
            &class_of,
            self.sampler.classes(),
            mirror_classes,
        )?;
        let device = self.state.network.device();
        for (means, (part, _)) in means.iter().zip(parts) {
            let shape = [means.nrows() as i64, means.ncols() as i64];
            let numbers = means.as_slice().expect("means are in standard layout");
            let means = Tensor::from_slice(numbers).reshape(shape).to_device(device);
            match part {
                EmbeddingPart::Learner(k) => self.state.learners[k].init_centres(&means),
                EmbeddingPart::Whole | EmbeddingPart::Slices => {
                    self.state.whole.init_centres(&means);
                }
            }
        }
        Ok(())
    }

    /// Measures batch normalisation statistics for averaged weights over an epoch's batches, as SWA
    /// requires.
    fn measure_statistics(
        &self,
        average: &AveragedNetwork,
        epoch: usize,
        stage: &Stage,
    ) -> Result<(), TrainError> {
        const BATCHES: usize = 100;
        let mut plan = self.sampler.epoch(epoch, None);
        plan.truncate(BATCHES);
        let plan = Arc::new(plan);
        let workers = self.job.recipe.workers;
        let batches = self.builder.prefetch(epoch, &plan, 0, stage, workers);
        for (i, batch) in batches.enumerate() {
            let batch = batch.map_err(|_| TrainError::Prefetcher)??;
            let input = images(&batch.images, self.builder.shape(stage));
            let mode = Mode::MeasureStatistics(1.0 / (i + 1) as f64);
            let _ = tch::no_grad(|| average.network.features(&input, mode));
        }
        Ok(())
    }

    fn save(&self) -> Result<(), TrainError> {
        let trained_on = self.photos.description();
        let checkpoint = self.state.checkpoint(&self.job.recipe, &trained_on);
        Ok(checkpoint.write(&self.path)?)
    }
}
