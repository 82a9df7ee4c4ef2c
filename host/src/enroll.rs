//! `flukewatch enroll`: photos of known whales into a bundle's catalogue, and the decision rule fitted to it.

use crate::dataset::Dataset;
use crate::embed;
use crate::retrieval::{Scores, scores};
use anyhow::{Context, bail};
use clap::Args;
use flukewatch_common::bundle::Bundle;
use flukewatch_common::catalogue::{Catalogue, Enrolled};
use flukewatch_common::decision::{Chance, Curve, DecisionRule, Limits};
use flukewatch_common::embedding::Embedding;
use std::collections::HashSet;
use std::path::PathBuf;

/// Enrol the whales that you know: photos and a table in, a bundle with a catalogue out.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  flukewatch enroll models/humpback-lite0 my-whales.csv --source 'Azores 2026' --out azores.flukebundle

Photos without a name (new_whale) are not enrolled. Whales already in the bundle stay; a photo of the same name and whale is \
not enrolled twice. With at least 20 photos of whales that have two or more, the thresholds of 'known' and 'new' are set anew \
for the new catalogue.")]
pub struct EnrollArgs {
    /// The bundle to start from, a folder or a .flukebundle file
    bundle: PathBuf,
    /// Labelled photos: a CSV or a folder with a folder for each whale
    data: PathBuf,
    /// The photos of the CSV, if not in the folder beside it that bears its name
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,
    /// Where the photos come from, kept with each of them [default: the table's name]
    #[arg(long)]
    source: Option<String>,
    /// The bundle to write: a single file if it ends in .flukebundle, else a folder
    #[arg(long, value_name = "BUNDLE")]
    out: PathBuf,
    /// Leave out photos that cannot be used, naming each, instead of ending at the first
    #[arg(long)]
    skip_broken: bool,
    /// Show no progress bar
    #[arg(long)]
    quiet: bool,
}

/// Runs the command.
///
/// # Errors
/// What stops it, for people; the bundle to write is then not touched.
pub fn run(args: &EnrollArgs) -> anyhow::Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    let mut dataset = Dataset::open(&args.data, args.photos.as_deref())?;
    let unnamed = dataset.photos.len();
    dataset.photos.retain(|p| p.whale.is_some());
    let unnamed = unnamed - dataset.photos.len();
    let stem = args
        .data
        .file_stem()
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default();
    let source = args.source.clone().unwrap_or(stem);

    let mut catalogue = bundle.catalogue.clone();
    let present: HashSet<(String, String)> = catalogue
        .entries()
        .iter()
        .map(|e| (e.whale.clone(), e.photo.clone()))
        .collect();
    let before = dataset.photos.len();
    dataset
        .photos
        .retain(|p| !present.contains(&(p.whale.clone().unwrap_or_default(), p.name.clone())));
    let again = before - dataset.photos.len();

    let mut broken = 0;
    for (photo, embedding) in
        dataset
            .photos
            .iter()
            .zip(embed::photos(&bundle, &dataset.photos, args.quiet)?)
    {
        match embedding {
            Ok(embedding) => {
                let whale = photo.whale.clone().unwrap_or_default();
                catalogue.enrol(
                    Enrolled {
                        whale,
                        photo: photo.name.clone(),
                        source: source.clone(),
                    },
                    &embedding,
                )?;
            }
            Err(error) if args.skip_broken => {
                broken += 1;
                eprintln!("left out: {error}");
            }
            Err(error) => {
                return Err(error)
                    .context("nothing was enrolled; --skip-broken leaves such photos out");
            }
        }
    }
    if catalogue.is_empty() {
        bail!(
            "{} holds no photo of a named whale that could be enrolled",
            args.data.display()
        );
    }
    let (decision, note) = refit(&catalogue, &bundle.decision);
    println!(
        "enrolled {} photos of {} whales",
        catalogue.len(),
        catalogue.whales()
    );
    for (count, what) in [
        (unnamed, "without a name, not enrolled"),
        (again, "enrolled before"),
        (broken, "that could not be used"),
    ] {
        if count > 0 {
            println!("{count} photos {what}");
        }
    }
    println!("{note}");
    let bundle = bundle.with_catalogue(catalogue, decision)?;
    bundle.save(&args.out)?;
    println!("wrote {} (bundle {})", args.out.display(), bundle.id());
    Ok(())
}

/// The rule for this catalogue, and in words what became of it. Each photo is looked up among the others: with its own whale
/// there as a known one, without its whale as a new one. Whales are scored as the old rule says.
pub fn refit(catalogue: &Catalogue, old: &DecisionRule) -> (DecisionRule, String) {
    let Scores {
        known,
        impostor,
        cases,
    } = scores(catalogue, old.whale_score);
    let on = format!(
        "the catalogue itself, leave one out: {} known and {} new looks at {} whales",
        known.len(),
        impostor.len(),
        catalogue.whales()
    );
    match DecisionRule::fit(&known, &impostor, &Limits::default(), on) {
        Some(rule) => {
            let note = format!(
                "thresholds set anew: known from {:.3}, new below {:.3}",
                rule.known_at, rule.new_below
            );
            let rule = DecisionRule {
                whale_score: old.whale_score,
                chance: Chance::fit(Curve::Logistic, &cases),
                ..rule
            };
            (rule, note)
        }
        None => {
            let note = format!(
                "thresholds kept (known from {:.3}, new below {:.3}): too few whales with two photos to set them anew",
                old.known_at, old.new_below
            );
            (old.clone(), note)
        }
    }
}

/// Enrols embeddings that are already there, as `(whale, photo, embedding)`.
///
/// # Errors
/// When one is of another dimension or has no name.
pub fn enrol_all<'a>(
    dimension: usize,
    photos: impl Iterator<Item = (&'a str, &'a str, &'a Embedding)>,
) -> anyhow::Result<Catalogue> {
    let mut catalogue = Catalogue::new(dimension);
    for (whale, photo, embedding) in photos {
        let entry = Enrolled {
            whale: whale.to_owned(),
            photo: photo.to_owned(),
            source: String::new(),
        };
        catalogue.enrol(entry, embedding)?;
    }
    Ok(catalogue)
}
