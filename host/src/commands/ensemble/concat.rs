use super::open_all;
use crate::commands::data::TableArgs;
use crate::commands::labelled_data::{LabelledData, SkipBroken};
use crate::commands::training_photos::AllowTrainingPhotos;
use anyhow::Context;
use clap::Args;
use flukewatch_common::bundle::TrainingSet;
use flukewatch_common::clock::{Clock, SystemClock};
use flukewatch_common::decision::DecisionRule;
use flukewatch_ensemble::concatenate::{BundleRetrieval, check_alike, evaluate, one_bundle};
use flukewatch_ensemble::features::weights;
use flukewatch_eval::training_overlap::TrainingOverlap;
use std::path::PathBuf;

/// Put the embeddings of several bundles side by side: evaluate them, or write them as one bundle
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch ensemble concat first second --data devtest.csv
  flukewatch ensemble concat first second --weights 2,1 --data my-whales.csv --out both.flukebundle

A score of the whole is the weighted mean of the bundles' scores. To become one bundle (--out), all must prepare photos in the same \
way and embed the same views: one input then serves all models, and their graphs are merged, each in its own precision. Bundles \
that differ can still be evaluated together. The new bundle has an empty catalogue (flukewatch enroll fills it). With --data, its \
decision rule is fitted on those photos, none of which a model may have been trained on without --allow-training-photos.")]
pub(super) struct ConcatArgs {
    /// Bundles, folders or .flukebundle files
    #[arg(required = true, num_args = 2.., value_name = "BUNDLE")]
    bundles: Vec<PathBuf>,
    /// Weight of each bundle, in order [default: all the same]
    #[arg(long, value_delimiter = ',', value_name = "W,W")]
    weights: Vec<f32>,
    /// Labelled photos to evaluate on, leave one out: a CSV or a folder with one folder per whale
    #[arg(long, value_name = "CSV|DIR", required_unless_present = "out")]
    data: Option<PathBuf>,
    /// Folder of the photos of the CSV [default: the folder next to the CSV with its name]
    #[arg(long, value_name = "DIR", requires = "data")]
    photos: Option<PathBuf>,
    #[command(flatten)]
    table: TableArgs,
    /// Bundle to write: a single file if it ends in .flukebundle, otherwise a folder
    #[arg(long, value_name = "BUNDLE")]
    out: Option<PathBuf>,
    /// Name of the new bundle [default: the file name of --out]
    #[arg(long, requires = "out")]
    name: Option<String>,
    /// Write JSON: recall_at_1, recall_at_5, map_at_5, queries, enrolled, training_overlap of each
    /// bundle and of all together
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

pub(super) fn run(args: &ConcatArgs) -> anyhow::Result<()> {
    let bundles = open_all(&args.bundles)?;
    let weights = weights(&args.weights, bundles.len())?;
    if args.out.is_some() {
        // Before photos are embedded, which takes long.
        check_alike(&bundles)?;
    }
    let (mut retrievals, mut rule) = (vec![], DecisionRule::unfitted());
    if let Some(data) = &args.data {
        let quiet = args.quiet || args.json;
        let mut labelled = LabelledData::open(&args.table, data, args.photos.as_deref())?;
        labelled.retain(|p| p.whale.is_some());
        labelled.check(args.broken, quiet)?;
        let photos = &labelled.dataset.photos;
        let mut overlaps = bundles
            .iter()
            .map(|bundle| args.training.check(bundle, photos, data))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let all: Option<Vec<TrainingSet>> = bundles.iter().map(|b| b.training.clone()).collect();
        let together = all.map(|sets| TrainingOverlap::of(&TrainingSet::union(sets), photos));
        overlaps.push(together.transpose()?);
        (retrievals, rule) = evaluate(&bundles, &weights, photos, quiet)?
            .with_context(|| format!("{}: no whale has two photos", data.display()))?;
        for (retrieval, overlap) in retrievals.iter_mut().zip(overlaps) {
            retrieval.training_overlap = overlap;
        }
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&retrievals)?);
    } else {
        show(&retrievals);
    }
    if let Some(out) = &args.out {
        let stem = out.file_stem().unwrap_or_default().to_string_lossy();
        let name = args.name.clone().unwrap_or_else(|| stem.into_owned());
        let created = SystemClock.now().to_string();
        let bundle = one_bundle(&bundles, &weights, &name, &created, rule)?;
        bundle.save(out)?;
        eprintln!(
            "wrote {} (bundle {}, model {} bytes, {} numbers per photo)",
            out.display(),
            bundle.id(),
            bundle.model.len(),
            bundle.manifest.dimension
        );
    }
    Ok(())
}

fn show(retrievals: &[BundleRetrieval]) {
    let Some(last) = retrievals.last() else {
        return;
    };
    let width = retrievals.iter().map(|r| r.bundle.len()).max().unwrap_or(0);
    println!("{:width$}  R@1    R@5    MAP@5", "");
    for BundleRetrieval { bundle, found, .. } in retrievals {
        println!(
            "{bundle:width$}  {:.3}  {:.3}  {:.3}",
            found.recall_at_1, found.recall_at_5, found.map_at_5
        );
    }
    println!(
        "{} queries, {} photos enrolled",
        last.found.queries, last.found.enrolled
    );
}
