//! A run: from a job to a checkpoint.

use super::batches::BatchBuilder;
use super::checkpoint::{EmbeddingCheckpoint, EmbeddingTask};
use super::crops::CropCache;
use super::job::{Job, Outcome};
use super::photos::RunPhotos;
use super::run_log::RunLog;
use super::run_record::{self, RunRecord, Session};
use super::sampler::Sampler;
use super::split::{self, Split};
use super::state::State;
use super::training::Training;
use crate::cpu::allocator::keep_memory_between_steps;
use crate::trainer::checkpoint::Task;
use crate::trainer::device;
use crate::trainer::error::TrainError;
use crate::trainer::metrics::MetricsSink;
use crate::trainer::progress::ProgressReporter;
use std::path::Path;
use std::sync::Arc;

/// Clusters of a run, one JSON line per clustering.
const CLUSTER_HISTORY: &str = "clusters.jsonl";

/// Cached crops, in the run's folder.
const CROPS: &str = "crops";

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
            job.provenance.clock.clone(),
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
