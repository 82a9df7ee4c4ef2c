//! The epochs of a run.

use super::average::AveragedNetwork;
use super::batches::BatchBuilder;
use super::checkpoint::{EmbeddingCheckpoint, EmbeddingTask};
use super::divide;
use super::features::TrainingFeatures;
use super::job::{Job, Outcome};
use super::network::{EmbeddingPart, Mode};
use super::phase;
use super::photos::RunPhotos;
use super::recipe::{ClusterBy, Stage};
use super::run_log::{EpochMetrics, RunLog};
use super::sampler::Sampler;
use super::state::State;
use super::validation;
use crate::torch::tensors::{images, normalise};
use crate::trainer::checkpoint::Task;
use crate::trainer::error::TrainError;
use crate::trainer::metrics::MetricsSink;
use crate::trainer::progress::ProgressReporter;
use flukewatch_eval::protocols::leave_one_out::RetrievalSummary;
use flukewatch_progress::{ProgressBar, bar};
use ndarray::Array3;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use tch::Tensor;

/// A run in progress.
pub(super) struct Training<'a> {
    pub(super) job: &'a Job,
    pub(super) path: PathBuf,
    pub(super) photos: RunPhotos,
    pub(super) sampler: Sampler,
    pub(super) builder: Arc<BatchBuilder>,
    /// The size that crops and validation photos are prepared at, and the latter.
    pub(super) prepared: Option<PreparedStage>,
    pub(super) state: State,
    pub(super) log: RunLog,
    pub(super) clusters: MetricsSink,
    pub(super) progress: ProgressReporter,
}

/// What the epochs of one size need.
pub(super) struct PreparedStage {
    size: (u32, u32),
    validation: Vec<Array3<u8>>,
}

/// How an epoch ended.
enum EpochEnd {
    Done { clustering_seconds: f64 },
    Interrupted,
}

impl Training<'_> {
    /// Trains the remaining epochs.
    pub(super) fn run(mut self) -> Result<Outcome, TrainError> {
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
        let schedule = self.schedule();
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

    pub(super) fn save(&self) -> Result<(), TrainError> {
        let trained_on = self.photos.description();
        let checkpoint = self.state.checkpoint(&self.job.recipe, &trained_on);
        Ok(checkpoint.write(&self.path)?)
    }
}
