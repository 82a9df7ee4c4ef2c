//! The subcommand `flukewatch train-detector`.

use super::recipe::DetectorRecipe;
use super::run::{DetectorJob, run as teach};
use crate::dataset::Dataset;
use crate::train::memory;
use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Teach a detector to find flukes in a camera's frames, from photos with boxes.
///
/// It learns from the photos as they are, from their flukes set on drawn seas and on other photos' water, from drawn flukes, and from
/// much that is none: waves, spray, birds, boats, dorsal fins, backs, blows, and patches of water set as flukes are.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch train-detector --data photos.csv --run runs/detector
  flukewatch train-detector --data photos.csv --run runs/detector        (again: goes on where it was cut)

Ctrl-C saves and says how to go on. The run's folder holds detector.safetensors (made anew every two minutes) and \
detector-metrics.jsonl (a line every hundred steps).

Exit codes: 0 done, 1 failed, 2 wrong arguments, 130 interrupted and saved.

Next: flukewatch bundle-detector my.flukebundle --run runs/detector --out my.flukebundle
      flukewatch evaluate-detector my.flukebundle --data other-photos.csv")]
pub struct TrainDetectorArgs {
    /// Photos with boxes: a CSV (`image,identity,x0,y0,x1,y1`)
    #[arg(long, value_name = "CSV")]
    data: PathBuf,
    /// The photos, if not in the folder beside the CSV that bears its name
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,
    /// Folder of the run; one that holds a checkpoint is gone on with
    #[arg(long = "run", value_name = "DIR")]
    folder: PathBuf,
    /// Begin with the weights of an earlier training, its folder or checkpoint
    #[arg(long, value_name = "RUN")]
    begin_with: Option<PathBuf>,
    /// Steps, of 16 pieces of frames each, the last fifth of 6 whole frames
    #[arg(long, default_value_t = 16000, value_name = "N", value_parser = clap::value_parser!(u64).range(10..=10_000_000))]
    steps: u64,
    /// Every draw follows from this number
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Threads that compute; 0 for as many as there are cores
    #[arg(long, default_value_t = 0, value_name = "N")]
    threads: usize,
    /// Threads that draw pictures
    #[arg(long, default_value_t = 1, value_name = "N")]
    workers: usize,
    /// Use the CPU even where there is a CUDA card
    #[arg(long)]
    cpu: bool,
    /// Show no progress bar
    #[arg(long)]
    quiet: bool,
}

/// Runs the command.
///
/// # Errors
/// What stops it, for people.
pub fn run(args: &TrainDetectorArgs) -> anyhow::Result<ExitCode> {
    memory::keep_between_steps();
    let dataset = Dataset::open(&args.data, args.photos.as_deref())?;
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The second one ends the program at once, in case the first cannot be heeded.
        flag::register_conditional_default(signal, interrupted.clone())?;
        flag::register(signal, interrupted.clone())?;
    }
    let job = DetectorJob {
        recipe: DetectorRecipe::of_steps(args.seed, args.steps),
        dataset,
        begin_with: args.begin_with.clone(),
        folder: args.folder.clone(),
        force_cpu: args.cpu,
        threads: args.threads,
        workers: args.workers,
        stop: Box::new(move |_| interrupted.load(Ordering::Relaxed)),
        quiet: args.quiet,
    };
    let (checkpoint, done) = teach(&job)?;
    println!("{}", checkpoint.display());
    if !done {
        eprintln!("interrupted and saved; the same command goes on from here");
        return Ok(ExitCode::from(130));
    }
    Ok(ExitCode::SUCCESS)
}
