//! `flukewatch evaluate`: measure a bundle on labelled photos.

mod summary;

use super::data::TableArgs;
use super::labelled_data::{LabelledData, SkipBroken};
use super::training_photos::AllowTrainingPhotos;
use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueEnum};
use flukewatch_common::bundle::Bundle;
use flukewatch_common::embedding::Embedding;
use flukewatch_common::whale_score::WhaleScore;
use flukewatch_dataset::{Dataset, DatasetError, RepeatedPhoto, TableSplit};
use flukewatch_eval::compare::compare;
use flukewatch_eval::gallery::labelled::{LabelledEmbeddings, PhotoLabel};
use flukewatch_eval::metrics::bootstrap::Bootstrap;
use flukewatch_eval::protocols::error::ProtocolError;
use flukewatch_eval::report::evaluation::{self, EvaluationReport};
use flukewatch_eval::results::{EvaluationOptions, EvaluationResults, Protocol};
use flukewatch_eval::submission::{answers::answers, file};
use flukewatch_eval::{embed, embeddings_file};
use std::path::{Path, PathBuf};

/// Measure a bundle on labelled photos: are whales found again, and are new ones recognised as new?
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch evaluate models/humpback-lite0 my-whales.csv
      retrieval: R@1, R@5, R@10, MAP@5, MAP@R
  flukewatch evaluate models/humpback-lite0 my-whales.csv --protocol open-set
      known and new whales: AUROC, OSCR, TPIR at 5 % FMR, the decision rule, calibration
  flukewatch evaluate models/humpback-lite0 my-whales.csv --protocol all --report report.html --run runs/first
      everything that the table allows, as a page with pictures and learning curves
  flukewatch evaluate models/humpback-lite0 my-whales.csv --compare float-bundle
      cost of int8: R@1 of both bundles, and the fraction of decisions that differ

Protocols:
  retrieval   each photo of a whale with two or more is searched among all the others
  open-set    half of the whales are enrolled in each trial; photos of the others must be called new
  time        a photo is searched among photos of earlier days; needs column 'date', e.g. 2024-06-19
  encounter   a photo is never searched among photos of its own encounter; needs column 'encounter', or 'date' (one whale on one day)
  all         every protocol that the columns of the table allow

Ranks are over distinct whales, scored as in the bundle's decision rule. The bundle's catalogue is not used; photos are embedded by \
the same engine as on the boat. Intervals are 95 % bootstrap intervals over whales. Photos that the model was trained on, by the hashes in the bundle, are an error \
without --allow-training-photos; whales of training with other photos are reported, as they make the figures too good, too.

Of a table with the column 'split', the lines 'test' are evaluated, or else 'validation'; --split chooses others.

