//! Teaching a detector.

use super::checkpoint::{CHECKPOINT, DetectorCheckpoint, DetectorCheckpointError};
use super::export::preparation_of;
use super::forward::TorchDetector;
use super::loss::{Wanted, loss};
use super::network::{DetectorNetwork, STRIDES, is_added};
use super::recipe::{DetectorRecipe, DetectorStage};
use super::samples::Samples;
use super::targets::Targets;
use crate::dataset::{Dataset, DatasetError};
use crate::network::Role;
use crate::network::weights::{Weights, WeightsError, select_parameters};
use crate::train::checkpoint::{AVERAGE, averaged};
use crate::train::device;
use crate::train::forward::initial;
use crate::train::optimiser::{AdamW, Movers, Owner};
use crate::train::progress::{JsonLines, Live};
use flukewatch_common::detector::input::DetectorInput;
use flukewatch_common::prepare::PrepareError;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};
use tch::{Device, Tensor};

/// The metrics of a run, a JSON line every hundred steps.
const METRICS: &str = "detector-metrics.jsonl";
/// Steps of one such line.
const LINE: u64 = 100;
/// How often a run is saved.
const SAVE_EVERY: Duration = Duration::from_secs(120);
/// The scale with which a layer begins that an earlier network lacks: small, but not nothing, or a rectifier would pass on no slope.
const FAINT: f32 = 0.1;

/// Why teaching stops.
#[derive(Debug, thiserror::Error)]
pub enum DetectorTrainError {
    /// The photos.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] DetectorCheckpointError),
    /// How pictures are prepared.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The run's folder.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No photo has a box.
    #[error("no photo has a box: a detector learns from tables with the columns x0, y0, x1 and y1")]
    NoBoxes,
    /// The checkpoint was made otherwise.
    #[error(
        "{path} was taught otherwise ({reason}); go on with the same settings, or start anew in another folder"
    )]
    OtherRecipe {
        /// The checkpoint.
        path: PathBuf,
        /// The difference.
        reason: String,
    },
    /// The loss is no number any more.
    #[error(
        "the loss is no number at step {step}; the last checkpoint stands: a smaller rate may help"
    )]
    NotFinite {
        /// From 1.
        step: u64,
    },
    /// A thread of ours is gone.
    #[error(
        "a thread that draws pictures stopped; this is a fault of flukewatch: please report it"
    )]
    Loader,
}

/// What a run needs besides its recipe.
pub struct DetectorJob {
    /// How to teach.
    pub recipe: DetectorRecipe,
    /// By what.
    pub dataset: Dataset,
    /// An earlier training whose weights to begin with, its folder or checkpoint.
    pub begin_with: Option<PathBuf>,
    /// Where checkpoint and metrics go.
    pub folder: PathBuf,
    /// Even where there is a CUDA card.
    pub force_cpu: bool,
    /// Threads of libtorch; 0 for as many as there are cores.
    pub threads: usize,
    /// Threads that draw pictures.
    pub workers: usize,
    /// Asked after each step, with the number of steps taken: whether to save and stop here.
    pub stop: Box<dyn Fn(u64) -> bool>,
    /// Show no bar.
    pub quiet: bool,
}

/// A line of the metrics.
#[derive(Debug, Serialize)]
struct Metrics {
    steps: u64,
    loss: f64,
    pictures_per_second: f64,
}

