//! The subcommand `flukewatch evaluate-detector`.

use super::figures::{Judged, SizeRecall, average_precision, recall};
use super::films::{count, threshold_for, watch};
use super::stills;
use crate::dataset::Dataset;
use crate::seascape::cast::Cast;
use crate::seascape::film::{Film, Plan};
use crate::train::progress::bar;
use anyhow::{Context, bail};
use clap::Args;
use flukewatch_common::bundle::Bundle;
use flukewatch_common::detector::Detector;
use flukewatch_common::pixel_box::PixelBox;
use image::RgbImage;
use rayon::prelude::*;
use serde::Serialize;
use std::path::PathBuf;

/// Measure a bundle's detector of flukes: precision, recall by size, and false alarms on open sea.
///
/// A threshold is sought at which hours of drawn open sea, with birds, boats, fins, backs, blows and weed on it, give no more than one
/// false alarm an hour; an alarm is a box of at least 3 % of the frame's width at one place in three of five consecutive frames, about as a
/// boat would count. Encounters are with flukes of 72 to 700 of 1,920 pixels. At that threshold, and at the bundle's own, it is told what
/// share of flukes is found, by size, and what share of encounters.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch evaluate-detector models/humpback-lite0 --data devtest.csv
  flukewatch evaluate-detector my.flukebundle --hours 4 --encounters 200 --json

A box is right where it overlaps the true one by half (intersection over union). Sizes are widths in frames of 1,920 pixels. Measure on \
photos and seeds that the detector was not taught by, and choose no threshold on photos that you report.")]
pub struct EvaluateDetectorArgs {
    /// The bundle with the detector
    bundle: PathBuf,
    /// Photos with boxes: their flukes are set on drawn seas, and they are looked at as they are
    #[arg(long, value_name = "CSV")]
    data: Option<PathBuf>,
    /// The photos, if not in the folder beside the CSV that bears its name
    #[arg(long, value_name = "DIR", requires = "data")]
    photos: Option<PathBuf>,
    /// Seas, places and drawn flukes follow from this number
    #[arg(long, default_value_t = 1001, value_name = "N")]
    seed: u64,
    /// Hours of open sea
    #[arg(long, default_value_t = 1.0, value_name = "H")]
    hours: f32,
    /// Encounters of each kind: with flukes of the photos, and with drawn ones
    #[arg(long, default_value_t = 100, value_name = "N")]
    encounters: u32,
    /// Single pictures of each kind
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pictures: u32,
    /// Frames a second of films
    #[arg(long, default_value_t = 5.0, value_name = "RATE")]
    fps: f32,
    /// Pixels of a frame
    #[arg(long, default_value = "640x360", value_name = "WxH", value_parser = crate::synth::command::frame_size)]
    size: (u32, u32),
    /// Write JSON
    #[arg(long)]
    json: bool,
    /// Show no progress bars
    #[arg(long)]
    quiet: bool,
}

/// The lowest score that is looked at.
const LEAST: f32 = 0.05;

/// What was found at one threshold.
#[derive(Clone, Debug, Serialize)]
struct At {
    threshold: f32,
    false_alarms_an_hour: f64,
    pictures: Vec<PicturesAt>,
    films: Vec<FilmsAt>,
}

#[derive(Clone, Debug, Serialize)]
struct PicturesAt {
    what: &'static str,
    recall: Option<f64>,
    sizes: Vec<SizeRecall>,
}

#[derive(Clone, Debug, Serialize)]
struct FilmsAt {
    what: &'static str,
    encounters: usize,
    found: usize,
    false_alarms: usize,
}

#[derive(Clone, Debug, Serialize)]
struct Precision {
    what: &'static str,
    pictures: usize,
    ap50: Option<f64>,
}

/// All that was measured.
#[derive(Clone, Debug, Serialize)]
struct Findings {
    bundle: String,
    engine: String,
    hours: f64,
    frames_per_second: f32,
    seed: u64,
    /// The median over open sea, preparation and all, on one core.
    milliseconds_a_frame: f64,
    precision: Vec<Precision>,
    /// At one false alarm an hour, if any threshold gives so few; and at the bundle's own threshold.
    at_one_an_hour: Option<At>,
    at_its_own: At,
}

