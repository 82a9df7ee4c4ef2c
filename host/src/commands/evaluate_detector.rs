//! `flukewatch evaluate-detector`: measure a bundle's detector.

use super::data::TableArgs;
use super::labelled_data::{LabelledData, SkipBroken};
use clap::Args;
use flukewatch_common::bundle::Bundle;
use flukewatch_eval::detector::evaluation::{
    DetectorEvaluation, DetectorEvaluationOptions, ThresholdResult, evaluate,
};
use flukewatch_eval::detector::negatives::{self, NegativesEvaluation};
use flukewatch_synth::arguments::frame_size;
use std::path::PathBuf;

/// Measure a bundle's detector of flukes: precision, recall by size, and false alarms on open sea.
///
/// Finds the lowest threshold with at most one false alarm per hour of synthetic open sea with
/// birds, boats, fins, backs, blows and weed. An alarm is a box of at least 3 % of the frame's
/// width at one position in three of five consecutive frames, much like on a boat. Encounters are
/// with flukes of 72 to 700 pixels in a frame 1,920 wide. Reports recall by size and detected
/// encounters at this threshold and at the bundle's own.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch evaluate-detector models/humpback-lite0 --data devtest.csv
  flukewatch evaluate-detector my.flukebundle --hours 4 --encounters 200 --json
  flukewatch evaluate-detector my.flukebundle --negatives stills-without-flukes/ --json

A detection is right if its intersection over union with the fluke's box is at least 0.5. Sizes are widths in frames 1,920 pixels \
wide. Use photos and seeds that the detector was not trained on, and choose no threshold on photos that you report.")]
pub(crate) struct EvaluateDetectorArgs {
    /// Bundle with a detector
    bundle: PathBuf,
    /// Photos with boxes: evaluated as they are, and with their flukes placed on synthetic seas
    #[arg(long, value_name = "CSV")]
    data: Option<PathBuf>,
    /// Folder of the photos of the CSV [default: the folder next to the CSV with the same name]
    #[arg(long, value_name = "DIR", requires = "data")]
    photos: Option<PathBuf>,
    #[command(flatten)]
    table: TableArgs,
    /// Count detections in photos of a folder that show no fluke, at the bundle's threshold, and do nothing else
    #[arg(long, value_name = "DIR", conflicts_with_all = ["data", "hours", "encounters", "images"])]
    negatives: Option<PathBuf>,
    /// Seed of seas, positions and drawn flukes
    #[arg(long, default_value_t = 1001, value_name = "N")]
    seed: u64,
    /// Duration of open sea in hours, above 0 and at most 1000
    #[arg(long, default_value_t = 1.0, value_name = "HOURS", value_parser = hours)]
    hours: f32,
    /// Number of encounters of each kind: with flukes of the photos, and with drawn ones
    #[arg(long, default_value_t = 100, value_name = "N")]
    encounters: u32,
    /// Number of images of each kind
    #[arg(long, default_value_t = 1000, value_name = "N")]
    images: u32,
    /// Frame rate of the videos in frames per second, 0.5 to 240
    #[arg(long, default_value_t = 5.0, value_name = "FPS", value_parser = frames_per_second)]
    fps: f32,
    /// Size of a frame in pixels, 64 to 8192 on each side
    #[arg(long, default_value = "640x360", value_name = "WxH", value_parser = frame_size)]
    size: (u32, u32),
    #[command(flatten)]
    broken: SkipBroken,
    /// Write JSON
    #[arg(long)]
    json: bool,
    /// Show no progress bars
    #[arg(long)]
    quiet: bool,
}

fn hours(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(hours) if hours > 0.0 && hours <= 1000.0 => Ok(hours),
        _ => Err("expected hours above 0 and at most 1000".into()),
    }
}

fn frames_per_second(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(rate) if (0.5..=240.0).contains(&rate) => Ok(rate),
        _ => Err("expected 0.5 to 240 frames per second".into()),
    }
}