/// Teaches, or goes on where the folder's checkpoint stands. Gives the checkpoint, and whether all steps were taken.
///
/// # Errors
/// See [`DetectorTrainError`]; what the last checkpoint holds stays.
pub fn run(job: &DetectorJob) -> Result<(PathBuf, bool), DetectorTrainError> {
    let chosen = device::choose(job.force_cpu);
    let threads = device::set_threads(job.threads);
    eprintln!(
        "teaching on {} ({threads} threads), seed {}",
        chosen.why, job.recipe.seed
    );
    let file = |path: &Path| {
        let path = path.to_owned();
        move |source| DetectorTrainError::File { path, source }
    };
    std::fs::create_dir_all(&job.folder).map_err(file(&job.folder))?;
    let photos: Vec<_> = job
        .dataset
        .photos
        .iter()
        .filter(|p| p.region.is_some())
        .cloned()
        .collect();
    if photos.is_empty() {
        return Err(DetectorTrainError::NoBoxes);
    }
    let trained_on = format!("{} photos with boxes and drawn seas", photos.len());
    let path = job.folder.join(CHECKPOINT);
    let saved = if path.exists() {
        let saved = DetectorCheckpoint::read(&path)?;
        if saved.recipe != job.recipe {
            let reason = serde_json::to_string(&saved.recipe).unwrap_or_default();
            return Err(DetectorTrainError::OtherRecipe { path, reason });
        }
        eprintln!("going on after step {}", saved.steps);
        Some(saved)
    } else {
        None
    };
    let start = saved.as_ref().map_or(0, |s| s.steps);
    let begun = match (&saved, &job.begin_with) {
        (None, Some(earlier)) => {
            let tensors = DetectorCheckpoint::read(earlier)?.for_export().tensors;
            begin(tensors, earlier, job.recipe.seed).map_err(DetectorCheckpointError::from)?
        }
        _ => Weights::new(),
    };
    let mut state = State::start(&job.recipe, saved.as_ref(), &begun, &path, chosen.device)?;
    let metrics = job.folder.join(METRICS);
    let mut metrics = JsonLines::open(&metrics).map_err(file(&metrics))?;
    let samples = Arc::new(Samples::new(photos, job.recipe.seed));
    let mut live = Live::new(job.quiet, job.recipe.steps());
    let (mut sum, mut count, mut line_began) = (0.0, 0u64, Instant::now());
    let mut last_saved = Instant::now();
    let mut batches = Batches::start(&samples, &job.recipe, start, job.workers.max(1));
    let mut step = start;
    let mut done = true;
    while let Some((number, stage)) = job.recipe.stage(step) {
        let batch = batches.next()??;
        let value = state.step(&batch, stage, job.recipe.factor(step));
        step += 1;
        if !value.is_finite() {
            live.finish();
            return Err(DetectorTrainError::NotFinite { step });
        }
        live.step(
            step,
            number + 1,
            job.recipe.stages.len(),
            value,
            stage.batch,
        );
        sum += value;
        count += 1;
        if step.is_multiple_of(LINE) {
            let seconds = line_began.elapsed().as_secs_f64().max(1e-9);
            let line = Metrics {
                steps: step,
                loss: sum / count as f64,
                pictures_per_second: count as f64 * stage.batch as f64 / seconds,
            };
            metrics.write(&line).map_err(file(metrics.path()))?;
            live.say(&format!(
                "step {step}: loss {:.3}, {:.0} pictures/s",
                line.loss, line.pictures_per_second
            ));
            (sum, count, line_began) = (0.0, 0, Instant::now());
        }
        let stop = (job.stop)(step);
        if stop || last_saved.elapsed() > SAVE_EVERY {
            state.save(&job.recipe, step, &trained_on, &path)?;
            last_saved = Instant::now();
        }
        if stop && step < job.recipe.steps() {
            done = false;
            break;
        }
    }
    live.finish();
    state.save(&job.recipe, step, &trained_on, &path)?;
    Ok((path, done))
}

/// The weights of an earlier training to begin with. One of a network that was less deep serves, too: layers that it lacks are added to what
/// they are given, and begin so faint that the whole gives what it gave.
fn begin(mut earlier: Weights, path: &Path, seed: u64) -> Result<Weights, WeightsError> {
    let chance = &mut ChaCha8Rng::seed_from_u64(seed);
    let parameters = DetectorNetwork::new().parameters();
    for parameter in &parameters {
        let layer = parameter.name.split_once(".depth.");
        let layer = layer.or_else(|| parameter.name.split_once(".point."));
        let Some((layer, _)) = layer.filter(|(layer, _)| is_added(layer)) else {
            continue;
        };
        if earlier.contains_key(&parameter.name) {
            continue;
        }
        let mut started = initial(parameter, chance);
        if parameter.name == format!("{layer}.point.norm.weight") {
            started.data.fill(FAINT);
        }
        earlier.insert(parameter.name.clone(), started);
    }
    select_parameters(parameters, &earlier, path)
}

