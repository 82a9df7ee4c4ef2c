//! The training loop of a detector.

use super::batches;
use super::checkpoint::{DetectorCheckpoint, DetectorTask};
use super::network::DetectorNetwork;
use super::recipe::DetectorRecipe;
use super::samples::{Ingredients, Samples};
use super::state::State;
use crate::cpu::allocator::keep_memory_between_steps;
use crate::trainer::checkpoint::{CheckpointError, Task};
use crate::trainer::device;
use crate::trainer::device_choice::DeviceChoice;
use crate::trainer::error::TrainError;
use crate::trainer::metrics::MetricsSink;
use crate::trainer::progress::{Position, ProgressReporter};
use flukewatch_dataset::Dataset;
use flukewatch_network::weights::{Weights, select_parameters};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Metrics of a run, one JSON line per [`METRICS_EVERY`] steps.
const METRICS: &str = "detector-metrics.jsonl";
const METRICS_EVERY: u64 = 100;
/// How often a run is saved.
const SAVE_EVERY: Duration = Duration::from_secs(120);

/// What a run needs besides its recipe.
pub struct DetectorJob {
    /// Settings of the training.
    pub recipe: DetectorRecipe,
    /// Photos with boxes.
    pub dataset: Dataset,
    /// Real seas and masks, if there are any.
    pub ingredients: Ingredients,
    /// A trained detector whose weights are the initial ones: the folder or checkpoint of a run.
    pub init: Option<PathBuf>,
    /// The run's folder, for checkpoint and metrics.
    pub folder: PathBuf,
    /// Where to train.
    pub device: DeviceChoice,
    /// CPU threads; 0 for all.
    pub threads: usize,
    /// Threads that prepare batches ahead of the steps.
    pub workers: usize,
    /// Called after each step with the number of steps taken; returns whether to save and stop.
    pub stop: Box<dyn Fn(u64) -> bool>,
    /// Hide the progress bar.
    pub quiet: bool,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetectorOutcome {
    /// The checkpoint that it left.
    pub checkpoint: PathBuf,
    /// Whether it was interrupted; it can be resumed.
    pub interrupted: bool,
}

/// One line of the metrics.
#[derive(Debug, Serialize)]
struct Metrics {
    steps: u64,
    /// Mean since the last line.
    loss: f64,
    images_per_second: f64,
}

/// Sums over the steps since the last line of the metrics.
struct Running {
    loss: f64,
    steps: u64,
    images: usize,
    began: Instant,
}

impl Running {
    fn new() -> Self {
        Self {
            loss: 0.0,
            steps: 0,
            images: 0,
            began: Instant::now(),
        }
    }

