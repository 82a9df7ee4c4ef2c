//! `flukewatch train`: an embedding.

use super::arguments::DeviceArgs;
use super::data::TableArgs;
use super::labelled_data::{LabelledData, SkipBroken};
use clap::Args;
use flukewatch_train::embedding::phase;
use flukewatch_train::embedding::recipe::{Recipe, RecipeError};
use flukewatch_train::embedding::split::split;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

/// Train an embedding network on labelled photos.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch train --data photos.csv --weights efficientnet_lite0.safetensors --run runs/first
  flukewatch train --data photos.csv --weights w.safetensors --run runs/short \\
                   --set 'stages=[{epochs=2,height=96,width=192}]'
  flukewatch train --data photos.csv --run runs/first        (again: resumes)
  flukewatch train --data photos.csv --preset paper-dnc --set divide.learners=8 --run runs/dnc --dry-run

Ctrl-C saves and ends. The run's folder holds run.json (which whales and photos train and which validate, the \
table's hash, versions, seed, times), checkpoint.safetensors (replaced after each epoch and \
every few minutes), crops (parts of the photos, which may be deleted), metrics.jsonl (one line per epoch), steps.jsonl (one line per step), \
events.out.tfevents.* (for tensorboard --logdir), clusters.jsonl (one line per clustering, of a \
divided embedding) and, with patience set, best.safetensors. A run is resumed only with the table that it \
was started with. Of a table with the column 'split', the lines 'train' train, the lines 'validation' validate \
(without any, the recipe's validation_identities are drawn from the training lines), and the lines 'test' are not read. Presets: dnc-bf16, edge-lite0, \
kaggle-arcface, paper-dnc, quick. Losses and their settings: flukewatch losses.

Exit codes: 0 done, 1 failure, 2 invalid arguments, 130 interrupted and saved.

Next: flukewatch export runs/first --data photos.csv --out my.flukebundle")]
pub(crate) struct TrainArgs {
    /// Labelled photos: a CSV (columns: flukewatch --help), or a folder with a folder per whale
    #[arg(long, value_name = "CSV|DIR")]
    data: PathBuf,
    /// Folder with the photos of the CSV [default: the folder next to it with its name]
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,
    #[command(flatten)]
    table: TableArgs,
    /// Pretrained weights of the backbone, safetensors [default: random initial weights]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Folder of the run; a run with a checkpoint is resumed
    #[arg(long = "run", value_name = "DIR")]
    folder: PathBuf,
    /// Folder of the cached crops, which runs may share [default: crops in the run's folder]
    #[arg(long, value_name = "DIR")]
    crops: Option<PathBuf>,
    /// Built-in recipe
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Recipe, a TOML file that overrides the preset; what it leaves out keeps its default
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// Override a setting of the recipe; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Stop after this epoch; the same command without it resumes
    #[arg(long, value_name = "N")]
    until_epoch: Option<usize>,
    /// Print the recipe and what each epoch would do
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    broken: SkipBroken,
    /// Hide progress bars
    #[arg(long)]
    quiet: bool,
}

pub(crate) fn run(args: &TrainArgs) -> anyhow::Result<ExitCode> {
    if !args.dry_run {
        return train(args);
    }
    let recipe = recipe(args)?;
    let (data, validation) = data(args)?;
    let split = split(&data.dataset, validation.as_ref(), &recipe);
    let photos: usize = split.train.iter().map(|(_, photos)| photos.len()).sum();
    println!("{}", toml::to_string(&recipe)?);
    let steps = recipe.steps_of((photos / recipe.batch_size).max(1));
    print!("{}", phase::table(&recipe, steps));
    Ok(ExitCode::SUCCESS)
}

fn recipe(args: &TrainArgs) -> Result<Recipe, RecipeError> {
    Recipe::read(
        args.preset.as_deref(),
        args.recipe.as_deref(),
        &args.overrides,
    )
}

fn data(args: &TrainArgs) -> anyhow::Result<(LabelledData, Option<BTreeSet<String>>)> {
    LabelledData::open_for_training(&args.table, &args.data, args.photos.as_deref())
}

#[cfg(feature = "train")]
fn train(args: &TrainArgs) -> anyhow::Result<ExitCode> {
    use super::interrupt;
    use flukewatch_common::clock::SystemClock;
    use flukewatch_train::embedding::job::{Job, Outcome, Provenance};
    use flukewatch_train::embedding::run::run;

    let recipe = recipe(args)?;
    let (mut data, validation) = data(args)?;
    data.check(args.broken, args.quiet)?;
    let outcome = run(&Job {
        recipe,
        dataset: data.dataset.clone(),
        validation,
        weights: args.weights.clone(),
        folder: args.folder.clone(),
        device: args.device.choice(),
        crops: args.crops.clone(),
        until_epoch: args.until_epoch,
        stop: interrupt::flag()?,
        quiet: args.quiet,
        provenance: Provenance {
            clock: std::sync::Arc::new(SystemClock),
            revision: option_env!("FLUKEWATCH_REVISION").map(str::to_owned),
        },
    })?;
    println!("{}", outcome.checkpoint().display());
    Ok(match outcome {
        Outcome::Interrupted(_) => interrupt::exit_code(),
        Outcome::Done(_) | Outcome::StoppedEarly(_) => ExitCode::SUCCESS,
    })
}

#[cfg(not(feature = "train"))]
fn train(_: &TrainArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!(flukewatch_train::MISSING)
}
