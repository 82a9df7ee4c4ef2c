//! The subcommand `flukewatch bundle-detector`.

use super::export::export;
use anyhow::{Context, bail};
use clap::Args;
use flukewatch_common::bundle::Bundle;
use flukewatch_common::detector::Detector;
use std::path::PathBuf;

/// Put a trained detector of flukes into a bundle, or the one of another bundle, or take it out.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch bundle-detector azores.flukebundle --run runs/detector --threshold 0.4 --out azores.flukebundle
  flukewatch bundle-detector azores.flukebundle --from models/humpback-lite0 --out azores.flukebundle
  flukewatch bundle-detector azores.flukebundle --none --out azores.flukebundle

A bundle with a detector has format 3 and another id. The threshold is the score from which a box is told as a fluke; \
'flukewatch evaluate-detector' says which one gives a false alarm an hour.")]
pub struct BundleDetectorArgs {
    /// The bundle to begin with
    bundle: PathBuf,
    /// The folder or checkpoint of a training by train-detector
    #[arg(long, value_name = "DIR", group = "source")]
    run: Option<PathBuf>,
    /// A bundle whose detector to take
    #[arg(long, value_name = "BUNDLE", group = "source")]
    from: Option<PathBuf>,
    /// Take the detector out
    #[arg(long, group = "source")]
    none: bool,
    /// The score from which a box is told as a fluke [default: 0.4, or as --from has it]
    #[arg(long, value_name = "SCORE")]
    threshold: Option<f32>,
    /// A new model card, a Markdown file [default: the bundle's own]
    #[arg(long, value_name = "FILE")]
    card: Option<PathBuf>,
    /// The bundle to write: a single file if it ends in .flukebundle, else a folder
    #[arg(long, value_name = "BUNDLE")]
    out: PathBuf,
}

/// Without an evaluation.
const THRESHOLD: f32 = 0.4;

/// Runs the command.
///
/// # Errors
/// What stops it, for people; nothing is written then.
pub fn run(args: &BundleDetectorArgs) -> anyhow::Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    let mut part = match (&args.run, &args.from) {
        (Some(run), _) => Some(export(run, THRESHOLD)?),
        (None, Some(from)) => {
            let Some(part) = Bundle::open(from)?.detector_part() else {
                bail!("{} has no detector", from.display());
            };
            Some(part)
        }
        (None, None) if args.none => None,
        (None, None) => match bundle.detector_part() {
            Some(part) if args.threshold.is_some() || args.card.is_some() => Some(part),
            _ => bail!(
                "say which detector: --run, --from, or --none; or a new --threshold for its own"
            ),
        },
    };
    if let (Some((info, _)), Some(threshold)) = (&mut part, args.threshold) {
        info.threshold = threshold;
    }
    let mut bundle = bundle.with_detector(part)?;
    if let Some(path) = &args.card {
        let card = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        bundle = bundle.with_card(card)?;
    }
    // A detector that does not run must not travel.
    let detector = Detector::open(&bundle)?;
    bundle.save(&args.out)?;
    let what = match (&detector, &bundle.detector) {
        (Some(_), Some(model)) => format!("detector {} bytes", model.len()),
        _ => "no detector".into(),
    };
    println!(
        "wrote {} (bundle {}, {what})",
        args.out.display(),
        bundle.id()
    );
    Ok(())
}
