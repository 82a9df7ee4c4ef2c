//! `flukewatch bundle-training-set`: what the model of a bundle was trained on.

use super::data::TableArgs;
use super::labelled_data::LabelledData;
use anyhow::{Context, bail};
use clap::Args;
use flukewatch_common::bundle::{Bundle, TrainingSet};
use flukewatch_export::training_set;
use flukewatch_train::embedding::checkpoint::EmbeddingCheckpoint;
use std::path::PathBuf;

/// Write into a bundle what its model was trained on, as hashes, for a model that was trained before
/// bundles recorded it or by another program.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch bundle-training-set other.flukebundle --data train.csv --out other.flukebundle
      all named photos of the table
  flukewatch bundle-training-set old.flukebundle --data train.csv --checkpoint old.safetensors --out old.flukebundle
      those that the checkpoint was trained on: without the validation identities that its recipe draws

flukewatch export writes it by itself. Photos and names cannot be read from the bundle: it holds salted hashes. flukewatch evaluate, \
calibrate, enroll and ensemble compare their photos with them. The bundle gets a new id.")]
pub(crate) struct BundleTrainingSetArgs {
    /// Bundle to change; it is not overwritten unless --out names it
    bundle: PathBuf,
    /// Photos of the training: a CSV, or a folder with a folder per whale
    #[arg(long, value_name = "CSV|DIR")]
    data: PathBuf,
    /// Folder with the photos of the CSV [default: the folder next to it with its name]
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,
    #[command(flatten)]
    table: TableArgs,
    /// Checkpoint of a run of flukewatch train without run.json: leave out the validation identities
    /// that its recipe draws from the table
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Bundle to write: a single file if it ends in .flukebundle, else a folder
    #[arg(long, value_name = "BUNDLE")]
    out: PathBuf,
}

pub(crate) fn run(args: &BundleTrainingSetArgs) -> anyhow::Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    let data = LabelledData::open(&args.table, &args.data, args.photos.as_deref())?;
    let set = match &args.checkpoint {
        Some(path) => {
            let checkpoint = EmbeddingCheckpoint::read(path)?;
            training_set::of_checkpoint(&checkpoint, &data.dataset, &bundle.model)
                .with_context(|| format!("{} and {}", path.display(), args.data.display()))?
        }
        None => training_set::of_named(&data.dataset, &bundle.model)?,
    };
    if set.photos() == 0 {
        bail!("{}: no photo has the name of a whale", args.data.display());
    }
    let (photos, whales) = (set.photos(), set.whales());
    let bytes = TrainingSet::to_bytes(&set).len();
    let bundle = bundle.with_training_set(Some(set))?;
    bundle.save(&args.out)?;
    println!(
        "wrote {} (bundle {}, trained on {photos} photos of {whales} whales, {bytes} bytes)",
        args.out.display(),
        bundle.id()
    );
    Ok(())
}
