//! `flukewatch train`.

use super::recipe::Recipe;
use super::run::{self, Job};
use crate::dataset::Dataset;
use clap::Args;
use std::path::PathBuf;

/// Train an embedding network on labelled photos.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch train --data photos.csv --weights efficientnet_lite0.safetensors --run runs/first
  flukewatch train --data photos.csv --weights w.safetensors --run runs/short --set 'stages=[{epochs=2,height=96,width=192}]'
  flukewatch train --data photos.csv --run runs/first        (again: goes on where it was cut)

The run's folder holds checkpoint.safetensors (made anew after each epoch) and metrics.jsonl (a line an epoch).
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
    /// Settings as TOML; what it leaves out keeps its default
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// A setting that wins over the recipe, as key=value (may be given again)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// End after this epoch, though the recipe goes on; the same command without it goes on later
    #[arg(long, value_name = "N")]
    until_epoch: Option<usize>,
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
pub fn run(args: &TrainArgs) -> anyhow::Result<()> {
    let recipe = Recipe::read(args.recipe.as_deref(), &args.overrides)?;
    let dataset = Dataset::open(&args.data, args.photos.as_deref())?;
    let job = Job {
        recipe,
        dataset,
        weights: args.weights.clone(),
        folder: args.folder.clone(),
        force_cpu: args.cpu,
        until_epoch: args.until_epoch,
        quiet: args.quiet,
    };
    let checkpoint = run::run(&job)?;
    println!("{}", checkpoint.display());
    Ok(())
}
