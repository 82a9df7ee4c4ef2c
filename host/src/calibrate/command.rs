//! The subcommand `flukewatch calibrate`.

use super::{Calibrated, Measured, Options, Scoring, calibrate};
use crate::dataset::Dataset;
use crate::embed;
use crate::evaluate::labelled::PhotoLabel;
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use flukewatch_common::bundle::Bundle;
use flukewatch_common::decision::{Chance, Curve, Limits};
use flukewatch_common::whale_score::WhaleScore;
use std::path::PathBuf;

/// Fit the decision rule of a bundle on whales apart: when is a whale known, when new, and how sure is it?
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch calibrate azores.flukebundle other-whales.csv --out azores-calibrated.flukebundle
  flukewatch calibrate azores.flukebundle other-whales.csv --max-false-match 0.01 --out careful.flukebundle
      no more than one new whale in a hundred may be given a name
  flukewatch calibrate azores.flukebundle other-whales.csv --max-missed-new 0.2 --out cautious.flukebundle
      four of five new whales must be called new, though more known ones are then called new too
  flukewatch calibrate azores.flukebundle other-whales.csv --dry-run --json
      only say what would be fitted, and what it is worth

DATA must hold whales that the model was not trained on and that the catalogue does not hold: on whales that it knows, a model is \
surer than it may be at sea. Photos of whales that are enrolled under the same name are left out. Half of the whales are enrolled \
beside the catalogue, several times over, and every photo is looked up; photos without a name (new_whale) count as new whales. \
What is printed as 'after' was fitted on one half of the whales and measured on the other; the rule that is written is fitted on \
all of them.

The rule belongs to the catalogue: enrolling more whales fits it anew on the catalogue alone, and this command then fits it again \
on whales apart.")]
pub struct CalibrateArgs {
    /// The bundle to start from, a folder or a .flukebundle file
    bundle: PathBuf,
    /// Labelled photos of whales apart: a CSV or a folder with a folder for each whale
    data: PathBuf,
    /// The photos of the CSV, if not in the folder beside it that bears its name
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,
    /// The bundle to write: a single file if it ends in .flukebundle, else a folder
    #[arg(
        long,
        value_name = "BUNDLE",
        required_unless_present = "dry_run",
        conflicts_with = "dry_run"
    )]
    out: Option<PathBuf>,
    /// Write no bundle
    #[arg(long)]
    dry_run: bool,
    /// The largest share of photos of new whales that may be given a name
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = share)]
    max_false_match: f64,
    /// The largest share of photos of known whales that may be called new
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = share)]
    max_missed_known: f64,
    /// The largest share of photos of new whales that may not be called new; goes before --max-missed-known
    #[arg(long, value_name = "SHARE", value_parser = share)]
    max_missed_new: Option<f64>,
    /// The curve of the chance: logistic for some hundred photos, isotonic for many
    #[arg(long, value_enum, default_value_t = CurveArg::Logistic)]
    curve: CurveArg,
    /// How a whale is scored by its photos: learned, bundle (as it is), best, mean:K, blend or blend:W:K
    #[arg(long, value_name = "WAY", default_value = "learned")]
    whale_score: String,
    /// How often half of the whales are drawn
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    draws: u16,
    /// Draws follow from this number
    #[arg(long, default_value_t = 1, value_name = "S")]
    seed: u64,
    /// Write JSON
    #[arg(long)]
    json: bool,
    /// Show no progress bar
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CurveArg {
    Logistic,
    Isotonic,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("a share from 0 to 1 is wanted, as 0.05".into()),
    }
}

