//! `flukewatch train`.

use super::recipe::Recipe;
use super::run::{self, Job, Outcome};
use super::schedule;
use super::split::Split;
use crate::dataset::Dataset;
use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Train an embedding network on labelled photos.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch train --data photos.csv --weights efficientnet_lite0.safetensors --run runs/first
  flukewatch train --data photos.csv --weights w.safetensors --run runs/short --set 'stages=[{epochs=2,height=96,width=192}]'
  flukewatch train --data photos.csv --run runs/first        (again: goes on where it was cut)
  flukewatch train --data photos.csv --preset paper-dnc --set divide.learners=8 --run runs/dnc --dry-run

Ctrl-C saves and says how to go on. The run's folder holds checkpoint.safetensors (made anew after each epoch and every few \
minutes), metrics.jsonl (a line an epoch), clusters.jsonl (a line a clustering, of a divided embedding) and, with patience set, \
best.safetensors. Presets: edge-lite0, kaggle-arcface, paper-dnc, quick; losses and their settings: flukewatch losses.

Exit codes: 0 done, 1 failed, 2 wrong arguments, 130 interrupted and saved.

Next: flukewatch export runs/first --calibrate photos.csv --out my.flukebundle")]
pub struct TrainArgs {
    /// Labelled photos: a CSV (`image,identity[,x0,y0,x1,y1]` or `Image,Id`) or a folder with a folder for each whale
    #[arg(long, value_name = "CSV|DIR")]
    data: PathBuf,
    /// The photos of the CSV, if not in the folder beside it that bears its name
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,
    /// Pretrained weights of the backbone (safetensors); without, it starts from chance
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Folder of the run; one that holds a checkpoint is gone on with
    #[arg(long = "run", value_name = "DIR")]
    folder: PathBuf,
    /// A ready recipe to begin with
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Settings as TOML, over the preset; what it leaves out keeps its default
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// A setting that wins over the recipe, as key=value (may be given again)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// End after this epoch, though the recipe goes on; the same command without it goes on later
    #[arg(long, value_name = "N")]
    until_epoch: Option<usize>,
    /// Print the recipe and what each epoch would do, and end
    #[arg(long)]
    dry_run: bool,
    /// Use the CPU even where there is a CUDA card
    #[arg(long)]
    cpu: bool,
    /// Show no progress bars
    #[arg(long)]
    quiet: bool,
}

/// Runs the command.
///
/// # Errors
/// What stops the training, for people.
pub fn run(args: &TrainArgs) -> anyhow::Result<ExitCode> {
    let recipe = Recipe::read(
        args.preset.as_deref(),
        args.recipe.as_deref(),
        &args.overrides,
    )?;
    let dataset = Dataset::open(&args.data, args.photos.as_deref())?;
    if args.dry_run {
        let split = Split::of(&dataset, recipe.validation_whales, recipe.seed);
        let photos: usize = split.train.iter().map(|(_, photos)| photos.len()).sum();
        println!("{}", toml::to_string(&recipe)?);
        print!(
            "{}",
            schedule::table(&recipe, (photos / recipe.batch).max(1))
        );
        return Ok(ExitCode::SUCCESS);
    }
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The second one ends the program at once, in case the first cannot be heeded.
        flag::register_conditional_default(signal, interrupted.clone())?;
        flag::register(signal, interrupted.clone())?;
    }
    let job = Job {
        recipe,
        dataset,
        weights: args.weights.clone(),
        folder: args.folder.clone(),
        force_cpu: args.cpu,
        until_epoch: args.until_epoch,
        stop: Box::new(move |_| interrupted.load(Ordering::Relaxed)),
        quiet: args.quiet,
    };
    let outcome = run::run(&job)?;
    println!("{}", outcome.checkpoint().display());
    if let Outcome::Interrupted(_) = outcome {
        eprintln!("interrupted and saved; the same command goes on from here");
        return Ok(ExitCode::from(130));
    }
    Ok(ExitCode::SUCCESS)
}
