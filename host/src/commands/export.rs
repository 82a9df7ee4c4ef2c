//! `flukewatch export`: a trained network as a bundle.

use super::data::TableArgs;
use super::labelled_data::{LabelledData, SkipBroken};
use anyhow::Context;
use clap::Args;
use flukewatch_common::bundle::Precision;
use flukewatch_export::embedding::{ExportSettings, export};
use flukewatch_train::embedding::checkpoint::EmbeddingCheckpoint;
use flukewatch_train::embedding::run_record::{self, RunRecord};
use std::path::PathBuf;

/// Export a trained network as a bundle: normalisation folded, ONNX, int8.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  flukewatch export runs/first --data photos.csv --out my-model.flukebundle

Pass the training table: 256 of its photos, evenly spread, set the quantisation ranges of int8, and \
the run's validation identities, if any, set the thresholds of the decision rule. Which those are is read from \
run.json next to the checkpoint; without that file no thresholds are fitted. The bundle's catalogue is \
empty; fill it with flukewatch enroll.")]
pub(crate) struct ExportArgs {
    /// Folder of a run, or a checkpoint
    run: PathBuf,
    /// Photos for quantisation ranges and decision rule: a CSV, or a folder with a folder per whale
    #[arg(long, value_name = "CSV|DIR")]
    data: PathBuf,
    /// Folder with the photos of the CSV [default: the folder next to it with its name]
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,
    #[command(flatten)]
    table: TableArgs,
    /// Bundle to write: a single file if it ends in .flukebundle, else a folder
    #[arg(long, value_name = "BUNDLE")]
    out: PathBuf,
    /// Name of the bundle [default: the last part of --out]
    #[arg(long)]
    name: Option<String>,
    /// Keep 32-bit floats instead of int8
    #[arg(long)]
    float: bool,
    /// Embed only the plain view, even if mirrored flukes were trained as new identities: half the
    /// work, slightly lower recall
    #[arg(long)]
    plain: bool,
    /// Model card, a Markdown file [default: a short one from the run]
    #[arg(long, value_name = "FILE")]
    card: Option<PathBuf>,
    #[command(flatten)]
    broken: SkipBroken,
    /// Also write the trained weights, without the optimiser's state, for fine-tuning
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
}

pub(crate) fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let path = EmbeddingCheckpoint::find(&args.run);
    let checkpoint = EmbeddingCheckpoint::read(&path)?.for_export();
    let record = RunRecord::of_checkpoint(&path, &checkpoint.recipe)?;
    let record_path = path.with_file_name(run_record::FILE);
    match &record {
        Some(record) => eprintln!(
            "split from {}: {} whales trained, {} validated",
            record_path.display(),
            record.split.train.len(),
            record.split.validation.len()
        ),
        None => eprintln!(
            "no {}: the split of training is unknown, and thresholds are not fitted",
            record_path.display()
        ),
    }
    let (table, photos) = (&args.table, args.photos.as_deref());
    let (mut data, _) = LabelledData::open_for_training(table, &args.data, photos)?;
    data.check(args.broken, true)?;
    let card = match &args.card {
        Some(path) => {
            Some(std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?)
        }
        None => None,
    };
    let stem = args.out.file_stem().unwrap_or(args.out.as_os_str());
    let settings = ExportSettings {
        name: args
            .name
            .clone()
            .unwrap_or_else(|| stem.to_string_lossy().into_owned()),
        precision: if args.float {
            Precision::F32
        } else {
            Precision::Int8
        },
        plain: args.plain,
        card,
    };
    let bundle = export(&checkpoint, record.as_ref(), &data.dataset, &settings)?;
    bundle.save(&args.out)?;
    if let Some(path) = &args.weights {
        checkpoint.write(path)?;
        println!("wrote {}", path.display());
    }
    println!(
        "wrote {} (bundle {}, model {} bytes)",
        args.out.display(),
        bundle.id(),
        bundle.model.len()
    );
    Ok(())
}