/// What changes from step to step.
struct State {
    network: TorchDetector,
    average: TorchDetector,
    adam: AdamW,
    average_share: f64,
    steps: u64,
    device: Device,
}

impl State {
    fn start(
        recipe: &DetectorRecipe,
        saved: Option<&DetectorCheckpoint>,
        begun: &Weights,
        path: &Path,
        device: Device,
    ) -> Result<Self, DetectorTrainError> {
        let weights = saved.map_or(begun, |s| &s.tensors);
        let network = TorchDetector::new(weights, recipe.seed, device, true);
        let begun = match saved {
            Some(saved) => averaged(&saved.tensors),
            None => network.weights(),
        };
        let average = TorchDetector::new(&begun, recipe.seed, device, false);
        let mut adam = AdamW::default();
        for (parameter, tensor) in network.trained() {
            let decay = if parameter.role == Role::Weight {
                recipe.weight_decay
            } else {
                0.0
            };
            adam.add(parameter.name, tensor, recipe.rate, decay, Owner::Shared);
        }
        if let Some(saved) = saved {
            adam.restore(&saved.tensors, saved.steps, device)
                .map_err(|name| DetectorTrainError::OtherRecipe {
                    path: path.to_owned(),
                    reason: format!("it has no fitting tensor '{name}'"),
                })?;
        }
        Ok(Self {
            network,
            average,
            adam,
            average_share: 1.0 - recipe.average,
            steps: saved.map_or(0, |s| s.steps),
            device,
        })
    }

    fn step(&mut self, batch: &Batch, stage: &DetectorStage, factor: f64) -> f64 {
        let (height, width) = (i64::from(stage.height), i64::from(stage.width));
        let images = Tensor::from_slice(&batch.images)
            .reshape([-1, 1, height, width])
            .to_device(self.device);
        let mut uses = vec![];
        let maps = self.network.learn(&images, &mut uses);
        let loss = loss(&maps, &Wanted::of(&batch.targets, self.device));
        self.adam.descend(&loss, uses, factor, Movers::Whole);
        self.steps += 1;
        // At first the average follows closely, or it would keep the start.
        let young = 1.0 - (1 + self.steps) as f64 / (10 + self.steps) as f64;
        self.average
            .follow(&self.network, self.average_share.max(young));
        loss.double_value(&[])
    }

    fn save(
        &self,
        recipe: &DetectorRecipe,
        steps: u64,
        trained_on: &str,
        path: &Path,
    ) -> Result<(), DetectorCheckpointError> {
        let mut tensors = self.network.weights();
        let average = self.average.weights().into_iter();
        tensors.extend(average.map(|(name, v)| (format!("{AVERAGE}{name}"), v)));
        tensors.extend(self.adam.state());
        DetectorCheckpoint {
            recipe: recipe.clone(),
            steps,
            trained_on: trained_on.to_owned(),
            tensors,
        }
        .write(path)
    }
}

/// Numbers for one step.
struct Batch {
    images: Vec<f32>,
    targets: Vec<Targets>,
}

type Made = Result<Batch, DetectorTrainError>;

/// Batches made ahead of their use by threads of their own, in order; dropping it ends them.
struct Batches {
    queues: Vec<Receiver<Made>>,
    next: usize,
}

