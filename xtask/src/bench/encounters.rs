//! `cargo xtask bench encounters`: the boat's whole pipeline on videos with known truth: encounters
//! found, false sightings, correct identifications.

mod cast;
mod report;

use super::{build_example, empty, measured};
use crate::checkout::Checkout;
use crate::steps::Steps;
use anyhow::Context;
use cast::{Cast, Real};
use clap::Args;
use report::Report;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Measure the boat on videos with known truth: encounters found, false sightings per hour, correct
/// decisions compared with stills.
///
/// Videos are drawn: drawn whales on drawn seas, flukes of your photos on drawn seas, and open sea
/// with birds, boats, fins and blows. Half of the whales of each kind are enrolled. Every frame is
/// a JPEG and passes decoding, gate, detector, tracks, crops, embedding and decision into an
/// outbox, as on a boat. Takes most of an hour on two cores, nearly all of it for drawing; existing
/// videos are reused.
///
/// With `--masks` and `--seas`, the videos are composed of real ones instead: flukes of your photos,
/// cut out by masks, on photos of real seas, which move, ripple, change their light and blur.
#[derive(Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench encounters
  cargo xtask bench encounters --data ../shared/flukes/devtest.csv
  cargo xtask bench encounters --data photos.csv --masks masks/ --seas stills/
  cargo xtask bench encounters --encounters 20 --hours 0.1

An encounter is found if a sighting's boxes overlap its fluke; a sighting that overlaps no fluke is false. A decision is right if it names a whale
of the catalogue, or calls another whale new; a call for review is not right. 'stills' is the fraction of the same whales that are named rightly
from a photo, 'as large' from that photo reduced to the fluke's width in the video. A photo's fluke keeps its colours in the video, and the sea is
adjusted to the photo's. The boat has the default configuration, except that a whale that returns within two minutes continues its encounter,
since the videos show in ten minutes what a boat encounters in days.

Exit codes: 0 measured; 1 failure; 130 interrupted.")]
pub(crate) struct BenchEncountersArgs {
    /// Photos with boxes and names of whales that neither model nor detector were trained on: a CSV
    /// with its photos in the folder next to it
    #[arg(long, value_name = "CSV")]
    data: Option<PathBuf>,
    /// Folder of masks of these photos: files of the photos' names that end in .png, white where the fluke is
    #[arg(long, value_name = "DIR", requires = "data", requires = "seas")]
    masks: Option<PathBuf>,
    /// Folder of photos of real seas without flukes
    #[arg(long, value_name = "DIR", requires = "masks")]
    seas: Option<PathBuf>,
    /// Number of encounters of each kind
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10000))]
    encounters: u32,
    /// Hours of open sea
    #[arg(long, default_value_t = 1.0, value_name = "H")]
    hours: f64,
    /// Seed of seas, positions and drawn flukes
    #[arg(long, default_value_t = 2001, value_name = "N")]
    seed: u64,
    /// The bundle, with a detector
    #[arg(long, default_value = "models/humpback-lite0", value_name = "BUNDLE")]
    bundle: PathBuf,
}

/// Frame rates of videos with flukes, and of open sea, in frames per second.
const RATES: [&str; 2] = ["10", "5"];
/// Frame sizes in pixels.
const SIZES: [&str; 2] = ["1280x720", "640x360"];
/// Widths of flukes in pixels: 96 to 720 of a frame of 1,920.
const FLUKES: &str = "64..480";

