//! The subcommand `flukewatch evaluate`.

use super::beside::{self, Beside};
use super::bootstrap::Bootstrap;
use super::labelled::{LabelledEmbeddings, PhotoLabel};
use super::report::{self, Report};
use super::{
    EvaluateError, contest, embeddings_file, encounter, open_set, retrieval, summary, time,
};
use crate::dataset::{Dataset, NEW_WHALE};
use crate::embed;
use crate::submission;
use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueEnum};
use flukewatch_common::bundle::Bundle;
use flukewatch_common::embedding::Embedding;
use flukewatch_common::whale_score::WhaleScore;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Measure a bundle on labelled photos: is a whale found again, and is a new one told from a known one?
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch evaluate models/humpback-lite0 my-whales.csv
      is a whale found again? R@1, R@5, R@10, MAP@5, MAP@R
  flukewatch evaluate models/humpback-lite0 my-whales.csv --protocol open-set
      is a new whale told from a known one?
  flukewatch evaluate models/humpback-lite0 my-whales.csv --protocol all --report report.html --run runs/first
      everything that the table allows, as a page with pictures and learning curves
  flukewatch evaluate models/humpback-lite0 my-whales.csv --beside in-floats
      what int8 costs: R@1 of both bundles, and the decisions that differ
  flukewatch evaluate --submission answers.csv test.csv
      MAP@5 of a contest's submission (Image,Id)

Protocols:
  retrieval   each photo of a whale with two or more is looked up among all the others
  open-set    half of the whales are enrolled (several draws), photos of the others must be called new
  time        a photo meets only photos of earlier days; needs a column 'date' (ISO, as 2024-06-19)
  encounter   a photo never meets photos of its own encounter; needs a column 'encounter', or 'date' (one whale, one day)
  all         all of them that the table has the columns for

Ranks are over distinct whales, scored as the bundle's decision rule says. The bundle's own catalogue is not used; the photos go through the same engine as on the boat. \
Intervals are 95 %, drawn anew by whale. Whales that the model was trained on make the figures too good.

The page of --report holds small copies of photos of the data set: whoever gets the page gets them, on the data set's terms.")]
pub struct EvaluateArgs {
    /// The bundle, a folder or a .flukebundle file; not given with --submission
    bundle: PathBuf,
    /// Labelled photos: a CSV or a folder with a folder for each whale
    #[arg(required_unless_present = "submission")]
    data: Option<PathBuf>,
    /// The photos of the CSV, if not in the folder beside it that bears its name
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,
    /// What is asked
    #[arg(long, value_enum, default_value_t = Protocol::Retrieval)]
    protocol: Protocol,
    /// Write JSON; for retrieval: recall_at_1, recall_at_5, recall_at_10, map_at_5, map_at_r, queries, enrolled, ...
    #[arg(long)]
    json: bool,
    /// Write a page with curves and pictures, a single HTML file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Show the learning curves of this run in the report
    #[arg(long, value_name = "DIR", requires = "report")]
    run: Option<PathBuf>,
    /// Resamples for the intervals; 0 leaves them out
    #[arg(long, default_value_t = 1000, value_name = "N")]
    bootstrap: usize,
    /// Draws and resamples follow from this number
    #[arg(long, default_value_t = 1, value_name = "S")]
    seed: u64,
    /// How often the open set draws half of the whales
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    draws: u16,
    /// How a whale is scored by its photos: best (the most similar alone), mean:K (of the K most similar), blend or blend:W:K (W
    /// of the most similar, the rest of that mean) [default: as the bundle says]
    #[arg(long, value_name = "WAY")]
    whale_score: Option<WhaleScore>,
    /// Also say how far another bundle decides otherwise on these photos: the same model in floats, say
    #[arg(long, value_name = "BUNDLE")]
    beside: Option<PathBuf>,
    /// Also cluster the photos (k-means, a cluster for each whale) and say how well clusters and whales agree; slow on large sets
    #[arg(long)]
    nmi: bool,
    /// Keep the embeddings in this file (safetensors): read if it is there, else written
    #[arg(long, value_name = "FILE")]
    embeddings: Option<PathBuf>,
    /// Write the answers as a contest's submission: up to five whales for each photo, leave one out, new_whale among them
    #[arg(long, value_name = "FILE")]
    write_submission: Option<PathBuf>,
    /// Where new_whale stands in it: behind whales of this score or more [default: as the open set finds best if it is run, else
    /// the middle of the bundle's two thresholds]
    #[arg(long, value_name = "SCORE", requires = "write_submission")]
    new_whale_at: Option<f32>,
    /// Score a submission against DATA instead of measuring a bundle
    #[arg(long, value_name = "FILE", conflicts_with_all = ["report", "embeddings", "write_submission", "nmi", "beside"])]
    submission: Option<PathBuf>,
    /// Show no progress bar
    #[arg(long)]
    quiet: bool,
}

