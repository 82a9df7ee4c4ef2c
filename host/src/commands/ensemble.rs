//! `flukewatch ensemble`: several models together.

mod apply;
mod classify;
mod concat;

use crate::commands::training_photos::report;
use clap::{Args, Subcommand};
use flukewatch_common::bundle::Bundle;
use flukewatch_dataset::LabelledPhoto;
use flukewatch_eval::training_overlap::TrainingOverlap;
use std::path::{Path, PathBuf};

/// Use several models together: as one bundle, or for a classifier of known whales
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch ensemble concat first second --data my-whales.csv --out both.flukebundle
  flukewatch ensemble classify --train my-whales.csv --test today.csv --submission guesses.csv --out whales.safetensors first second
  flukewatch ensemble apply whales.safetensors tomorrow.csv --submission guesses.csv first second

concat puts embeddings side by side, for a boat that can run more than one model. classify trains a softmax over the whales of a \
table, for a closed list of whales and for contests; a new whale needs a new training.")]
pub(crate) struct EnsembleArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Concat(concat::ConcatArgs),
    Classify(classify::ClassifyArgs),
    Apply(apply::ApplyArgs),
}

pub(super) fn run(args: &EnsembleArgs) -> anyhow::Result<()> {
    match &args.command {
        Command::Concat(args) => concat::run(args),
        Command::Classify(args) => classify::run(args),
        Command::Apply(args) => apply::run(args),
    }
}

/// What each bundle's model was trained on of `photos`, reported on stderr.
fn overlaps(
    bundles: &[Bundle],
    photos: &[LabelledPhoto],
    data: &Path,
) -> anyhow::Result<Vec<Option<TrainingOverlap>>> {
    bundles
        .iter()
        .map(|bundle| report(bundle, photos, data))
        .collect()
}

/// Whether a model was trained on some of the photos.
fn are_misleading(overlaps: &[Option<TrainingOverlap>]) -> bool {
    overlaps
        .iter()
        .flatten()
        .any(TrainingOverlap::is_misleading)
}

fn open_all(paths: &[PathBuf]) -> anyhow::Result<Vec<Bundle>> {
    Ok(paths
        .iter()
        .map(|path| Bundle::open(path))
        .collect::<Result<_, _>>()?)
}
