//! `flukewatch evaluate`: measure a bundle, or embeddings from elsewhere, on labelled photos.

mod summary;

use super::data::TableArgs;
use super::labelled_data::{LabelledData, SkipBroken};
use super::training_photos::AllowTrainingPhotos;
use anyhow::{Context, anyhow, bail, ensure};
use clap::{Args, ValueEnum};
use flukewatch_common::bundle::Bundle;
use flukewatch_common::embedding::Embedding;
use flukewatch_common::local_matching::{Descriptors, EmbeddedPhoto};
use flukewatch_common::whale_score::WhaleScore;
use flukewatch_dataset::{
    Dataset, DatasetError, LabelledPhoto, ReadOptions, RepeatedPhoto, TableSplit,
};
use flukewatch_eval::audit::near_duplicates::first_copies_by_name;
use flukewatch_eval::compare::compare;
use flukewatch_eval::embed::{self, EmbedError};
use flukewatch_eval::embeddings_file::{self, EmbeddingsFile, Format};
use flukewatch_eval::gallery::label::PhotoLabel;
use flukewatch_eval::gallery::labelled::LabelledEmbeddings;
use flukewatch_eval::gallery::local::LocalGallery;
use flukewatch_eval::gallery::matching::with_local;
use flukewatch_eval::metrics::bootstrap::Bootstrap;
use flukewatch_eval::protocols::error::ProtocolError;
use flukewatch_eval::report::evaluation::{self, EvaluatedModel, EvaluationReport};
use flukewatch_eval::results::{EvaluationOptions, EvaluationResults, Protocol};
use flukewatch_eval::submission::{answers::answers, file};
use flukewatch_eval::training_overlap::TrainingOverlap;
use std::path::{Path, PathBuf};

/// Measure a bundle on labelled photos: are whales found again, and are new ones recognised as new?
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch evaluate models/humpback-lite0 my-whales.csv
      retrieval: R@1, R@5, R@10 and MAP@5 over whales, Recall@K over photos, MAP@R
  flukewatch evaluate models/humpback-lite0 my-whales.csv --protocol open-set
      known and new whales: AUROC, OSCR, TPIR at 5 % FMR, the decision rule, calibration
  flukewatch evaluate models/humpback-lite0 my-whales.csv --protocol all --report report.html --run runs/first
      everything that the table allows, as a page with pictures and learning curves
  flukewatch evaluate models/humpback-lite0 my-whales.csv --fluke-width 96
      the same for whales so far away that their flukes are 96 pixels wide
  flukewatch evaluate models/humpback-lite0 my-whales.csv --compare float-bundle
      cost of int8: R@1 of both bundles, and the fraction of decisions that differ
  flukewatch evaluate --embeddings other-model.npy --data my-whales.csv
      the same figures for embeddings that another program computed (docs/embeddings.md)

Protocols:
  retrieval   each photo of a whale with two or more is searched among all the others
  open-set    half of the whales are enrolled in each trial; photos of the others must be called new
  time        a photo is searched among photos of earlier days; needs column 'date', e.g. 2024-06-19
  encounter   retrieval of photos and of whole encounters; needs column 'encounter', or 'date' (one whale on one day)
  all         every protocol that the columns of the table allow

A photo is never compared with photos of its own encounter (column 'encounter'; where it is empty, the same whale on the same day of \
column 'date') or with near-duplicates of itself. Ranks (R@K, MAP@5) are over distinct whales, scored as in the bundle's decision rule, and with its local matching if it \
has one. Recall@K over photos is that of metric learning: one of the K most similar photos is of the same whale. The bundle's catalogue is not used; photos are embedded by \
the same engine as on the boat. Intervals are 95 % bootstrap intervals over whales. Photos that the model was trained on, by the hashes in the bundle, are an error \
without --allow-training-photos; whales of training with other photos are reported, as they make the figures too good, too.

Of a table with the column 'split', the lines 'test' are evaluated, or else 'validation'; --split chooses others.

Embeddings from elsewhere are compared by their cosine; whales are scored by blend unless --whale-score says otherwise. The photos \
are needed for the pictures of --report only.