impl Batches {
    fn start(samples: &Arc<Samples>, recipe: &DetectorRecipe, from: u64, workers: usize) -> Self {
        let queues = (0..workers)
            .map(|worker| {
                let (send, receive) = sync_channel(2);
                let (samples, recipe) = (samples.clone(), recipe.clone());
                std::thread::spawn(move || {
                    let mut step = from + worker as u64;
                    while let Some((number, stage)) = recipe.stage(step) {
                        let made = batch(&samples, number as u32, stage, step);
                        let failed = made.is_err();
                        if send.send(made).is_err() || failed {
                            break;
                        }
                        step += workers as u64;
                    }
                });
                receive
            })
            .collect();
        Self { queues, next: 0 }
    }

    fn next(&mut self) -> Result<Made, DetectorTrainError> {
        let queue = &self.queues[self.next];
        self.next = (self.next + 1) % self.queues.len();
        queue.recv().map_err(|_| DetectorTrainError::Loader)
    }
}

/// One batch; the same for the same seed and step.
fn batch(samples: &Samples, number: u32, stage: &DetectorStage, step: u64) -> Made {
    let mut input = DetectorInput::new(&preparation_of(stage.height, stage.width))?;
    let (mut images, mut targets) = (vec![], vec![]);
    for i in 0..stage.batch {
        let picture = step as u32 * stage.batch as u32 + i as u32;
        let sample = samples.make(number, picture, (stage.width, stage.height))?;
        input.fill(&sample.picture)?;
        images.extend(input.numbers().iter());
        targets.push(Targets::of(
            &sample.flukes,
            stage.width,
            stage.height,
            &STRIDES,
        ));
    }
    Ok(Batch { images, targets })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::LabelledPhoto;
    use flukewatch_common::pixel_box::PixelBox;
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
            batch: 2,
            height: 64,
            width: 96,
        };
        DetectorJob {
            recipe: DetectorRecipe {
                stages: vec![stage(2), stage(2)],
                ..DetectorRecipe::of_steps(3, 10)
            },
            dataset: Dataset {
                photos: vec![photo],
            },
            begin_with: None,
            folder: folder.join(name),
            force_cpu: true,
            threads: 1,
            workers: 2,
            stop: Box::new(move |steps| steps >= stop_after),
            quiet: true,
        }
    }

    #[test]
    fn a_run_that_was_cut_goes_on_as_if_it_had_not_been() {
        let folder = tempfile::tempdir().unwrap();
        let (whole, done) = run(&job(folder.path(), "whole", 99)).unwrap();
        assert!(done);
        let (cut, done) = run(&job(folder.path(), "cut", 1)).unwrap();
        assert!(!done);
        assert_eq!(DetectorCheckpoint::read(&cut).unwrap().steps, 1);
        let (cut, done) = run(&job(folder.path(), "cut", 99)).unwrap();
        assert!(done);
        let read = |path: &Path| DetectorCheckpoint::read(path).unwrap();
        let (whole, cut) = (read(&whole), read(&cut));
        assert_eq!((whole.steps, cut.steps), (4, 4));
        assert_eq!(whole.tensors.len(), cut.tensors.len());
        for (name, values) in &whole.tensors {
            let other = &cut.tensors[name].data;
            let apart = values.data.iter().zip(other).map(|(a, b)| (a - b).abs());
            assert!(apart.fold(0.0, f32::max) < 1e-4, "{name}");
        }
        // What was taught is what is exported.
        let (info, model) =
            crate::detector::export::export(&folder.path().join("cut"), 0.3).unwrap();
        assert!(info.model.trained_on.contains("in 4 steps") && model.len() < 1_000_000);
        // Other settings in the same folder are refused.
        let mut other = job(folder.path(), "cut", 99);
        other.recipe.seed = 9;
        let error = run(&other).unwrap_err().to_string();
        assert!(error.contains("taught otherwise"), "{error}");
    }

    #[test]
    fn photos_without_boxes_teach_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut job = job(folder.path(), "none", 99);
        job.dataset.photos[0].region = None;
        assert!(matches!(run(&job), Err(DetectorTrainError::NoBoxes)));
    }
}