/// Runs the measurement in `target/bench/encounters`.
pub(crate) fn run(args: &BenchEncountersArgs, checkout: &Checkout) -> anyhow::Result<ExitCode> {
    let mut steps = Steps::new();
    steps.required("build the boat and the renderer", || {
        build_example(checkout, "encounters")
    })?;
    let folder = checkout.target().join("bench/encounters");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let bundle =
        fs::canonicalize(&args.bundle).with_context(|| args.bundle.display().to_string())?;
    let real = args.masks.as_deref().zip(args.seas.as_deref());
    let real = real
        .map(|(masks, seas)| Real::open(masks, seas))
        .transpose()?;
    let mut casts = vec![];
    if real.is_none() {
        casts.push(Cast::drawn(&folder, args.seed));
    }
    if let Some(data) = &args.data {
        casts.push(Cast::photos(&folder, data, real.as_ref())?);
    }
    let mut report = vec![];
    for cast in &casts {
        let name = cast.name();
        steps.required(&format!("{name}: whales and catalogue"), || {
            cast.enrol(checkout, &bundle)
        })?;
        let film = film(&folder, args, name, &format!("-{}", args.encounters));
        steps.required(
            &format!("{name}: draw a video of {} encounters", args.encounters),
            || {
                let mut synth = draw(checkout, args, &film, 0, real.as_ref());
                cast.show(&mut synth);
                synth.arg("--encounters").arg(args.encounters.to_string());
                synth.args([
                    "--fluke-pixels",
                    FLUKES,
                    "--fluke-seconds",
                    "1.5..5",
                    "--sea-seconds",
                    "2..4",
                ]);
                synth.args([
                    "--pair-fraction",
                    "0.15",
                    "--return-fraction",
                    "0.1",
                    "--return-after-seconds",
                    "30..120",
                ]);
                once(checkout, synth.args(["--sea-change-seconds", "30"]), &film)
            },
        )?;
        let seen = steps.required(&format!("{name}: the boat"), || {
            boat(
                checkout,
                &folder,
                name,
                &[&cast.bundle(), &film, Path::new(RATES[0]), &cast.stills()],
            )
        })?;
        report.push((name, seen));
    }
    let open = if real.is_some() { "real-sea" } else { "sea" };
    let open = film(&folder, args, open, &format!("-{}", args.hours));
    let sea = steps.required("open sea", || {
        let mut synth = draw(checkout, args, &open, 1, real.as_ref());
        let seconds = (args.hours * 3600.0).round();
        // Many real seas are seen for a short time each: they are what differs.
        let change = if real.is_some() { "10" } else { "120" };
        synth.args([
            "--encounters",
            "0",
            "--sea-change-seconds",
            change,
            "--sea-seconds",
        ]);
        once(checkout, synth.arg(seconds.to_string()), &open)?;
        boat(
            checkout,
            &folder,
            "sea",
            &[&casts[0].bundle(), &open, Path::new(RATES[1])],
        )
    })?;
    println!("\n{}\n", steps.summary());
    for (name, seen) in &report {
        println!("{}", seen.table(name));
    }
    println!("{}", sea.strays_an_hour("open sea"));
    Ok(ExitCode::SUCCESS)
}

fn film(folder: &Path, args: &BenchEncountersArgs, name: &str, more: &str) -> PathBuf {
    folder.join(format!("{name}-{}{more}.mjpeg", args.seed))
}

fn draw(
    checkout: &Checkout,
    args: &BenchEncountersArgs,
    film: &Path,
    kind: usize,
    real: Option<&Real>,
) -> std::process::Command {
    let mut synth = checkout.program(checkout.built("flukewatch"));
    synth
        .arg("synth-sea")
        .arg("--out")
        .arg(film.with_extension("part.mjpeg"));
    synth.args(["--size", SIZES[kind], "--fps", RATES[kind], "--seed"]);
    synth.arg(args.seed.to_string());
    if let Some(real) = real {
        synth.arg("--seas").arg(&real.seas);
        synth.args(["--distractors-per-minute", "0"]);
    }
    synth
}

/// Draws `film` unless it exists; the file gets its name when it is complete.
fn once(checkout: &Checkout, synth: &mut std::process::Command, film: &Path) -> anyhow::Result<()> {
    if film.exists() {
        println!("    {} exists", film.display());
        return Ok(());
    }
    checkout.run(synth)?;
    for ending in ["truth.jsonl", "mjpeg"] {
        let (part, whole) = (
            film.with_extension(format!("part.{ending}")),
            film.with_extension(ending),
        );
        fs::rename(&part, &whole).with_context(|| part.display().to_string())?;
    }
    Ok(())
}

/// Runs the boat's pipeline on a video.
fn boat(checkout: &Checkout, folder: &Path, name: &str, args: &[&Path]) -> anyhow::Result<Report> {
    let program = checkout.built("examples").join("encounters");
    let folder = &folder.join(format!("{name}-boat"));
    empty(folder)?;
    let mut boat = checkout.program(program);
    let measured = measured::run(checkout, boat.args(args), folder, "boat")?;
    serde_json::from_str(&measured.printed).context("unexpected output of encounters")
}