The page of --report contains small copies of photos of the data set; the terms of the data set apply to it.")]
pub(crate) struct EvaluateArgs {
    /// Bundle: a folder or a .flukebundle file
    #[arg(required_unless_present = "embeddings_data")]
    bundle: Option<PathBuf>,
    /// Labelled photos: a CSV (columns: flukewatch --help), or a folder with one folder per whale
    #[arg(required_unless_present = "embeddings_data")]
    data: Option<PathBuf>,
    /// Labelled photos of the embeddings of --embeddings, which are evaluated in place of a bundle
    #[arg(long = "data", value_name = "DATA", requires = "embeddings",
          conflicts_with_all = ["bundle", "data", "compare", "skip_broken"])]
    embeddings_data: Option<PathBuf>,
    /// Folder of the photos of the CSV [default: the folder next to the CSV with the same name]
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,
    #[command(flatten)]
    table: TableArgs,
    /// Protocol
    #[arg(long, value_enum, default_value_t = ProtocolArg::Retrieval)]
    protocol: ProtocolArg,
    /// Write JSON; for retrieval: recall_at_1, recall_at_5, recall_at_10, map_at_5,
    /// photo_recall_at_1, map_at_r, queries, enrolled, ...; training_overlap (photos and whales that
    /// the model was trained on; null if the bundle does not say so)
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
    /// bundle, or blend without one]
    #[arg(long, value_name = "SCORE")]
    whale_score: Option<WhaleScore>,
    /// Compare the decisions with those of another bundle, e.g. the same model in float
    #[arg(long, value_name = "BUNDLE")]
    compare: Option<PathBuf>,
    /// Reduce every photo so that its fluke is at most this wide, in pixels, as that of a distant whale is
    #[arg(long, value_name = "PX", conflicts_with = "embeddings", value_parser = clap::value_parser!(u32).range(8..))]
    fluke_width: Option<u32>,
    /// Also report the NMI of whales and k-means clusters; slow on large data sets
    #[arg(long)]
    nmi: bool,
    /// Score whales by the cosines of embeddings alone, without the bundle's local matching
    #[arg(long)]
    no_local_matching: bool,
    /// Cache of the bundle's embeddings (.safetensors or .parquet): read if it exists, else
    /// written; it holds no local descriptors, so that a bundle with local matching needs
    /// --no-local-matching. With --data: the embeddings to evaluate (.npy, .parquet, .csv or .safetensors)
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

impl EvaluateArgs {
    fn labelled_photos(&self) -> &Path {
        let data = self.embeddings_data.as_ref().or(self.data.as_ref());
        data.expect("the command line requires one of both")
    }

    /// The embeddings to evaluate in place of a bundle.
    fn given_embeddings(&self) -> Option<&Path> {
        self.embeddings_data.as_ref()?;
        self.embeddings.as_deref()
    }

    /// Whether photos of whales without a name are searched for.
    fn queries_unnamed(&self) -> bool {
        matches!(self.protocol, ProtocolArg::OpenSet | ProtocolArg::All)
            || self.write_submission.is_some()
    }
}