pub(crate) fn run(args: &EvaluateDetectorArgs) -> anyhow::Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    if let Some(folder) = &args.negatives {
        let mut data = LabelledData::open_unlabelled(folder)?;
        data.check(args.broken, args.quiet)?;
        let result = negatives::evaluate(&bundle, &data.dataset.photos, args.quiet)?;
        if args.json {
            println!("{}", serde_json::to_string_pretty(&result)?);
        } else {
            print_negatives(&result);
        }
        return Ok(());
    }
    let mut data = match &args.data {
        Some(table) => Some(LabelledData::open(
            &args.table,
            table,
            args.photos.as_deref(),
        )?),
        None => None,
    };
    if let Some(data) = &mut data {
        data.check(args.broken, args.quiet)?;
    }
    let dataset = data.as_ref().map(|data| &data.dataset);
    let options = DetectorEvaluationOptions {
        seed: args.seed,
        hours: args.hours,
        encounters: args.encounters,
        images: args.images,
        frames_per_second: args.fps,
        size: args.size,
        quiet: args.quiet,
    };
    let result = evaluate(&bundle, dataset, &options)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&result)?);
    } else {
        print(&result);
    }
    Ok(())
}

fn print_negatives(result: &NegativesEvaluation) {
    println!(
        "bundle {}, threshold {:.2}, boxes of at least {:.0} % of the width",
        result.bundle,
        result.threshold,
        100.0 * result.minimum_width
    );
    println!(
        "{} of {} images without flukes have a detection ({:.2} %); {} detections",
        result.images_with_detection,
        result.images,
        100.0 * result.images_with_detection as f64 / result.images.max(1) as f64,
        result.detections
    );
    for image in &result.with_detection {
        println!("  {:<40} {:.2}", image.name, image.highest_score);
    }
}

fn fraction(value: Option<f64>) -> String {
    value.map_or("-".into(), |v| format!("{v:.3}"))
}

fn print(result: &DetectorEvaluation) {
    println!(
        "bundle {}, {}, {:.1} ms per frame with preparation; {} h of open sea at {} frames/s, seed {}",
        result.bundle,
        result.engine,
        result.milliseconds_per_frame,
        result.hours,
        result.frames_per_second,
        result.seed
    );
    println!("\n{:<34} {:>8} {:>7}", "images", "count", "AP50");
    for p in &result.precision {
        println!("{:<34} {:>8} {:>7}", p.kind, p.images, fraction(p.ap50));
    }
    match &result.at_one_false_alarm_per_hour {
        Some(at) => print_threshold("at one false alarm per hour", at),
        None => println!("\nno threshold has as few as one false alarm per hour"),
    }
    print_threshold("at the bundle's threshold", &result.at_bundle_threshold);
}

fn print_threshold(title: &str, at: &ThresholdResult) {
    println!(
        "\n{title}: threshold {:.2}, {:.2} false alarms per hour",
        at.threshold, at.false_alarms_per_hour
    );
    let sizes = at.images.first().map_or(&[][..], |p| &p.sizes);
    print!("{:<34} {:>7}", "recall by width", "all");
    for size in sizes {
        let class = match size.to {
            to if to > 1920.0 => format!("{}+", size.from),
            to => format!("{}-{to}", size.from),
        };
        print!(" {class:>8}");
    }
    println!();
    for image in &at.images {
        print!("{:<34} {:>7}", image.kind, fraction(image.recall));
        for size in &image.sizes {
            print!(" {:>8}", fraction(size.recall));
        }
        println!();
    }
    for video in &at.videos {
        println!(
            "encounters, {:<22} {} of {} detected ({:.3}), {} false alarms",
            video.kind,
            video.detected,
            video.encounters,
            video.detected as f64 / video.encounters.max(1) as f64,
            video.false_alarms
        );
    }
}
