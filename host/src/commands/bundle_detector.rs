//! `flukewatch bundle-detector`: the detector of a bundle.

use anyhow::{Context, bail};
use clap::Args;
use flukewatch_common::bundle::Bundle;
use flukewatch_export::detector::export;
use flukewatch_inference::detector::Detector;
use std::path::PathBuf;

/// Add a trained fluke detector to a bundle, copy one from another bundle, or remove it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch bundle-detector azores.flukebundle --run runs/detector --threshold 0.4 --out azores.flukebundle
  flukewatch bundle-detector azores.flukebundle --from models/humpback-lite0 --out azores.flukebundle
  flukewatch bundle-detector azores.flukebundle --none --out azores.flukebundle

The bundle gets a new id. The threshold is the minimum score of a detection; flukewatch \
evaluate-detector reports which one gives one false alarm per hour.")]
pub(crate) struct BundleDetectorArgs {
    /// Bundle to change; it is not overwritten
    bundle: PathBuf,
    /// Trained detector: the folder of a run of train-detector, or a checkpoint
    #[arg(long, value_name = "DIR", group = "source")]
    run: Option<PathBuf>,
    /// Bundle to copy the detector from
    #[arg(long, value_name = "BUNDLE", group = "source")]
    from: Option<PathBuf>,
    /// Remove the detector
    #[arg(long, group = "source")]
    none: bool,
    /// Minimum score of a detection [default: 0.4, or that of --from]
    #[arg(long, value_name = "SCORE")]
    threshold: Option<f32>,
    /// New model card, a Markdown file [default: the bundle's]
    #[arg(long, value_name = "FILE")]
    card: Option<PathBuf>,
    /// Bundle to write: a single file if it ends in .flukebundle, else a folder
    #[arg(long, value_name = "BUNDLE")]
    out: PathBuf,
}

/// Threshold of a detector that has not been evaluated.
const THRESHOLD: f32 = 0.4;

pub(crate) fn run(args: &BundleDetectorArgs) -> anyhow::Result<()> {
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
                "specify a detector with --run, --from or --none, or a new --threshold for the bundle's"
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
    // Fails here rather than on the boat.
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
