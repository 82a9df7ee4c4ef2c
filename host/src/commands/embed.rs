//! `flukewatch embed`: write the embeddings of photos to a file.

use super::data::TableArgs;
use super::labelled_data::{LabelledData, SkipBroken};
use clap::Args;
use flukewatch_common::bundle::Bundle;
use flukewatch_eval::audit::near_duplicates::first_copies_by_name;
use flukewatch_eval::embed;
use flukewatch_eval::embeddings_file::{self, Format, rows_file};
use std::path::PathBuf;

/// Compute the embeddings of photos and write them to a file
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch embed models/humpback-lite0 my-whales.csv --out my-whales.npy
      an array for NumPy, and my-whales.rows.csv with the photo of each row
  flukewatch embed models/humpback-lite0 my-whales.csv --out my-whales.parquet
      one row per photo, e.g. for pandas.read_parquet

The extension of --out chooses the format: .npy, .parquet, .csv or .safetensors. The columns are image, identity (new_whale for a \
whale without a name), encounter, date, x0, y0, x1, y1 (the box, on the upright photo) and the embedding: e0, e1, ... in CSV, a list \
'embedding' in Parquet. Each embedding has length 1, so that a dot product is a cosine. Photos are embedded by the same engine as on \
the boat. flukewatch evaluate --embeddings FILE --data DATA reads such files. All about them: docs/embeddings.md.")]
pub(crate) struct EmbedArgs {
    /// Bundle: a folder or a .flukebundle file
    bundle: PathBuf,
    /// Labelled photos: a CSV (columns: flukewatch --help), or a folder with one folder per whale
    data: PathBuf,
    /// Folder of the photos of the CSV [default: the folder next to the CSV with the same name]
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,
    #[command(flatten)]
    table: TableArgs,
    /// File to write: .npy, .parquet, .csv or .safetensors
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    broken: SkipBroken,
    /// Show no progress bar
    #[arg(long)]
    quiet: bool,
}

pub(crate) fn run(args: &EmbedArgs) -> anyhow::Result<()> {
    // Before the work.
    let format = Format::of(&args.out)?;
    let bundle = Bundle::open(&args.bundle)?;
    let mut data = LabelledData::open(&args.table, &args.data, args.photos.as_deref())?;
    data.check(args.broken, args.quiet)?;
    let photos = &data.dataset.photos;
    let rows = embed::all_photos(&bundle, photos, args.quiet)?;
    let dimension = bundle.manifest.dimension;
    let values = embed::values(&rows);
    let stores_copies = matches!(format, Format::Parquet | Format::Safetensors);
    let copies = stores_copies
        .then(|| first_copies_by_name(photos, &rows, &bundle.manifest.views))
        .transpose()?;
    embeddings_file::write_with_near_duplicates(
        &args.out,
        bundle.id(),
        photos,
        dimension,
        &values,
        copies.as_ref(),
    )?;
    println!(
        "wrote {}: {} embeddings of {dimension} numbers",
        args.out.display(),
        rows.len()
    );
    if format == Format::Npy {
        println!(
            "wrote {}: the photo of each row",
            rows_file(&args.out).display()
        );
    }
    Ok(())
}