/// The bundle's detector.
///
/// # Errors
/// When it has none, or it cannot be loaded.
pub fn open(bundle: &Bundle) -> anyhow::Result<Detector> {
    Detector::open(bundle)?.with_context(|| {
        format!(
            "the bundle '{}' has no detector: flukewatch bundle-detector puts one in",
            bundle.manifest.name
        )
    })
}

/// Runs the command.
///
/// # Errors
/// What stops it, for people.
pub fn run(args: &EvaluateDetectorArgs) -> anyhow::Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    let own = open(&bundle)?;
    let (width, height) = args.size;
    if !(64..=8192).contains(&width) || !(64..=8192).contains(&height) {
        bail!("frames of {width} x {height} pixels; 64 to 8192 a side can be drawn");
    }
    let sensible = args.hours > 0.0 && args.hours <= 1000.0 && (0.5..=240.0).contains(&args.fps);
    if !sensible {
        bail!("--hours must be above 0 and at most 1000, --fps 0.5 to 240");
    }
    let dataset = match &args.data {
        Some(table) => Some(Dataset::open(table, args.photos.as_deref())?),
        None => None,
    };
    let drawn = Cast::drawn(args.seed, 40);
    let of_photos = dataset.as_ref().map(|d| Cast::photos(&d.photos));

    let film = |plan: &Plan, cast: &Cast, what: &'static str| {
        let film = Film::draw(plan, cast)?;
        let bar = args.bar(u64::from(film.len()), what);
        let frames = watch(&film, &bundle, LEAST, || bar.inc(1))?;
        bar.finish_and_clear();
        anyhow::Ok(frames)
    };
    let sea = Plan {
        seed: args.seed,
        number: 900,
        size: args.size,
        frames_per_second: args.fps,
        encounters: 0,
        sea_seconds: args.hours * 3600.0..=args.hours * 3600.0,
        sea_changes: 120.0,
        ..Plan::default()
    };
    let open_sea = film(&sea, &drawn, "open sea")?;
    let scale = width as f32 / 1920.0;
    let met = Plan {
        number: 901,
        encounters: args.encounters,
        fluke_pixels: stills::FILM_WIDTHS.0 * scale..=stills::FILM_WIDTHS.1 * scale,
        sea_seconds: 2.0..=6.0,
        return_after: 20.0..=60.0,
        sea_changes: 30.0,
        ..sea.clone()
    };
    let mut films = vec![("drawn flukes", film(&met, &drawn, "encounters")?)];
    if let Some(cast) = &of_photos {
        let met = Plan { number: 902, ..met };
        films.push(("flukes of photos", film(&met, cast, "encounters")?));
    }

    let mut pictures: Vec<(&'static str, Vec<Judged>)> = vec![];
    let on_seas = |cast: &Cast, what| -> anyhow::Result<Vec<Judged>> {
        let seed = args.seed;
        args.judge(&bundle, what, args.pictures as usize, |n| {
            Ok(stills::scene(cast, seed, n as u32, args.size)?)
        })
    };
    pictures.push(("drawn flukes on drawn seas", on_seas(&drawn, "drawn")?));
    if let (Some(cast), Some(dataset)) = (&of_photos, &dataset) {
        pictures.push(("flukes of photos on drawn seas", on_seas(cast, "on seas")?));
        let spread = dataset.spread(args.pictures as usize);
        let with_box: Vec<_> = spread.into_iter().filter(|p| p.region.is_some()).collect();
        let judged = args.judge(&bundle, "photos", with_box.len(), |n| {
            Ok(stills::photo(with_box[n])?)
        })?;
        pictures.push(("photos as they are", judged));
    }

    let hours = f64::from(args.hours);
    let at = |threshold: f32| At {
        threshold,
        false_alarms_an_hour: count(&open_sea, threshold).false_alarms as f64 / hours,
        pictures: pictures
            .iter()
            .map(|(what, judged)| {
                let (recall, sizes) = recall(judged, threshold);
                PicturesAt {
                    what,
                    recall,
                    sizes,
                }
            })
            .collect(),
        films: films
            .iter()
            .map(|(what, frames)| {
                let outcome = count(frames, threshold);
                FilmsAt {
                    what,
                    encounters: outcome.shown,
                    found: outcome.found,
                    false_alarms: outcome.false_alarms,
                }
            })
            .collect(),
    };
    // The middle one: other work on the machine stretches some.
    let mut took: Vec<f64> = open_sea.iter().map(|f| f.took.as_secs_f64()).collect();
    took.sort_by(f64::total_cmp);
    let took = took.get(took.len() / 2).copied().unwrap_or(0.0);
    let found = Findings {
        bundle: bundle.id().to_owned(),
        engine: own.engine_name().to_owned(),
        hours,
        frames_per_second: args.fps,
        seed: args.seed,
        milliseconds_a_frame: 1000.0 * took,
        precision: pictures
            .iter()
            .map(|(what, judged)| Precision {
                what,
                pictures: judged.len(),
                ap50: average_precision(judged),
            })
            .collect(),
        at_one_an_hour: threshold_for(&open_sea, args.hours as usize).map(at),
        at_its_own: at(own.threshold()),
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        print(&found);
    }
    Ok(())
}

