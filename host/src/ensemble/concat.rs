//! `flukewatch ensemble concat`: several models as one bundle.

use super::features::{embed, weights};
use super::merge::{check_alike, merge};
use crate::dataset::Dataset;
use crate::enroll::{enrol_all, refit};
use crate::retrieval::{Retrieval, leave_one_out};
use anyhow::{Context, bail};
use clap::Args;
use flukewatch_common::bundle::{Bundle, MAX_PART, ModelInfo, Precision};
use flukewatch_common::catalogue::Catalogue;
use flukewatch_common::clock::{Clock, SystemClock};
use flukewatch_common::decision::DecisionRule;
use flukewatch_common::embedding::Embedding;
use flukewatch_common::golden::golden;
use serde::Serialize;
use std::path::PathBuf;

/// Put the embeddings of several bundles side by side: measure them, or write them as one bundle.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch ensemble concat first second --data devtest.csv
  flukewatch ensemble concat first second --weights 2,1 --data my-whales.csv --out both.flukebundle

A score of the whole is the weighted mean of the bundles' scores. To become one bundle (--out), all must prepare photos in the \
same way and look at them in the same views: then one input serves all models, and their graphs become one, each in the numbers \
that it has (float or int8). Bundles that differ can still be measured together. The new bundle's catalogue is empty: flukewatch \
enroll fills it. With --data, its decision rule is fitted on those photos.")]
pub struct ConcatArgs {
    /// The bundles, folders or .flukebundle files
    #[arg(required = true, num_args = 2.., value_name = "BUNDLE")]
    bundles: Vec<PathBuf>,
    /// How much each bundle counts, in their order [default: all the same]
    #[arg(long, value_delimiter = ',', value_name = "W,W")]
    weights: Vec<f32>,
    /// Measure on labelled photos, leave one out: a CSV or a folder with a folder for each whale
    #[arg(long, value_name = "CSV|DIR", required_unless_present = "out")]
    data: Option<PathBuf>,
    /// The photos of the CSV, if not in the folder beside it that bears its name
    #[arg(long, value_name = "DIR", requires = "data")]
    photos: Option<PathBuf>,
    /// The bundle to write: a single file if it ends in .flukebundle, else a folder
    #[arg(long, value_name = "BUNDLE")]
    out: Option<PathBuf>,
    /// The new bundle's name [default: the last part of --out]
    #[arg(long, requires = "out")]
    name: Option<String>,
    /// Write JSON: for each bundle and for the whole recall_at_1, recall_at_5, map_at_5, queries, enrolled
    #[arg(long)]
    json: bool,
    /// Show no progress bar
    #[arg(long)]
    quiet: bool,
}

#[derive(Debug, Serialize)]
struct Measured {
    bundle: String,
    #[serde(flatten)]
    found: Retrieval,
}

/// Runs the command.
///
/// # Errors
/// When bundles or photos cannot be used, or the bundles do not make one.
pub fn run(args: &ConcatArgs) -> anyhow::Result<()> {
    let bundles = args
        .bundles
        .iter()
        .map(|path| Bundle::open(path))
        .collect::<Result<Vec<_>, _>>()?;
    let weights = weights(&args.weights, bundles.len())?;
    if args.out.is_some() {
        // Before the photos are embedded, which takes long.
        check_alike(&bundles)?;
    }
    let (mut measured, mut rule) = (vec![], None);
    if let Some(data) = &args.data {
        let mut dataset = Dataset::open(data, args.photos.as_deref())?;
        dataset.photos.retain(|p| p.whale.is_some());
        let (joined, alone) = embed(&bundles, &weights, &dataset.photos, args.quiet || args.json)?;
        let catalogue_of = |embeddings: &[Embedding]| {
            let dimension = embeddings.first().map_or(0, Embedding::dimension);
            let named = dataset
                .photos
                .iter()
                .zip(embeddings)
                .filter_map(|(p, e)| Some((p.whale.as_deref()?, p.name.as_str(), e)));
            enrol_all(dimension, named)
        };
        for (name, embeddings) in bundles
            .iter()
            .map(|b| b.manifest.name.as_str())
            .chain(["together"])
            .zip(alone.iter().chain([&joined]))
        {
            let found = leave_one_out(&catalogue_of(embeddings)?).with_context(|| {
                format!(
                    "{} has no whale with two photos, so none can be found again",
                    data.display()
                )
            })?;
            measured.push(Measured {
                bundle: name.to_owned(),
                found,
            });
        }
        rule = Some(refit(&catalogue_of(&joined)?, &DecisionRule::unfitted()).0);
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&measured)?);
    } else if !measured.is_empty() {
        show(&measured);
    }
    if let Some(out) = &args.out {
        let stem = out.file_stem().unwrap_or_default().to_string_lossy();
        let name = args.name.clone().unwrap_or_else(|| stem.into_owned());
        let created = SystemClock.now().to_string();
        let rule = rule.unwrap_or_else(DecisionRule::unfitted);
        let bundle = one_bundle(&bundles, &weights, &name, &created, rule)?;
        bundle.save(out)?;
        eprintln!(
            "wrote {} (bundle {}, model {} bytes, {} numbers a photo)",
            out.display(),
            bundle.id(),
            bundle.model.len(),
            bundle.manifest.dimension
        );
    }
    Ok(())
}

