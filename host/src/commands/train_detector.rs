//! `flukewatch train-detector`.

use super::arguments::DeviceArgs;
use super::data::TableArgs;
use super::labelled_data::SkipBroken;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Train a detector of flukes in camera frames, on photos with boxes.
///
/// It is trained on the photos as they are, on their flukes composed onto synthetic seas and other
/// photos' water, on synthetic flukes, and on many distractors: waves, spray, birds, boats, dorsal fins,
/// backs, blows, and patches of water composed in the same way; and on photos of real seas, if you have them.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch train-detector --data photos.csv --run runs/detector
  flukewatch train-detector --data photos.csv --run runs/detector        (again: resumes)
  flukewatch train-detector --data photos.csv --masks masks/ --seas stills/ --run runs/real

Ctrl-C saves and ends. The run's folder holds detector.safetensors (replaced every two minutes) and \
detector-metrics.jsonl (one line per hundred steps).

Exit codes: 0 done, 1 failure, 2 invalid arguments, 130 interrupted and saved.

Next: flukewatch bundle-detector my.flukebundle --run runs/detector --out my.flukebundle
      flukewatch evaluate-detector my.flukebundle --data other-photos.csv")]
pub(crate) struct TrainDetectorArgs {
    /// Photos with boxes: a CSV (`image,identity,x0,y0,x1,y1`)
    #[arg(long, value_name = "CSV")]
    data: PathBuf,
    /// Folder with the photos [default: the folder next to the CSV with its name]
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,
    #[command(flatten)]
    table: TableArgs,
    /// Photos of real seas without flukes: three in ten pictures show them, most without a fluke
    #[arg(long, value_name = "DIR")]
    seas: Option<PathBuf>,
    /// Masks of flukes, by which they are cut out of their photos: files of the photos' names that end in .png,
    /// white where the fluke is. Other flukes are cut out by their boxes
    #[arg(long, value_name = "DIR")]
    masks: Option<PathBuf>,
    /// Folder of the run; a run with a checkpoint is resumed
    #[arg(long = "run", value_name = "DIR")]
    folder: PathBuf,
    /// Start from the weights of a trained detector: the folder of a run, or a checkpoint
    #[arg(long, value_name = "RUN")]
    init: Option<PathBuf>,
    /// Optimiser steps, of 16 pieces of frames each; in the last fifth, of 6 whole frames
    #[arg(long, default_value_t = 16000, value_name = "N", value_parser = clap::value_parser!(u64).range(10..=10_000_000))]
    steps: u64,
    /// Peak learning rate [default: 0.003; with --init 0.001]
    #[arg(long, value_name = "RATE", value_parser = learning_rate)]
    lr: Option<f64>,
    /// Seed of everything random
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Threads that train; 0 for the number of cores
    #[arg(long, default_value_t = 0, value_name = "N")]
    threads: usize,
    /// Threads that prepare batches
    #[arg(long, default_value_t = 1, value_name = "N")]
    workers: usize,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    broken: SkipBroken,
    /// Hide the progress bar
    #[arg(long)]
    quiet: bool,
}

fn learning_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1.0 => Ok(rate),
        _ => Err("expected a rate above 0 and at most 1".into()),
    }
}

#[cfg(feature = "train")]
pub(crate) fn run(args: &TrainDetectorArgs) -> anyhow::Result<ExitCode> {
    use super::interrupt;
    use super::labelled_data::LabelledData;
    use flukewatch_synth::sea::cast::Masks;
    use flukewatch_synth::sea::still::RealSeas;
    use flukewatch_train::detector::recipe::{
        CONTINUED_LEARNING_RATE, DetectorRecipe, LEARNING_RATE,
    };
    use flukewatch_train::detector::run::{DetectorJob, run};
    use flukewatch_train::detector::samples::Ingredients;

    let mut data = LabelledData::open(&args.table, &args.data, args.photos.as_deref())?;
    data.check(args.broken, args.quiet)?;
    let seas = match &args.seas {
        None => None,
        Some(folder) => {
            let mut seas = LabelledData::open_unlabelled(folder)?;
            seas.check(args.broken, args.quiet)?;
            Some(RealSeas::of(seas.dataset.photos.clone()))
        }
    };
    let outcome = run(&DetectorJob {
        recipe: DetectorRecipe::of_steps(
            args.seed,
            args.steps,
            args.lr.unwrap_or(if args.init.is_some() {
                CONTINUED_LEARNING_RATE
            } else {
                LEARNING_RATE
            }),
        ),
        dataset: data.dataset.clone(),
        ingredients: Ingredients {
            seas,
            masks: args.masks.as_deref().map(Masks::new),
        },
        init: args.init.clone(),
        folder: args.folder.clone(),
        device: args.device.choice(),
        threads: args.threads,
        workers: args.workers,
        stop: interrupt::flag()?,
        quiet: args.quiet,
    })?;
    println!("{}", outcome.checkpoint.display());
    Ok(if outcome.interrupted {
        interrupt::exit_code()
    } else {
        ExitCode::SUCCESS
    })
}

#[cfg(not(feature = "train"))]
pub(crate) fn run(_: &TrainDetectorArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!(flukewatch_train::MISSING)
}