/// Runs the command.
///
/// # Errors
/// What stops it, for people; the bundle to write is then not touched.
pub fn run(args: &CalibrateArgs) -> anyhow::Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    let scoring = match args.whale_score.as_str() {
        "learned" => Scoring::Learned,
        "bundle" => Scoring::Fixed(bundle.decision.whale_score),
        told => Scoring::Fixed(
            told.parse::<WhaleScore>()
                .context("--whale-score; learned and bundle may stand there too")?,
        ),
    };
    let dataset = Dataset::open(&args.data, args.photos.as_deref())?;
    if dataset.photos.is_empty() {
        bail!("{} holds no photo", args.data.display());
    }
    let embeddings = embed::all_photos(&bundle, &dataset.photos, args.quiet || args.json)?;
    let photos: Vec<_> = dataset
        .photos
        .iter()
        .map(PhotoLabel::from)
        .zip(embeddings)
        .collect();
    let options = Options {
        limits: Limits {
            false_match: args.max_false_match,
            missed_known: args.max_missed_known,
            missed_new: args.max_missed_new,
        },
        curve: match args.curve {
            CurveArg::Logistic => Curve::Logistic,
            CurveArg::Isotonic => Curve::Isotonic,
        },
        scoring,
        draws: usize::from(args.draws),
        seed: args.seed,
    };
    let found = calibrate(&bundle.catalogue, &photos, &bundle.decision, &options)
        .with_context(|| args.data.display().to_string())?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        print(&found);
    }
    if let Some(out) = &args.out {
        let catalogue = bundle.catalogue.clone();
        let bundle = bundle.with_catalogue(catalogue, found.rule)?;
        bundle.save(out)?;
        eprintln!("wrote {} (bundle {})", out.display(), bundle.id());
    }
    Ok(())
}

fn print(found: &Calibrated) {
    println!(
        "{} photos of {} whales apart, looked up beside {} enrolled photos",
        found.photos, found.whales, found.enrolled
    );
    if found.left_out > 0 {
        println!(
            "{} photos left out: the catalogue holds a whale of their name",
            found.left_out
        );
    }
    let percent = |share: f64| format!("{:>7.1} %", 100.0 * share);
    let row = |name: &str, value: &dyn Fn(&Measured) -> String| {
        println!(
            "{name:<34}{:>10}{:>12}",
            value(&found.before),
            value(&found.after)
        );
    };
    println!("{:<34}{:>10}{:>12}", "", "before", "after");
    row("known from", &|m| format!("{:.3}", m.rule.known_at));
    row("new below", &|m| format!("{:.3}", m.rule.new_below));
    row("known photos: rightly named", &|m| {
        percent(m.rule.known_named_rightly)
    });
    row("  wrongly named", &|m| percent(m.rule.known_named_wrongly));
    row("  for review", &|m| percent(m.rule.known_for_review));
    row("  called new", &|m| percent(m.rule.known_called_new));
    row("new photos: called new", &|m| {
        percent(m.rule.new_called_new)
    });
    row("  for review", &|m| percent(m.rule.new_for_review));
    row("  given a name", &|m| percent(m.rule.new_named));
    row("BAKS", &|m| format!("{:.3}", m.rule.baks.value));
    row("BAUS", &|m| format!("{:.3}", m.rule.baus.value));
    row("calibration error (ECE)", &|m| {
        format!("{:.3}", m.calibration_error)
    });
    println!("\na chance named | share that was right | photos");
    for (at, bin) in found.reliability.iter().enumerate() {
        if bin.photos > 0 {
            println!(
                "{:>6.1} to {:.1}  | {:>20.3} | {:>6}",
                at as f64 / 10.0,
                (at + 1) as f64 / 10.0,
                bin.right,
                bin.photos
            );
        }
    }
    println!(
        "\nthe rule, fitted on all of them: known from {:.3}, new below {:.3}, whales scored by {}",
        found.rule.known_at, found.rule.new_below, found.rule.whale_score
    );
    if let Some(Chance::Logistic { weights: [a, b, c] }) = &found.rule.chance {
        println!(
            "chance of the first whale: 1 / (1 + exp(-({a:.2} + {b:.2} score + {c:.2} lead)))"
        );
    }
}
