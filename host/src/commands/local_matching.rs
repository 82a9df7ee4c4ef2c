//! `flukewatch local-matching`: local matching for a bundle.

use super::data::TableArgs;
use super::labelled_data::{LabelledData, SkipBroken};
use anyhow::Context;
use clap::Args;
use flukewatch_common::bundle::Bundle;
use flukewatch_export::local_matching::{FineSettings, LocalMatchingSettings, add_local_matching};
use std::path::PathBuf;

/// Add local matching to a bundle: compare the best candidates location by location.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch local-matching my-model.flukebundle --data photos.csv --out my-model-local.flukebundle
  flukewatch local-matching my-model.flukebundle --data photos.csv --fine --out my-model-station.flukebundle
      compare on a finer grid as well: more whales are found, but comparing takes ten times as long, and a photo 20 kB instead of 7

The model gets a second output, descriptors of the locations of a photo; its embeddings do not change. The bundle must have no enrolled \
whales: enrolling stores the descriptors of their photos. Pass the training table: the projection of the descriptors is fitted on some of \
its photos. The model must end in average pooling and a linear layer. Fit the decision rule again afterwards, with flukewatch enroll or \
flukewatch calibrate: scores change.")]
pub(crate) struct LocalMatchingArgs {
    /// Bundle to change; it is not overwritten
    bundle: PathBuf,
    /// Photos to fit the projection and the score on: a CSV, or a folder with a folder per whale
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
    /// Number of values of a location's descriptor
    #[arg(long, default_value_t = 128, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    dimension: u16,
    /// Compare on a fine grid as well, for a station or a workstation
    #[arg(long)]
    fine: bool,
    /// Seed of the projection
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// New model card, a Markdown file [default: the bundle's]
    #[arg(long, value_name = "FILE")]
    card: Option<PathBuf>,
    #[command(flatten)]
    broken: SkipBroken,
    /// Show no progress bar
    #[arg(long)]
    quiet: bool,
}

pub(crate) fn run(args: &LocalMatchingArgs) -> anyhow::Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    let mut data = LabelledData::open(&args.table, &args.data, args.photos.as_deref())?;
    data.check(args.broken, args.quiet)?;
    let settings = LocalMatchingSettings {
        dimension: usize::from(args.dimension),
        fine: args.fine.then(FineSettings::default),
        seed: args.seed,
        quiet: args.quiet,
        ..LocalMatchingSettings::default()
    };
    let before = bundle.model.len();
    let added = add_local_matching(bundle, &data.dataset, &settings)
        .with_context(|| args.bundle.display().to_string())?;
    let mut bundle = added.bundle;
    if let Some(path) = &args.card {
        let card = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        bundle = bundle.with_card(card)?;
    }
    bundle.save(&args.out)?;
    if let Some(info) = &bundle.manifest.local {
        let [mean, lowest] = added.cosine_to_floats;
        println!(
            "descriptors: {} x {} locations of {} values; cosine to floats {mean:.4}, lowest {lowest:.4}",
            info.layout.height, info.layout.width, info.layout.dimension
        );
        if let Some(fine) = info.layout.fine_grid() {
            println!(
                "fine grid: {} x {} locations of {} values",
                fine.height, fine.width, fine.dimension
            );
        }
        let score = info.score;
        println!(
            "score: cosine + {:.3} (similarity - norms - {:.3} - {:.3} cosine), typical norm {:.3}",
            score.weight, score.intercept, score.slope, score.typical_norm
        );
    }
    println!(
        "wrote {} (bundle {}, model {} bytes, before {before})",
        args.out.display(),
        bundle.id(),
        bundle.model.len()
    );
    Ok(())
}