/// What is asked of the embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Protocol {
    Retrieval,
    OpenSet,
    Time,
    Encounter,
    All,
}

/// What the protocols that were run have found.
#[derive(Debug, Default, Serialize)]
pub struct Findings {
    /// See [`retrieval`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retrieval: Option<retrieval::Retrieval>,
    /// See [`open_set`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_set: Option<open_set::OpenSet>,
    /// See [`time`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<time::OverTime>,
    /// See [`encounter`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encounter: Option<encounter::AcrossEncounters>,
    /// See [`beside`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beside: Option<Beside>,
}

/// Runs the command.
///
/// # Errors
/// When bundle or photos cannot be used, or the table does not hold what the protocol needs.
pub fn run(args: &EvaluateArgs) -> anyhow::Result<()> {
    if let Some(file) = &args.submission {
        return score(file, args.data.as_ref().unwrap_or(&args.bundle), args);
    }
    let data = args
        .data
        .as_ref()
        .context("the labelled photos are missing")?;
    let bundle = Bundle::open(&args.bundle)?;
    let mut dataset = Dataset::open(data, args.photos.as_deref())?;
    let unnamed_are_asked = matches!(args.protocol, Protocol::OpenSet | Protocol::All)
        || args.write_submission.is_some();
    dataset
        .photos
        .retain(|p| unnamed_are_asked || p.whale.is_some());
    let whale_score = args.whale_score.unwrap_or(bundle.decision.whale_score);
    let photos = embedded(&bundle, &dataset, args)?.scored_by(whale_score);
    let mut found =
        measure(&photos, &bundle, args).map_err(|why| anyhow!("{} has {why}", data.display()))?;
    if let Some(path) = &args.beside {
        let other = Bundle::open(path)?;
        let rows = embed::all_photos(&other, &dataset.photos, args.quiet || args.json)?;
        let other =
            LabelledEmbeddings::new(labels(&dataset), other.manifest.dimension, numbers(&rows))?
                .scored_by(whale_score);
        found.beside = Some(beside::compare(
            &photos,
            &other,
            usize::from(args.draws),
            args.seed,
        ));
    }
    if let Some(path) = &args.write_submission {
        write_submission(path, &photos, &bundle, &found, args)?;
    }
    if let Some(path) = &args.report {
        let page = Report {
            bundle: &bundle,
            data: &data.display().to_string(),
            dataset: &dataset,
            photos: &photos,
            found: &found,
            run: args.run.as_deref(),
            seed: args.seed,
        };
        report::write(path, &page)?;
        eprintln!(
            "wrote {} (with small copies of photos: mind their terms)",
            path.display()
        );
    }
    if args.json {
        let mut value = match args.protocol {
            Protocol::Retrieval => serde_json::to_value(&found.retrieval)?,
            Protocol::OpenSet => serde_json::to_value(&found.open_set)?,
            Protocol::Time => serde_json::to_value(&found.time)?,
            Protocol::Encounter => serde_json::to_value(&found.encounter)?,
            Protocol::All => serde_json::to_value(&found)?,
        };
        if let (Some(beside), Some(fields)) = (&found.beside, value.as_object_mut()) {
            fields.insert("beside".into(), serde_json::to_value(beside)?);
        }
        println!("{}", serde_json::to_string_pretty(&value)?);
    } else {
        summary::print(&found);
    }
    Ok(())
}

/// The photos' embeddings: from the file where there is one, else from the bundle's model.
fn embedded(
    bundle: &Bundle,
    dataset: &Dataset,
    args: &EvaluateArgs,
) -> anyhow::Result<LabelledEmbeddings> {
    let names: Vec<&str> = dataset.photos.iter().map(|p| p.name.as_str()).collect();
    let (dimension, numbers) = match &args.embeddings {
        Some(path) if path.exists() => embeddings_file::read(path, bundle.id(), &names)?,
        kept => {
            let rows = embed::all_photos(bundle, &dataset.photos, args.quiet || args.json)?;
            let dimension = bundle.manifest.dimension;
            let numbers = numbers(&rows);
            if let Some(path) = kept {
                embeddings_file::write(path, bundle.id(), &names, dimension, &numbers)?;
            }
            (dimension, numbers)
        }
    };
    Ok(LabelledEmbeddings::new(
        labels(dataset),
        dimension,
        numbers,
    )?)
}

