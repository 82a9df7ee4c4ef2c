//! `flukewatch evaluate`: how well a bundle's model finds whales again, on labelled photos.

use crate::dataset::Dataset;
use crate::embed;
use crate::enroll::enrol_all;
use crate::retrieval::leave_one_out;
use anyhow::Context;
use clap::Args;
use flukewatch_common::bundle::Bundle;
use std::path::PathBuf;

/// Measure a bundle on labelled photos: R@1, R@5 and MAP@5, leave one out.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  flukewatch evaluate models/humpback-lite0 devtest.csv --json

Every labelled photo is enrolled in a catalogue made for the purpose (the bundle's own is not used); each photo of a whale with
two photos or more is looked up among all the others, and ranks are over distinct whales. The photos go through the same engine
as on the boat. Whales that the model was trained on make the figures too good.")]
pub struct EvaluateArgs {
    /// The bundle, a folder or a .flukebundle file
    bundle: PathBuf,
    /// Labelled photos: a CSV or a folder with a folder for each whale
    data: PathBuf,
    /// The photos of the CSV, if not in the folder beside it that bears its name
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,
    /// Write JSON: recall_at_1, recall_at_5, map_at_5, queries, enrolled
    #[arg(long)]
    json: bool,
    /// Show no progress bar
    #[arg(long)]
    quiet: bool,
}

/// Runs the command.
///
/// # Errors
/// When bundle or photos cannot be used, or no whale has two photos.
pub fn run(args: &EvaluateArgs) -> anyhow::Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    let mut dataset = Dataset::open(&args.data, args.photos.as_deref())?;
    dataset.photos.retain(|p| p.whale.is_some());
    let embeddings = embed::all_photos(&bundle, &dataset.photos, args.quiet || args.json)?;
    let named = dataset
        .photos
        .iter()
        .zip(&embeddings)
        .filter_map(|(photo, embedding)| {
            Some((photo.whale.as_deref()?, photo.name.as_str(), embedding))
        });
    let catalogue = enrol_all(bundle.manifest.dimension, named)?;
    let found = leave_one_out(&catalogue).with_context(|| {
        format!(
            "{} has no whale with two photos, so none can be found again",
            args.data.display()
        )
    })?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        println!("R@1    {:.3}", found.recall_at_1);
        println!("R@5    {:.3}", found.recall_at_5);
        println!("MAP@5  {:.3}", found.map_at_5);
        println!(
            "{} queries, {} photos of {} whales enrolled",
            found.queries,
            found.enrolled,
            catalogue.whales()
        );
    }
    Ok(())
}