pub(crate) fn run(args: &EvaluateArgs) -> anyhow::Result<()> {
    let table = args.labelled_photos();
    let bundle = args.bundle.as_deref().map(Bundle::open).transpose()?;
    if let (Some(bundle), Some(path)) = (&bundle, &args.bundle)
        && let Some(warning) = bundle.decision.warning()
    {
        eprintln!("warning: {}: {warning}", path.display());
    }
    let Evaluated {
        data,
        embeddings: photos,
        training_overlap,
    } = match &bundle {
        Some(bundle) => of_bundle(bundle, args)?,
        None => of_file(args)?,
    };
    let dataset = &data.dataset;
    let score_of_bundle = bundle.as_ref().map(|bundle| bundle.decision.whale_score);
    let whale_score = args.whale_score.or(score_of_bundle);
    let whale_score = whale_score.unwrap_or(WhaleScore::BLEND);
    let photos = photos.scored_by(whale_score);
    if photos.local().is_some() {
        eprintln!("whales are scored with local matching");
    }
    let mut results = evaluate(&photos, bundle.as_ref(), args)
        .map_err(|why| anyhow!("{}: {why}", table.display()))?;
    results.training_overlap = training_overlap;
    if let Some(path) = &args.compare {
        let other = Bundle::open(path)?;
        args.training.check(&other, &dataset.photos, table)?;
        let labels = (0..photos.len()).map(|photo| photos.label(photo).clone());
        let labels = labels.collect();
        let rows = embedded(&other, &dataset.photos, args)?;
        let dimension = other.manifest.dimension;
        let theirs = LabelledEmbeddings::new(labels, dimension, values(&rows))?;
        let other = matched(theirs.scored_by(whale_score), &other, rows, args);
        let trials = usize::from(args.trials);
        results.comparison = Some(compare(&photos, &other, trials, args.seed));
    }
    if let Some(path) = &args.write_submission {
        let threshold = new_whale_threshold(bundle.as_ref(), &results, args)?;
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
            model: match (&bundle, args.given_embeddings()) {
                (Some(bundle), _) => EvaluatedModel::Bundle(bundle),
                (None, file) => EvaluatedModel::File(file.unwrap_or(table)),
            },
            data: &table.display().to_string(),
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

/// Photos with their embeddings.
struct Evaluated {
    data: LabelledData,
    embeddings: LabelledEmbeddings,
    /// `None` if it is unknown what the model was trained on.
    training_overlap: Option<TrainingOverlap>,
}

/// The photos, their near-duplicates and their embeddings by a bundle: from the cache if it exists, else from its model.
fn of_bundle(bundle: &Bundle, args: &EvaluateArgs) -> anyhow::Result<Evaluated> {
    if let Some(cache) = &args.embeddings {
        let knows_bundle = matches!(Format::of(cache)?, Format::Safetensors | Format::Parquet);
        ensure!(
            knows_bundle,
            "{}: a cache is a .safetensors or .parquet file, which name the bundle; to evaluate embeddings without a bundle: --embeddings FILE --data DATA",
            cache.display()
        );
    }
    let table = args.labelled_photos();
    let mut data = LabelledData::open(
        &evaluated(&args.table, table)?,
        table,
        args.photos.as_deref(),
    )?;
    data.retain(|p| args.queries_unnamed() || p.whale.is_some());
    // With a cache of embeddings no photo is read; one without broken photos holds the others only.
    let cache = args.embeddings.as_deref();
    let cached = cache.filter(|path| path.exists());
    if cached.is_none() || args.compare.is_some() || args.broken.is_set() {
        data.check(args.broken, args.quiet || args.json)?;
    }
    let photos = &data.dataset.photos;
    let training_overlap = args.training.check(bundle, photos, table)?;
    let mut described = vec![];
    let (dimension, values, first_copies) = if let Some(path) = cached {
        ensure!(
            bundle.manifest.local.is_none() || args.no_local_matching,
            "{} holds no local descriptors: add --no-local-matching, or leave out --embeddings",
            path.display()
        );
        let cache = embeddings_file::read(path)?;
        ensure!(
            cache.bundle.as_deref() == Some(bundle.id()),
            "{} holds embeddings of {}, not of bundle {}: choose another file or delete it",
            path.display(),
            match &cache.bundle {
                Some(other) => format!("bundle {other}"),
                None => "an unknown bundle".into(),
            },
            bundle.id()
        );
        let first_copies = known_copies(&cache, photos);
        (cache.dimension, cache.rows_of(photos)?, first_copies)
    } else {
        let rows = embedded(bundle, photos, args)?;
        let dimension = bundle.manifest.dimension;
        let values = values(&rows);
        let embeddings: Vec<Embedding> = rows.iter().map(|row| row.embedding.clone()).collect();
        let copies = first_copies_by_name(photos, &embeddings, &bundle.manifest.views)?;
        if let Some(path) = cache {
            embeddings_file::write_with_near_duplicates(
                path,
                bundle.id(),
                photos,
                dimension,
                &values,
                Some(&copies),
            )?;
        }
        described = rows;
        let first_copies = photos
            .iter()
            .map(|p| copies.get(&p.name).cloned())
            .collect();
        (dimension, values, first_copies)
    };
    let labels = labels(&data.dataset, args.protocol, first_copies)?;
    let embeddings = LabelledEmbeddings::new(labels, dimension, values)
        .with_context(|| table.display().to_string())?;
    Ok(Evaluated {
        data,
        embeddings: matched(embeddings, bundle, described, args),
        training_overlap,
    })
}

/// Embeds photos, reduced if the command line says so.
fn embedded(
    bundle: &Bundle,
    photos: &[LabelledPhoto],
    args: &EvaluateArgs,
) -> Result<Vec<EmbeddedPhoto>, EmbedError> {
    let quiet = args.quiet || args.json;
    match args.fluke_width {
        None => embed::all_embedded(bundle, photos, quiet),
        Some(width) => embed::all_reduced(bundle, photos, width, quiet),
    }
}

/// The photos of a table and their embeddings from a file.
fn of_file(args: &EvaluateArgs) -> anyhow::Result<Evaluated> {
    let table = args.labelled_photos();
    let path = args.given_embeddings();
    let path = path.expect("the command line requires --embeddings without a bundle");
    let photos = args.photos.as_deref();
    let chosen = evaluated(&args.table, table)?;
    let mut data = LabelledData::open_labels(&chosen, table, photos)?;
    let file = embeddings_file::read(path)?;
    // Rows without names are those of all photos, also of splits that are not evaluated.
    let file = if chosen.split == args.table.split {
        file.named_as(&data.dataset.photos)?
    } else {
        let options = ReadOptions {
            may_lack_photos: true,
            ..args.table.options(photos)
        };
        let (all, _) = Dataset::read(table, &options)?;
        file.named_as(&all.photos)?
    };
    data.retain(|p| args.queries_unnamed() || p.whale.is_some());
    let values = file.rows_of(&data.dataset.photos)?;
    let first_copies = known_copies(&file, &data.dataset.photos);
    let labels = labels(&data.dataset, args.protocol, first_copies)?;
    let embeddings = LabelledEmbeddings::new(labels, file.dimension, values)
        .with_context(|| table.display().to_string())?;
    Ok(Evaluated {
        data,
        embeddings,
        training_overlap: None,
    })
}

/// The first photo of the group of each near-duplicate, as far as the file says.
fn known_copies(file: &EmbeddingsFile, photos: &[LabelledPhoto]) -> Vec<Option<String>> {
    file.first_copies_of(photos).unwrap_or_else(|| {
        eprintln!(
            "{} does not say which photos are near-duplicates; none are excluded",
            file.path.display()
        );
        vec![None; photos.len()]
    })
}

/// The photos with their descriptors, where the bundle has local matching and it is not switched off.
fn matched(
    photos: LabelledEmbeddings,
    bundle: &Bundle,
    rows: Vec<EmbeddedPhoto>,
    args: &EvaluateArgs,
) -> LabelledEmbeddings {
    let descriptors: Option<Vec<Descriptors>> = rows.into_iter().map(|row| row.local).collect();
    match (&bundle.manifest.local, descriptors) {
        (Some(info), Some(descriptors))
            if !args.no_local_matching && descriptors.len() == photos.len() =>
        {
            let score = info.score;
            with_local(photos, LocalGallery::new(descriptors, score))
        }
        _ => photos,
    }
}

fn values(rows: &[EmbeddedPhoto]) -> Vec<f32> {
    rows.iter()
        .flat_map(|row| row.embedding.as_slice())
        .copied()
        .collect()
}

/// The labels with the first photo of the group of each near-duplicate, and with the dates that the
/// protocol uses.
fn labels(
    dataset: &Dataset,
    protocol: ProtocolArg,
    first_copies: Vec<Option<String>>,
) -> Result<Vec<PhotoLabel>, DatasetError> {
    let all_dates = matches!(protocol, ProtocolArg::Time | ProtocolArg::All);
    let photos = dataset.photos.iter().zip(first_copies);
    photos
        .map(|(photo, near_duplicate_of)| {
            let label = if all_dates {
                PhotoLabel::dated(photo)?
            } else {
                PhotoLabel::of(photo)?
            };
            Ok(PhotoLabel {
                near_duplicate_of,
                ..label
            })
        })
        .collect()
}

fn evaluate(
    photos: &LabelledEmbeddings,
    bundle: Option<&Bundle>,
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
        rule: bundle.map(|bundle| bundle.decision.clone()),
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

/// The score below which whales rank after new_whale.
fn new_whale_threshold(
    bundle: Option<&Bundle>,
    results: &EvaluationResults,
    args: &EvaluateArgs,
) -> anyhow::Result<f32> {
    let best = results
        .open_set
        .as_ref()
        .map(|o| o.new_whale_threshold as f32)
        .filter(|threshold| threshold.is_finite());
    let middle = bundle.map(|b| (b.decision.known_at + b.decision.new_below) / 2.0);
    let threshold = args.new_whale_threshold.or(best).or(middle);
    threshold.context(
        "no threshold for new_whale: pass --new-whale-threshold SCORE, or run --protocol open-set",
    )
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
