//! `flukewatch calibrate`: fit the decision rule of a bundle on disjoint identities.

use super::arguments::fraction;
use super::data::TableArgs;
use super::labelled_data::{LabelledData, SkipBroken};
use super::training_photos::AllowTrainingPhotos;
use anyhow::Context;
use clap::{Args, ValueEnum};
use flukewatch_common::bundle::Bundle;
use flukewatch_common::decision::{Calibrator, Curve, ErrorLimits};
use flukewatch_common::embedding::Embedding;
use flukewatch_common::whale_score::WhaleScore;
use flukewatch_dataset::DatasetError;
use flukewatch_eval::audit::near_duplicates::first_copies;
use flukewatch_eval::calibration::{
    CalibrationOptions, CalibrationResult, RuleEvaluation, WhaleScoreChoice, calibrate,
};
use flukewatch_eval::embed;
use flukewatch_eval::gallery::label::PhotoLabel;
use std::path::PathBuf;

/// Calibrate a bundle on disjoint identities: fit probabilities and thresholds of its decision
/// rule.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch calibrate azores.flukebundle other-whales.csv --out azores-calibrated.flukebundle
  flukewatch calibrate azores.flukebundle other-whales.csv --max-false-match-rate 0.01 --out careful.flukebundle
      at most one new whale in a hundred gets a name
  flukewatch calibrate azores.flukebundle other-whales.csv --max-missed-new-rate 0.2 --out cautious.flukebundle
      four of five new whales are called new, at the cost of more known ones called new
  flukewatch calibrate azores.flukebundle other-whales.csv --prior-new-whales 0.1 --out resident.flukebundle
      one of ten whales that are met is expected to be new: probabilities are higher than where half are
  flukewatch calibrate azores.flukebundle other-whales.csv --dry-run --json
      fit and evaluate, write nothing

DATA must hold whales that are neither in the training data nor in the catalogue: on whales that it knows, a model is too \
confident. Photos that it was trained on are an error without --allow-training-photos. Photos of whales that are enrolled under the same name are skipped. In each trial, half of the whales are enrolled in \
addition to the catalogue, and encounters of 1 to 5 photos are searched as on the boat, never among photos of the same encounter; \
photos of unknown whales (new_whale) count as new. The whales are in three parts: the rule is fitted on one, the whale score selected \
on another, and the figures come from the third; the rule that is written is fitted on all.

The rule belongs to the catalogue: enrolling more whales fits it again to the catalogue alone. Calibrate again afterwards.")]
pub(crate) struct CalibrateArgs {
    /// Bundle to start from: a folder or a .flukebundle file
    bundle: PathBuf,
    /// Labelled photos of disjoint identities: a CSV, or a folder with one folder per whale
    data: PathBuf,
    /// Folder of the photos of the CSV [default: the folder next to the CSV with the same name]
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,
    #[command(flatten)]
    table: TableArgs,
    /// Bundle to write: a single file if it ends in .flukebundle, else a folder
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
    /// Largest fraction of encounters with new whales that get a name
    #[arg(long, value_name = "FRACTION", default_value_t = 0.05, value_parser = fraction)]
    max_false_match_rate: f64,
    /// Largest fraction of encounters with known whales that are called new
    #[arg(long, value_name = "FRACTION", default_value_t = 0.05, value_parser = fraction)]
    max_false_new_rate: f64,
    /// Largest fraction of encounters with new whales that are not called new; takes precedence over
    /// --max-false-new-rate
    #[arg(long, value_name = "FRACTION", value_parser = fraction)]
    max_missed_new_rate: Option<f64>,
    /// Form of the calibrator: logistic for some hundred photos, isotonic for many
    #[arg(long, value_enum, default_value_t = CalibratorArg::Logistic)]
    calibrator: CalibratorArg,
    /// Score of a whale from its photos: learned, bundle (as in the bundle), best, mean:K or
    /// blend[:W:K]
    #[arg(long, value_name = "SCORE", default_value = "learned")]
    whale_score: String,
    /// Fraction of the whales that are met that are expected to be new [default: as in the bundle, else 0.5]
    #[arg(long, value_name = "FRACTION", value_parser = fraction)]
    prior_new_whales: Option<f64>,
    /// Number of trials
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    trials: u16,
    /// Seed of the trials
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Write JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    training: AllowTrainingPhotos,
    #[command(flatten)]
    broken: SkipBroken,
    /// Show no progress bar
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CalibratorArg {
    Logistic,
    Isotonic,
}

pub(crate) fn run(args: &CalibrateArgs) -> anyhow::Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    let whale_score = match args.whale_score.as_str() {
        "learned" => WhaleScoreChoice::Learned,
        "bundle" => WhaleScoreChoice::Fixed(bundle.decision.whale_score),
        other => WhaleScoreChoice::Fixed(
            other
                .parse::<WhaleScore>()
                .context("--whale-score: expected learned, bundle or a whale score")?,
        ),
    };
    let mut data = LabelledData::open(&args.table, &args.data, args.photos.as_deref())?;
    data.check(args.broken, args.quiet || args.json)?;
    let dataset = &data.dataset;
    let overlap = args.training.check(&bundle, &dataset.photos, &args.data)?;
    let embedded = embed::all_embedded(&bundle, &dataset.photos, args.quiet || args.json)?;
    let embeddings: Vec<Embedding> = embedded.iter().map(|p| p.embedding.clone()).collect();
    let firsts = first_copies(&dataset.photos, &embeddings, &bundle.manifest.views)?;
    let photos = dataset
        .photos
        .iter()
        .zip(firsts)
        .zip(embedded)
        .map(|((photo, first), embedded)| {
            let label = PhotoLabel {
                near_duplicate_of: first.map(|first| dataset.photos[first].name.clone()),
                ..PhotoLabel::of(photo)?
            };
            Ok((label, embedded))
        })
        .collect::<Result<Vec<_>, DatasetError>>()?;
    let options = CalibrationOptions {
        limits: ErrorLimits {
            false_match_rate: args.max_false_match_rate,
            false_new_rate: args.max_false_new_rate,
            missed_new_rate: args.max_missed_new_rate,
        },
        curve: match args.calibrator {
            CalibratorArg::Logistic => Curve::Logistic,
            CalibratorArg::Isotonic => Curve::Isotonic,
        },
        whale_score,
        trials: usize::from(args.trials),
        seed: args.seed,
        expected_new_whales: args
            .prior_new_whales
            .unwrap_or_else(|| bundle.decision.expected_new_whales()),
    };
    let result = calibrate(
        &bundle.catalogue,
        bundle.local_catalogue(),
        &photos,
        &bundle.decision,
        &options,
    )
    .with_context(|| args.data.display().to_string())?;
    if args.json {
        let mut value = serde_json::to_value(&result)?;
        if let Some(fields) = value.as_object_mut() {
            fields.insert("training_overlap".into(), serde_json::to_value(&overlap)?);
        }
        println!("{}", serde_json::to_string_pretty(&value)?);
    } else {
        print(&result);
        match &overlap {
            Some(overlap) => println!("model trained on {overlap}"),
            None => println!("model trained on unknown photos: they may be among these"),
        }
    }
    if let Some(out) = &args.out {
        let catalogue = bundle.catalogue.clone();
        let bundle = bundle.with_catalogue(catalogue, result.rule)?;
        bundle.save(out)?;
        eprintln!("wrote {} (bundle {})", out.display(), bundle.id());
    }
    Ok(())
}