The page of --report contains small copies of photos of the data set; the terms of the data set apply to it.")]
pub(crate) struct EvaluateArgs {
    /// Bundle: a folder or a .flukebundle file
    bundle: PathBuf,
    /// Labelled photos: a CSV (columns: flukewatch --help), or a folder with one folder per whale
    data: PathBuf,
    /// Folder of the photos of the CSV [default: the folder next to the CSV with the same name]
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,
    #[command(flatten)]
    table: TableArgs,
    /// Protocol
    #[arg(long, value_enum, default_value_t = ProtocolArg::Retrieval)]
    protocol: ProtocolArg,
    /// Write JSON; for retrieval: recall_at_1, recall_at_5, recall_at_10, map_at_5, map_at_r,
    /// queries, enrolled, ...; training_overlap (photos and whales that the model was trained on;
    /// null if the bundle does not say so)
    #[arg(long)]
    json: bool,
    /// Write an HTML page with curves and pictures
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Show the learning curves of this training run in the report
    #[arg(long, value_name = "DIR", requires = "report")]
    run: Option<PathBuf>,
    /// Number of bootstrap resamples for intervals; 0 for no intervals
    #[arg(long, default_value_t = 1000, value_name = "N")]
    bootstrap: usize,
    /// Seed of trials and resamples
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Number of open-set trials
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    trials: u16,
    /// Score of a whale from its photos: best (most similar photo), mean:K (mean of the K most
    /// similar) or blend[:W:K] (W times the best plus 1 - W times that mean) [default: as in the
    /// bundle]
    #[arg(long, value_name = "SCORE")]
    whale_score: Option<WhaleScore>,
    /// Compare the decisions with those of another bundle, e.g. the same model in float
    #[arg(long, value_name = "BUNDLE")]
    compare: Option<PathBuf>,
    /// Also report the NMI of whales and k-means clusters; slow on large data sets
    #[arg(long)]
    nmi: bool,
    /// Cache of the embeddings (safetensors): read if it exists, else written
    #[arg(long, value_name = "FILE")]
    embeddings: Option<PathBuf>,
    /// Write leave-one-out answers as a contest's submission: up to five whales per photo,
    /// new_whale among them
    #[arg(long, value_name = "FILE")]
    write_submission: Option<PathBuf>,
    /// Score below which whales rank after new_whale in the submission [default: the best of the
    /// open set if it is run, else the mean of the bundle's two thresholds]
    #[arg(long, value_name = "SCORE", requires = "write_submission")]
    new_whale_threshold: Option<f32>,
    #[command(flatten)]
    training: AllowTrainingPhotos,
    #[command(flatten)]
    broken: SkipBroken,
    /// Show no progress bar
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ProtocolArg {
    Retrieval,
    OpenSet,
    Time,
    Encounter,
    All,
}

impl ProtocolArg {
    fn protocols(self) -> Vec<Protocol> {
        match self {
            Self::Retrieval => vec![Protocol::Retrieval],
            Self::OpenSet => vec![Protocol::OpenSet],
            Self::Time => vec![Protocol::Time],
            Self::Encounter => vec![Protocol::Encounter],
            Self::All => Protocol::ALL.to_vec(),
        }
    }
}

pub(crate) fn run(args: &EvaluateArgs) -> anyhow::Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    let table = evaluated(&args.table, &args.data)?;
    let mut data = LabelledData::open(&table, &args.data, args.photos.as_deref())?;
    let unnamed_are_queries = matches!(args.protocol, ProtocolArg::OpenSet | ProtocolArg::All)
        || args.write_submission.is_some();
    data.retain(|p| unnamed_are_queries || p.whale.is_some());
    // With a cache of embeddings no photo is read; one without broken photos holds the others only.
    let cached = args.embeddings.as_ref().is_some_and(|cache| cache.exists());
    if !cached || args.compare.is_some() || args.broken.is_set() {
        data.check(args.broken, args.quiet || args.json)?;
    }
    let dataset = &data.dataset;
    let training_overlap = args.training.check(&bundle, &dataset.photos, &args.data)?;
    let whale_score = args.whale_score.unwrap_or(bundle.decision.whale_score);
    let labels = labels(dataset, args.protocol)?;
    let photos = embedded(&bundle, dataset, labels.clone(), args)?.scored_by(whale_score);
    let mut results = evaluate(&photos, &bundle, args)
        .map_err(|why| anyhow!("{}: {why}", args.data.display()))?;
    results.training_overlap = training_overlap;
    if let Some(path) = &args.compare {
        let other = Bundle::open(path)?;
        args.training.check(&other, &dataset.photos, &args.data)?;
        let rows = embed::all_photos(&other, &dataset.photos, args.quiet || args.json)?;
        let other = LabelledEmbeddings::new(labels, other.manifest.dimension, values(&rows))?
            .scored_by(whale_score);
        let trials = usize::from(args.trials);
        results.comparison = Some(compare(&photos, &other, trials, args.seed));
    }
    if let Some(path) = &args.write_submission {
        let threshold = new_whale_threshold(&bundle, &results, args);
        let rows = with_copies(answers(&photos, threshold), &data.notes.repeated);
        file::write(path, &rows)?;
        eprintln!(
            "wrote {}: {} photos, new_whale threshold {threshold:.3}",
            path.display(),
            rows.len()
        );
    }
    if let Some(path) = &args.report {
        let report = EvaluationReport {
            bundle: &bundle,
            data: &args.data.display().to_string(),
            dataset,
            photos: &photos,
            results: &results,
            run: args.run.as_deref(),
            seed: args.seed,
        };
        evaluation::write(path, &report)?;
        eprintln!(
            "wrote {} (contains small copies of photos; their terms apply)",
            path.display()
        );
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&json(&results, args)?)?);
    } else {
        summary::print(&results);
    }
    Ok(())
}

/// Of a table with a column `split`, the lines to evaluate: `test`, or else `validation`.
fn evaluated(table: &TableArgs, data: &Path) -> anyhow::Result<TableArgs> {
    let Some(splits) = table.splits(data)? else {
        return Ok(table.clone());
    };
    let path = data.display();
    let Some(split) = [TableSplit::Test, TableSplit::Validation]
        .into_iter()
        .find(|split| splits.contains_key(split))
    else {
        bail!(
            "{path}: all lines are of split train; evaluate on other photos, or choose these with --split train"
        );
    };
    eprintln!(
        "{path}: evaluating the {} lines of split {split}",
        splits[&split]
    );
    if split == TableSplit::Validation {
        eprintln!("{path}: validation photos may have chosen the model's epoch and thresholds");
    }
    Ok(table.with_split(split))
}