impl EvaluateDetectorArgs {
    fn bar(&self, length: u64, what: &'static str) -> indicatif::ProgressBar {
        if self.quiet {
            indicatif::ProgressBar::hidden()
        } else {
            bar(length, what)
        }
    }

    /// Judges pictures 0 to `count`, on all cores.
    fn judge(
        &self,
        bundle: &Bundle,
        what: &'static str,
        count: usize,
        picture: impl Fn(usize) -> anyhow::Result<(RgbImage, Vec<PixelBox>)> + Sync,
    ) -> anyhow::Result<Vec<Judged>> {
        let bar = self.bar(count as u64, what);
        let numbers: Vec<usize> = (0..count).collect();
        let parts: Vec<Vec<Judged>> = numbers
            .par_chunks(32)
            .map(|numbers| {
                let mut detector = open(bundle)?.with_threshold(LEAST);
                numbers
                    .iter()
                    .map(|&n| {
                        let (picture, truth) = picture(n)?;
                        bar.inc(1);
                        stills::judge(&mut detector, &picture, truth)
                    })
                    .collect::<anyhow::Result<_>>()
            })
            .collect::<anyhow::Result<_>>()?;
        bar.finish_and_clear();
        Ok(parts.into_iter().flatten().collect())
    }
}

fn share(value: Option<f64>) -> String {
    value.map_or("-".into(), |v| format!("{v:.3}"))
}

fn print(found: &Findings) {
    println!(
        "bundle {}, {}, {:.1} ms a frame with preparation; {} h of open sea at {} frames/s, seed {}",
        found.bundle,
        found.engine,
        found.milliseconds_a_frame,
        found.hours,
        found.frames_per_second,
        found.seed
    );
    println!("\n{:<34} {:>8} {:>7}", "pictures", "count", "AP50");
    for p in &found.precision {
        println!("{:<34} {:>8} {:>7}", p.what, p.pictures, share(p.ap50));
    }
    match &found.at_one_an_hour {
        Some(at) => print_at("at one false alarm an hour", at),
        None => println!("\nno threshold gives as few as one false alarm an hour"),
    }
    print_at("at the bundle's threshold", &found.at_its_own);
}

fn print_at(what: &str, at: &At) {
    println!(
        "\n{what}: threshold {:.2}, {:.2} false alarms an hour",
        at.threshold, at.false_alarms_an_hour
    );
    let sizes: Vec<String> = at.pictures.first().map_or(vec![], |p| {
        p.sizes
            .iter()
            .map(|s| match s.to {
                to if to > 1920.0 => format!("{}+", s.from),
                to => format!("{}-{to}", s.from),
            })
            .collect()
    });
    print!("{:<34} {:>7}", "recall by width", "all");
    sizes.iter().for_each(|s| print!(" {s:>8}"));
    println!();
    for p in &at.pictures {
        print!("{:<34} {:>7}", p.what, share(p.recall));
        p.sizes
            .iter()
            .for_each(|s| print!(" {:>8}", share(s.recall)));
        println!();
    }
    for f in &at.films {
        println!(
            "encounters, {:<22} {} of {} found ({:.3}), {} false alarms",
            f.what,
            f.found,
            f.encounters,
            f.found as f64 / f.encounters.max(1) as f64,
            f.false_alarms
        );
    }
}
