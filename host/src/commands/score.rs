//! `flukewatch score`: score a contest's submission.

use super::data::TableArgs;
use super::labelled_data::LabelledData;
use anyhow::Context;
use clap::Args;
use flukewatch_dataset::{NEW_WHALE, SamePhoto};
use flukewatch_eval::submission::file::score;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Score a submission to a humpback contest: MAP@5 against the labels of the photos.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  flukewatch score answers.csv test.csv

A submission is a CSV with the columns Image,Id and up to five whales per photo, best first, separated by spaces; new_whale stands \
for a whale without a name. A photo of the data that it does not answer scores 0 and \
is counted on stderr. Write one with flukewatch evaluate --write-submission or \
flukewatch ensemble apply.")]
pub(crate) struct ScoreArgs {
    /// Submission to score
    submission: PathBuf,
    /// Labelled photos: a CSV (columns: flukewatch --help), or a folder with one folder per whale
    data: PathBuf,
    /// Folder of the photos of the CSV [default: the folder next to the CSV with the same name]
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,
    #[command(flatten)]
    table: TableArgs,
    /// Write JSON: map_at_5, photos, missing (photos without an answer)
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &ScoreArgs) -> anyhow::Result<()> {
    let (table, same) = (&args.table, SamePhoto::File);
    let data = LabelledData::open_as(table, &args.data, args.photos.as_deref(), same)?;
    let photos = data.dataset.photos.iter().cloned();
    let solution: BTreeMap<String, String> = photos
        .map(|p| (p.name, p.whale.unwrap_or_else(|| NEW_WHALE.to_owned())))
        .collect();
    let found = score(&args.submission, &solution)
        .with_context(|| format!("scoring against {}", args.data.display()))?;
    if let [first, ..] = &found.missing[..] {
        eprintln!(
            "{}: {} of {} photos have no answer and score 0, e.g. {first}",
            args.submission.display(),
            found.missing.len(),
            found.photos
        );
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        let missing = match found.missing.len() {
            0 => String::new(),
            missing => format!(", {missing} without an answer"),
        };
        println!(
            "MAP@5  {:.5}  ({} photos{missing})",
            found.map_at_5, found.photos
        );
    }
    Ok(())
}