fn show(measured: &[Measured]) {
    let wide = measured.iter().map(|m| m.bundle.len()).max().unwrap_or(0);
    println!("{:wide$}  R@1    R@5    MAP@5", "");
    for m in measured {
        println!(
            "{:wide$}  {:.3}  {:.3}  {:.3}",
            m.bundle, m.found.recall_at_1, m.found.recall_at_5, m.found.map_at_5
        );
    }
    if let Some(m) = measured.last() {
        println!(
            "{} queries, {} photos enrolled",
            m.found.queries, m.found.enrolled
        );
    }
}

/// The bundles as one, with an empty catalogue. Its embedding of a photo is [`super::features::join`] of theirs.
///
/// # Errors
/// When they are not alike, or their models do not make one that runs.
pub fn one_bundle(
    bundles: &[Bundle],
    weights: &[f32],
    name: &str,
    created: &str,
    rule: DecisionRule,
) -> anyhow::Result<Bundle> {
    let model = merge(bundles, weights)?;
    let Some(first) = bundles.first().map(|b| &b.manifest) else {
        bail!("no bundle is given");
    };
    if model.len() as u64 > MAX_PART {
        bail!(
            "the merged model has {} bytes, a bundle holds {MAX_PART} at most",
            model.len()
        );
    }
    let each = |what: fn(&ModelInfo) -> String| -> Vec<String> {
        bundles.iter().map(|b| what(&b.manifest.model)).collect()
    };
    let all_int8 = bundles
        .iter()
        .all(|b| b.manifest.model.precision == Precision::Int8);
    let mut trained_on = each(|m| m.trained_on.clone());
    trained_on.dedup();
    let info = ModelInfo {
        architecture: each(|m| m.architecture.clone()).join(" + "),
        precision: if all_int8 {
            Precision::Int8
        } else {
            Precision::F32
        },
        opset: first.model.opset,
        trained_on: trained_on.join("; "),
    };
    let mut card = format!(
        "# {name}\n\nSeveral models side by side; a score is the weighted mean of theirs.\n"
    );
    for (bundle, weight) in bundles.iter().zip(weights) {
        card += &format!(
            "\n## {} (weight {weight}, {:?}, bundle {})\n\n{}\n",
            bundle.manifest.name,
            bundle.manifest.model.precision,
            bundle.id(),
            bundle.card.trim()
        );
    }
    let dimension = bundles.iter().map(|b| b.manifest.dimension).sum();
    let bundle = Bundle::new(
        name,
        created,
        first.preparation.clone(),
        first.views.clone(),
        info,
        model,
        Catalogue::new(dimension),
        rule,
        card,
    )?;
    // A model that cannot run is refused here and not on the boat.
    let golden = golden(&bundle)?;
    let detector = bundles.iter().find_map(|b| b.detector_part());
    Ok(bundle.with_golden(golden)?.with_detector(detector)?)
}

#[cfg(test)]
mod tests;