fn numbers(rows: &[Embedding]) -> Vec<f32> {
    rows.iter()
        .flat_map(|row| row.as_slice())
        .copied()
        .collect()
}

fn labels(dataset: &Dataset) -> Vec<PhotoLabel> {
    dataset.photos.iter().map(PhotoLabel::from).collect()
}

fn measure(
    photos: &LabelledEmbeddings,
    bundle: &Bundle,
    args: &EvaluateArgs,
) -> Result<Findings, EvaluateError> {
    let bootstrap = Bootstrap {
        resamples: args.bootstrap,
        seed: args.seed,
    };
    let asked = |protocol| args.protocol == protocol || args.protocol == Protocol::All;
    // Asked for everything, a protocol that the table does not allow is passed over and said; retrieval is the least.
    let mut found = Findings::default();
    if asked(Protocol::Retrieval) {
        let nmi_seed = args.nmi.then_some(args.seed);
        let retrieval =
            retrieval::measure(photos, &bootstrap, nmi_seed).ok_or(EvaluateError::NoPair)?;
        found.retrieval = Some(retrieval);
    }
    if asked(Protocol::OpenSet) {
        let options = open_set::Options {
            draws: usize::from(args.draws),
            seed: args.seed,
            rule: Some(bundle.decision.clone()),
        };
        found.open_set = or_passed_over(args, open_set::measure(photos, &options, &bootstrap))?;
    }
    if asked(Protocol::Time) {
        found.time = or_passed_over(args, time::measure(photos, &bootstrap))?;
    }
    if asked(Protocol::Encounter) {
        found.encounter = or_passed_over(args, encounter::measure(photos, &bootstrap))?;
    }
    Ok(found)
}

fn or_passed_over<T>(
    args: &EvaluateArgs,
    found: Result<T, EvaluateError>,
) -> Result<Option<T>, EvaluateError> {
    match found {
        Err(why) if args.protocol == Protocol::All => {
            eprintln!("passed over a protocol: {why}");
            Ok(None)
        }
        found => found.map(Some),
    }
}

fn write_submission(
    path: &Path,
    photos: &LabelledEmbeddings,
    bundle: &Bundle,
    found: &Findings,
    args: &EvaluateArgs,
) -> anyhow::Result<()> {
    let middle = (bundle.decision.known_at + bundle.decision.new_below) / 2.0;
    let best = found
        .open_set
        .as_ref()
        .map(|o| o.new_whale_at as f32)
        .filter(|at| at.is_finite());
    let at = args.new_whale_at.or(best).unwrap_or(middle);
    let rows = contest::answers(photos, at);
    submission::write(path, &rows)?;
    eprintln!(
        "wrote {}: {} photos, new_whale below {at:.3}",
        path.display(),
        rows.len()
    );
    Ok(())
}

/// Scores a submission against the table; photos of the table that it leaves out are counted and said.
fn score(file: &Path, data: &Path, args: &EvaluateArgs) -> anyhow::Result<()> {
    let dataset = Dataset::open(data, args.photos.as_deref())?;
    let mut truth: BTreeMap<String, String> = dataset
        .photos
        .into_iter()
        .map(|p| (p.name, p.whale.unwrap_or_else(|| NEW_WHALE.to_owned())))
        .collect();
    let all = truth.len();
    let answered: Vec<String> = submission::read(file)?
        .into_iter()
        .map(|(photo, _)| photo)
        .collect();
    if answered.is_empty() {
        bail!("{} answers for no photo", file.display());
    }
    let answered: std::collections::BTreeSet<String> = answered.into_iter().collect();
    truth.retain(|photo, _| answered.contains(photo));
    let map_at_5 = submission::score(file, &truth)?;
    let left_out = all - truth.len();
    if args.json {
        let value = serde_json::json!({
            "map_at_5": map_at_5, "photos": truth.len(), "photos_left_out": left_out,
        });
        println!("{}", serde_json::to_string_pretty(&value)?);
    } else {
        println!("MAP@5  {map_at_5:.5}  ({} photos)", truth.len());
        if left_out > 0 {
            println!(
                "{left_out} photos of {} have no answer there and do not count",
                data.display()
            );
        }
    }
    Ok(())
}
