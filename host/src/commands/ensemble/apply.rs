use super::{are_misleading, open_all, overlaps};
use crate::commands::data::TableArgs;
use crate::commands::labelled_data::{LabelledData, SkipBroken};
use crate::commands::training_photos::AllowTrainingPhotos;
use anyhow::Context;
use clap::Args;
use flukewatch_dataset::SamePhoto;
use flukewatch_ensemble::classifier::{Classifier, Fitted};
use flukewatch_ensemble::predictions::{Predictions, TestPhotos};
use flukewatch_eval::submission::file as submission;
use flukewatch_eval::training_overlap::TrainingOverlap;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Identify whales on photos with a classifier of flukewatch ensemble classify
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  flukewatch ensemble apply whales.safetensors today.csv --submission guesses.csv first second

The bundles must be those of the training, in the same order. Each photo gets five guesses, best first, new_whale among them. \
MAP@5 of labelled photos is withheld if the bundles were trained on some of them, unless --allow-training-photos is given.")]
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
    training: AllowTrainingPhotos,
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
    let overlaps = overlaps(&bundles, &data.dataset.photos, &args.data)?;
    let predictions = Predictions::of(&classifier, &bundles, test, quiet)?;
    let output = Output {
        submission: args.submission.as_deref(),
        json: args.json,
        training: None,
        overlaps: &overlaps,
        with_map: args.training.is_set() || !are_misleading(&overlaps),
    };
    output.write(&predictions)
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

/// How predictions are written.
pub(super) struct Output<'a> {
    /// Where to write the submission, if requested.
    pub(super) submission: Option<&'a Path>,
    /// Whether to print JSON.
    pub(super) json: bool,
    /// The result of a training before.
    pub(super) training: Option<&'a Fitted>,
    /// What each bundle's model was trained on of the photos.
    pub(super) overlaps: &'a [Option<TrainingOverlap>],
    /// Whether MAP@5 is reported.
    pub(super) with_map: bool,
}

impl Output<'_> {
    /// Writes the submission if requested, and prints the guesses or their MAP@5.
    pub(super) fn write(&self, predictions: &Predictions) -> anyhow::Result<()> {
        if let Some(path) = self.submission {
            submission::write(path, &predictions.rows)?;
            eprintln!("wrote {}", path.display());
        }
        let map = predictions.map_at_5();
        if map.is_some() && !self.with_map {
            eprintln!("MAP@5 withheld: {WITHHELD}");
        }
        let map = map.filter(|_| self.with_map);
        if self.json {
            let guesses: BTreeMap<_, _> = predictions.rows.iter().map(|(p, g)| (p, g)).collect();
            let all = json!({
                "map_at_5": map,
                "training": self.training,
                "training_overlap": self.overlaps,
                "guesses": guesses,
            });
            println!("{}", serde_json::to_string_pretty(&all)?);
            return Ok(());
        }
        if self.submission.is_none() {
            for (photo, guesses) in &predictions.rows {
                println!("{photo}  {}", guesses.join("  "));
            }
        }
        if let Some(map) = map {
            println!("MAP@5  {map:.3}  ({} photos)", predictions.rows.len());
        }
        Ok(())
    }
}

/// Why MAP@5 is not reported.
pub(super) const WITHHELD: &str = "a bundle was trained on some of the photos, so that the figure says nothing about others; --allow-training-photos reports it";