fn print(result: &CalibrationResult) {
    println!(
        "{} photos of {} disjoint whales, searched as encounters with {} enrolled photos",
        result.photos, result.whales, result.enrolled
    );
    if result.skipped > 0 {
        println!(
            "{} photos skipped: the catalogue holds a whale of this name",
            result.skipped
        );
    }
    let percent = |fraction: f64| format!("{:>7.1} %", 100.0 * fraction);
    let row = |name: &str, value: &dyn Fn(&RuleEvaluation) -> String| {
        let [before, after] = [&result.before, &result.after]
            .map(|evaluation| evaluation.as_ref().map_or_else(|| "-".into(), value));
        println!("{name:<34}{before:>10}{after:>12}");
    };
    println!("{:<34}{:>10}{:>12}", "", "before", "after");
    if result.after.is_none() {
        println!("too few whales to evaluate on others than those that the rule is fitted on");
    }
    row("known from", &|e| format!("{:.3}", e.rule.known_at));
    row("new below", &|e| format!("{:.3}", e.rule.new_below));
    row("known encounters: right name", &|e| {
        percent(e.rule.true_identification_rate)
    });
    row("  wrong name", &|e| percent(e.rule.misidentification_rate));
    row("  review", &|e| percent(e.rule.known_review_rate));
    row("  called new", &|e| percent(e.rule.false_new_rate));
    row("new encounters: called new", &|e| {
        percent(e.rule.true_new_rate)
    });
    row("  review", &|e| percent(e.rule.new_review_rate));
    row("  given a name", &|e| percent(e.rule.false_match_rate));
    row("BAKS", &|e| format!("{:.3}", e.rule.baks.value));
    row("BAUS", &|e| format!("{:.3}", e.rule.baus.value));
    row("expected calibration error", &|e| {
        format!("{:.3}", e.expected_calibration_error)
    });
    println!("\nprobability | fraction correct | encounters");
    for (at, bin) in result.reliability.iter().flatten().enumerate() {
        if bin.photos > 0 {
            println!(
                "{:>4.1} to {:.1}  | {:>16.3} | {:>6}",
                at as f64 / 10.0,
                (at + 1) as f64 / 10.0,
                bin.fraction_correct,
                bin.photos
            );
        }
    }
    println!(
        "\nrule fitted on all whales: known from {:.3}, new below {:.3}, whale score {}",
        result.rule.known_at, result.rule.new_below, result.rule.whale_score
    );
    if let Some(Calibrator::Logistic { weights: [a, b, c] }) = &result.rule.calibrator {
        println!(
            "probability of the top-1 whale: 1 / (1 + exp(-({a:.2} + {b:.2} score + {c:.2} margin)))"
        );
    }
    if let Some(prior) = &result.rule.prior_new_whales {
        println!(
            "  where {:.2} of the whales are new; corrected for an expected {:.2} (--prior-new-whales)",
            prior.fitted, prior.expected
        );
    }
}
