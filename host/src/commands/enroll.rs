//! `flukewatch enroll`: add photos of known whales to a bundle's catalogue.

use super::arguments::{fraction, stem};
use super::data::TableArgs;
use super::labelled_data::{LabelledData, SkipBroken};
use super::training_photos;
use anyhow::{Context, bail};
use clap::Args;
use flukewatch_common::bundle::Bundle;
use flukewatch_common::decision::ErrorLimits;
use flukewatch_common::local_matching::LocalCatalogue;
use flukewatch_eval::enrol::{RulePurpose, enrol, fit_rule_for};
use std::path::PathBuf;

/// Enrol known whales: add labelled photos to a bundle's catalogue.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch enroll models/humpback-lite0 my-whales.csv --source 'Azores 2026' --out azores.flukebundle
  flukewatch enroll models/humpback-lite0 my-whales.csv --max-false-match-rate 0.01 --out careful.flukebundle
      at most one new whale in a hundred gets the name of another one; more sightings are for review

Photos of unknown whales (new_whale) are not enrolled. Whales already in the bundle stay; a photo of the same name and whale is \
not enrolled twice, nor is a copy of it under another name in the same table. Encounter and date of a photo are stored with it. With \
at least 20 encounters with whales that were met in another (20 photos of whales with two or more where encounters are not known), the \
decision rule is fitted again to the new catalogue: each encounter is searched among the others, never among photos of its own, the \
same whale's of the same day where the encounter is not named, or near-duplicates.")]
pub(crate) struct EnrollArgs {
    /// Bundle to start from: a folder or a .flukebundle file
    bundle: PathBuf,
    /// Labelled photos: a CSV (columns: flukewatch --help), or a folder with one folder per whale
    data: PathBuf,
    /// Folder of the photos of the CSV [default: the folder next to the CSV with the same name]
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,
    #[command(flatten)]
    table: TableArgs,
    /// Source of the photos, stored with each of them [default: the name of the table]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Fraction of the whales that are met that are expected to be new [default: as in the bundle, else 0.5]
    #[arg(long, value_name = "FRACTION", value_parser = fraction)]
    prior_new_whales: Option<f64>,
    /// Largest fraction of encounters with new whales that get a name, when the rule is fitted
    #[arg(long, value_name = "FRACTION", default_value_t = 0.05, value_parser = fraction)]
    max_false_match_rate: f64,
    /// Largest fraction of encounters with known whales that are called new, when the rule is fitted
    #[arg(long, value_name = "FRACTION", default_value_t = 0.05, value_parser = fraction)]
    max_false_new_rate: f64,
    /// Bundle to write: a single file if it ends in .flukebundle, else a folder
    #[arg(long, value_name = "BUNDLE")]
    out: PathBuf,
    #[command(flatten)]
    broken: SkipBroken,
    /// Show no progress bar
    #[arg(long)]
    quiet: bool,
}

pub(crate) fn run(args: &EnrollArgs) -> anyhow::Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    let mut data = LabelledData::open(&args.table, &args.data, args.photos.as_deref())?;
    data.check_those(args.broken, args.quiet, |photo| photo.whale.is_some())?;
    let overlap = training_photos::report(&bundle, &data.dataset.photos, &args.data)?;
    let source = args.source.clone().unwrap_or_else(|| stem(&args.data));
    let enrolment = enrol(&bundle, &data.dataset, &source, args.quiet)?;
    let catalogue = enrolment.catalogue;
    if catalogue.is_empty() {
        bail!(
            "{} contains no readable photos of named whales",
            args.data.display()
        );
    }
    println!(
        "enrolled {} photos of {} whales",
        catalogue.len(),
        catalogue.whales()
    );
    for (count, what) in [
        (enrolment.unnamed, "without a name, not enrolled"),
        (enrolment.already_enrolled, "already enrolled"),
    ] {
        if count > 0 {
            println!("{count} photos {what}");
        }
    }
    if let Some(overlap) = overlap.filter(|overlap| !overlap.is_empty()) {
        println!(
            "model trained on {overlap}: thresholds that are fitted on them are too high for other whales"
        );
    }
    let purpose = RulePurpose {
        limits: ErrorLimits {
            false_match_rate: args.max_false_match_rate,
            false_new_rate: args.max_false_new_rate,
            missed_new_rate: None,
        },
        expected_new_whales: args
            .prior_new_whales
            .unwrap_or_else(|| bundle.decision.expected_new_whales()),
    };
    let local = enrolment.local;
    let described = local.as_ref().zip(bundle.manifest.local.as_ref());
    let described = described.map(|(photos, info)| LocalCatalogue {
        photos,
        score: &info.score,
    });
    let rule = match fit_rule_for(&catalogue, described, &bundle.decision, &purpose)? {
        Some(rule) => {
            println!(
                "thresholds fitted: known from {:.3}, new below {:.3}",
                rule.known_at, rule.new_below
            );
            rule
        }
        None => {
            let old = bundle
                .decision
                .clone()
                .expecting_new_whales(purpose.expected_new_whales);
            println!(
                "thresholds kept (known from {:.3}, new below {:.3}): too few whales with two encounters to fit them",
                old.known_at, old.new_below
            );
            if let Some(warning) = old.warning() {
                eprintln!("warning: {}: {warning}", args.bundle.display());
            }
            old
        }
    };
    let bundle = bundle.with_enrolled(catalogue, local, rule)?;
    bundle
        .save(&args.out)
        .with_context(|| args.out.display().to_string())?;
    println!("wrote {} (bundle {})", args.out.display(), bundle.id());
    Ok(())
}