    fn metrics(&self, steps: u64) -> Metrics {
        let seconds = self.began.elapsed().as_secs_f64().max(1e-9);
        Metrics {
            steps,
            loss: self.loss / self.steps as f64,
            images_per_second: self.images as f64 / seconds,
        }
    }
}

/// Trains, or resumes from the folder's checkpoint.
///
/// # Errors
/// See [`TrainError`]; the last checkpoint is left intact.
pub fn run(job: &DetectorJob) -> Result<DetectorOutcome, TrainError> {
    keep_memory_between_steps();
    let chosen = device::choose(job.device, false)?;
    let threads = device::set_threads(job.threads);
    eprintln!(
        "training on {} ({threads} threads), seed {}",
        chosen.reason, job.recipe.seed
    );
    std::fs::create_dir_all(&job.folder).map_err(TrainError::file(&job.folder))?;
    let photos: Vec<_> = job
        .dataset
        .photos
        .iter()
        .filter(|p| p.region.is_some())
        .cloned()
        .collect();
    if photos.is_empty() {
        return Err(TrainError::TooFewPhotos(
            "no photo has a box; a detector is trained on tables with the columns x0, y0, x1 and y1"
                .into(),
        ));
    }
    let mut trained_on = format!("{} photos with boxes and synthetic seas", photos.len());
    if let Some(seas) = &job.ingredients.seas {
        trained_on += &format!(", {} photos of real seas", seas.photos().len());
    }
    let path = job.folder.join(DetectorTask::FILE);
    let saved = saved(&path, &job.recipe)?;
    let initial = match (&saved, &job.init) {
        (None, Some(run)) => read_weights(run)?,
        _ => Weights::new(),
    };
    let mut state = State::start(&job.recipe, saved.as_ref(), &initial, &path, chosen.device)?;
    let mut metrics = MetricsSink::open(&job.folder.join(METRICS))?;
    let mut progress = ProgressReporter::new(job.quiet, job.recipe.steps());
    let samples = Arc::new(Samples::new(
        photos,
        job.ingredients.clone(),
        job.recipe.seed,
    ));
    let batches = batches::prefetch(samples, &job.recipe, state.steps(), job.workers);
    let schedule = job.recipe.schedule();
    let save = |state: &State| state.checkpoint(&job.recipe, &trained_on).write(&path);
    let mut running = Running::new();
    let mut last_saved = Instant::now();
    let mut interrupted = false;
    for batch in batches {
        let batch = batch.map_err(|_| TrainError::Prefetcher)??;
        let step = state.steps();
        let (number, stage) = job
            .recipe
            .stage(step)
            .expect("every step of the run has a stage");
        let loss = state.step(&batch, stage, schedule.lr_factor(step));
        let steps = state.steps();
        if !loss.is_finite() {
            return Err(TrainError::NotFinite {
                loss,
                step: steps,
                photos: vec![],
            });
        }
        progress.step(&Position {
            steps,
            part: &format!("stage {}/{}", number + 1, job.recipe.stages.len()),
            loss,
            batch_size: stage.batch_size,
        });
        running.loss += loss;
        running.steps += 1;
        running.images += stage.batch_size;
        if steps.is_multiple_of(METRICS_EVERY) {
            let line = running.metrics(steps);
            metrics.write(&line)?;
            progress.line(&format!(
                "step {steps}: loss {:.3}, {:.0} images/s",
                line.loss, line.images_per_second
            ));
            running = Running::new();
        }
        let stop = (job.stop)(steps);
        if last_saved.elapsed() > SAVE_EVERY {
            save(&state)?;
            last_saved = Instant::now();
        }
        if stop && steps < job.recipe.steps() {
            interrupted = true;
            break;
        }
    }
    save(&state)?;
    Ok(DetectorOutcome {
        checkpoint: path,
        interrupted,
    })
}

/// The run's checkpoint, if there is one; its recipe must be `recipe`.
fn saved(path: &Path, recipe: &DetectorRecipe) -> Result<Option<DetectorCheckpoint>, TrainError> {
    if !path.exists() {
        return Ok(None);
    }
    let saved = DetectorCheckpoint::read(path)?;
    if saved.recipe != *recipe {
        let recipe = serde_json::to_string(&saved.recipe).expect("a recipe is plain data");
        return Err(TrainError::RecipeMismatch {
            path: path.to_owned(),
            reason: format!("it was {recipe}"),
        });
    }
    eprintln!("resuming after step {}", saved.progress.steps);
    Ok(Some(saved))
}

/// The weights of a trained detector.
fn read_weights(run: &Path) -> Result<Weights, TrainError> {
    let path = DetectorCheckpoint::find(run);
    let tensors = DetectorCheckpoint::read(&path)?.for_export().tensors;
    let parameters = DetectorNetwork::new().parameters();
    Ok(select_parameters(parameters, &tensors, &path).map_err(CheckpointError::from)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::recipe::DetectorStage;
    use flukewatch_common::pixel_box::PixelBox;
    use flukewatch_dataset::LabelledPhoto;
    use image::{Rgb, RgbImage};

    fn job(folder: &Path, name: &str, stop_after: u64) -> DetectorJob {
        let path = folder.join("a.png");
        RgbImage::from_fn(120, 70, |x, y| {
            let within = (30..90).contains(&x) && (25..45).contains(&y);
            Rgb(if within {
                [25; 3]
            } else {
                [(90 + (x * 7 + y * 13) % 40) as u8; 3]
            })
        })
        .save(&path)
        .unwrap();
        let photo = LabelledPhoto {
            path,
            name: "a.png".into(),
            whale: None,
            region: Some(PixelBox {
                x0: 30,
                y0: 25,
                x1: 90,
                y1: 45,
            }),
            date: None,
            encounter: None,
        };
        let stage = |steps| DetectorStage {
            steps,
            batch_size: 2,
            height: 64,
            width: 96,
        };
        DetectorJob {
            recipe: DetectorRecipe {
                stages: vec![stage(2), stage(2)],
                ..DetectorRecipe::of_steps(3, 10, 3e-3)
            },
            ingredients: Ingredients::default(),
            dataset: Dataset {
                photos: vec![photo],
                ..Dataset::default()
            },
            init: None,
            folder: folder.join(name),
            device: DeviceChoice::Cpu,
            threads: 1,
            workers: 2,
            stop: Box::new(move |steps| steps >= stop_after),
            quiet: true,
        }
    }

    #[test]
    fn an_interrupted_run_equals_an_uninterrupted_one() {
        let folder = tempfile::tempdir().unwrap();
        let whole = run(&job(folder.path(), "whole", 99)).unwrap();
        assert!(!whole.interrupted);
        let cut = run(&job(folder.path(), "cut", 1)).unwrap();
        assert!(cut.interrupted);
        let read = |path: &Path| DetectorCheckpoint::read(path).unwrap();
        assert_eq!(read(&cut.checkpoint).progress.steps, 1);
        let cut = run(&job(folder.path(), "cut", 99)).unwrap();
        assert!(!cut.interrupted);
        let (whole, cut) = (read(&whole.checkpoint), read(&cut.checkpoint));
        assert_eq!((whole.progress.steps, cut.progress.steps), (4, 4));
        assert_eq!(whole.tensors.len(), cut.tensors.len());
        for (name, values) in &whole.tensors {
            let other = &cut.tensors[name].data;
            let difference = values.data.iter().zip(other).map(|(a, b)| (a - b).abs());
            assert!(difference.fold(0.0, f32::max) < 1e-4, "{name}");
        }
        // Other settings in the same folder are rejected.
        let mut other = job(folder.path(), "cut", 99);
        other.recipe.seed = 9;
        let error = run(&other).unwrap_err();
        assert!(
            matches!(error, TrainError::RecipeMismatch { .. }),
            "{error}"
        );
    }

    #[test]
    fn photos_without_boxes_are_not_enough() {
        let folder = tempfile::tempdir().unwrap();
        let mut job = job(folder.path(), "none", 99);
        job.dataset.photos[0].region = None;
        assert!(matches!(run(&job), Err(TrainError::TooFewPhotos(_))));
    }
}