/// The results of the protocol, or of all under their names.
fn json(results: &EvaluationResults, args: &EvaluateArgs) -> anyhow::Result<serde_json::Value> {
    let mut value = match args.protocol {
        ProtocolArg::Retrieval => serde_json::to_value(&results.retrieval)?,
        ProtocolArg::OpenSet => serde_json::to_value(&results.open_set)?,
        ProtocolArg::Time => serde_json::to_value(&results.time)?,
        ProtocolArg::Encounter => serde_json::to_value(&results.encounter)?,
        ProtocolArg::All => serde_json::to_value(results)?,
    };
    if let Some(fields) = value.as_object_mut() {
        let overlap = serde_json::to_value(&results.training_overlap)?;
        fields.insert("training_overlap".into(), overlap);
        if let Some(comparison) = &results.comparison {
            fields.insert("comparison".into(), serde_json::to_value(comparison)?);
        }
    }
    Ok(value)
}

/// The embeddings of the photos: from the cache if it exists, else from the bundle's model.
fn embedded(
    bundle: &Bundle,
    dataset: &Dataset,
    labels: Vec<PhotoLabel>,
    args: &EvaluateArgs,
) -> anyhow::Result<LabelledEmbeddings> {
    let names: Vec<&str> = dataset.photos.iter().map(|p| p.name.as_str()).collect();
    let (dimension, values) = match &args.embeddings {
        Some(path) if path.exists() => embeddings_file::read(path, bundle.id(), &names)?,
        cache => {
            let rows = embed::all_photos(bundle, &dataset.photos, args.quiet || args.json)?;
            let dimension = bundle.manifest.dimension;
            let values = values(&rows);
            if let Some(path) = cache {
                embeddings_file::write(path, bundle.id(), &names, dimension, &values)?;
            }
            (dimension, values)
        }
    };
    LabelledEmbeddings::new(labels, dimension, values)
        .with_context(|| args.data.display().to_string())
}

fn values(rows: &[Embedding]) -> Vec<f32> {
    rows.iter()
        .flat_map(|row| row.as_slice())
        .copied()
        .collect()
}

/// The labels, with dates if the protocol uses them.
fn labels(dataset: &Dataset, protocol: ProtocolArg) -> Result<Vec<PhotoLabel>, DatasetError> {
    let photos = || dataset.photos.iter();
    let dated = match protocol {
        ProtocolArg::Retrieval | ProtocolArg::OpenSet => false,
        ProtocolArg::Encounter => photos().all(|p| p.encounter.is_none()),
        ProtocolArg::Time | ProtocolArg::All => true,
    };
    if dated {
        photos().map(PhotoLabel::dated).collect()
    } else {
        Ok(photos().map(PhotoLabel::undated).collect())
    }
}

fn evaluate(
    photos: &LabelledEmbeddings,
    bundle: &Bundle,
    args: &EvaluateArgs,
) -> Result<EvaluationResults, ProtocolError> {
    let options = EvaluationOptions {
        bootstrap: Bootstrap {
            resamples: args.bootstrap,
            seed: args.seed,
        },
        trials: usize::from(args.trials),
        seed: args.seed,
        nmi: args.nmi,
        rule: bundle.decision.clone(),
    };
    let mut results = EvaluationResults::default();
    for protocol in args.protocol.protocols() {
        match results.run(protocol, photos, &options) {
            // With all protocols, retrieval is the minimum.
            Err(why) if args.protocol == ProtocolArg::All && protocol != Protocol::Retrieval => {
                eprintln!("skipped protocol: {why}");
            }
            outcome => outcome?,
        }
    }
    Ok(results)
}

fn new_whale_threshold(bundle: &Bundle, results: &EvaluationResults, args: &EvaluateArgs) -> f32 {
    let middle = (bundle.decision.known_at + bundle.decision.new_below) / 2.0;
    let best = results
        .open_set
        .as_ref()
        .map(|o| o.new_whale_threshold as f32)
        .filter(|threshold| threshold.is_finite());
    args.new_whale_threshold.or(best).unwrap_or(middle)
}

/// A contest asks about copies of a photo, too: they get its answer.
fn with_copies(
    mut rows: Vec<(String, Vec<String>)>,
    repeated: &[RepeatedPhoto],
) -> Vec<(String, Vec<String>)> {
    for copy in repeated.iter().filter(|r| r.photo != r.kept) {
        if let Some((_, whales)) = rows.iter().find(|(photo, _)| *photo == copy.kept) {
            let whales = whales.clone();
            rows.push((copy.photo.clone(), whales));
        }
    }
    rows
}
