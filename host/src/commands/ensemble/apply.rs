use super::open_all;
use crate::commands::data::TableArgs;
use crate::commands::labelled_data::{LabelledData, SkipBroken};
use anyhow::Context;
use clap::Args;
use flukewatch_dataset::SamePhoto;
use flukewatch_ensemble::classifier::{Classifier, Fitted};
use flukewatch_ensemble::predictions::{Predictions, TestPhotos};
use flukewatch_eval::submission::file as submission;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Identify whales on photos with a classifier of flukewatch ensemble classify
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  flukewatch ensemble apply whales.safetensors today.csv --submission guesses.csv first second

The bundles must be those of the training, in the same order. Each photo gets five guesses, best first, new_whale among them.")]
pub(super) struct ApplyArgs {
    /// Classifier
    classifier: PathBuf,
    /// Photos: a CSV or a folder with one folder per whale
    data: PathBuf,
    /// Bundles, folders or .flukebundle files
    #[arg(required = true, value_name = "BUNDLE")]
    bundles: Vec<PathBuf>,
    /// Folder of the photos of the CSV [default: the folder next to the CSV with its name]
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,
    #[command(flatten)]
    table: TableArgs,
    /// Write the guesses as a submission: Image,Id with five whales per photo
    #[arg(long, value_name = "CSV")]
    submission: Option<PathBuf>,
    /// Write JSON: the guesses, and map_at_5 where there are labels
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    broken: SkipBroken,
    /// Hide progress bars
    #[arg(long)]
    quiet: bool,
}

pub(super) fn run(args: &ApplyArgs) -> anyhow::Result<()> {
    let classifier = Classifier::read(&args.classifier)?;
    let bundles = open_all(&args.bundles)?;
    classifier.check_bundles(&bundles)?;
    let quiet = args.quiet || args.json;
    let mut data = open_test(&args.table, &args.data, args.photos.as_deref())?;
    data.check(args.broken, quiet)?;
    let known = classifier.about.whales.iter().map(String::as_str).collect();
    let test = test_photos(&args.data, &data, &known)?;
    let predictions = Predictions::of(&classifier, &bundles, test, quiet)?;
    write(&predictions, args.submission.as_deref(), args.json, None)
}

/// Opens test photos, each line of a table for itself.
pub(super) fn open_test(
    table: &TableArgs,
    path: &Path,
    photos: Option<&Path>,
) -> anyhow::Result<LabelledData> {
    LabelledData::open_as(table, path, photos, SamePhoto::File)
}

/// The test photos of `data` at `path`, for a classifier of the whales `known`; reports if the Ids of
/// their table are not labels.
pub(super) fn test_photos(
    path: &Path,
    data: &LabelledData,
    known: &BTreeSet<&str>,
) -> anyhow::Result<TestPhotos> {
    let test = TestPhotos::of(data.dataset.photos.clone(), known)
        .with_context(|| path.display().to_string())?;
    if !test.labelled() {
        eprintln!(
            "{}: every Id is a list of guesses, as in a submission; ignoring them as labels",
            path.display()
        );
    }
    Ok(test)
}

/// Writes the submission if requested, and prints the guesses or their MAP@5.
pub(super) fn write(
    predictions: &Predictions,
    submission: Option<&Path>,
    as_json: bool,
    training: Option<&Fitted>,
) -> anyhow::Result<()> {
    if let Some(path) = submission {
        submission::write(path, &predictions.rows)?;
        eprintln!("wrote {}", path.display());
    }
    let map = predictions.map_at_5();
    if as_json {
        let guesses: BTreeMap<_, _> = predictions.rows.iter().map(|(p, g)| (p, g)).collect();
        let all = json!({ "map_at_5": map, "training": training, "guesses": guesses });
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    if submission.is_none() {
        for (photo, guesses) in &predictions.rows {
            println!("{photo}  {}", guesses.join("  "));
        }
    }
    if let Some(map) = map {
        println!("MAP@5  {map:.3}  ({} photos)", predictions.rows.len());
    }
    Ok(())
}
