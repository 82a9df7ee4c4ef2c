//! `cargo xtask bench day`: whether a boat's memory stays flat over a day.

use super::{build_example, empty, measured, verdict};
use crate::checkout::Checkout;
use crate::steps::Steps;
use anyhow::Context;
use clap::Args;
use serde::Deserialize;
use std::path::PathBuf;
use std::process::ExitCode;

/// Run a boat for a day of simulated time, and check that its memory does not grow.
///
/// Replays a drawn video of ten minutes, with whales, birds and boats, as fast as possible, at two
/// frames per second of simulated time; pending messages are acknowledged every simulated hour.
#[derive(Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench day
  cargo xtask bench day --hours 3

Exit codes: 0 measured; 1 failure; 130 interrupted.")]
pub(crate) struct BenchDayArgs {
    /// Hours of simulated time
    #[arg(long, default_value_t = 24, value_name = "H", value_parser = clap::value_parser!(u32).range(3..=10000))]
    hours: u32,
    /// The bundle, with a detector
    #[arg(long, default_value = "models/humpback-lite0", value_name = "BUNDLE")]
    bundle: PathBuf,
}

/// Frame rate in frames per second.
const RATE: &str = "2";
/// Target: maximum growth of memory from the second hour to the end, as a fraction.
const FLAT: f64 = 0.05;

/// One hour in the output of the program `day`.
#[derive(Debug, Deserialize)]
struct Hour {
    hour: u32,
    frames: u64,
    acknowledged: usize,
    waiting: u64,
    resident: f64,
}

/// Runs the measurement in `target/bench/day`, which is emptied first.
pub(crate) fn run(args: &BenchDayArgs, checkout: &Checkout) -> anyhow::Result<ExitCode> {
    let mut steps = Steps::new();
    steps.required("build the boat's watch", || build_example(checkout, "day"))?;
    let folder = checkout.target().join("bench/day");
    empty(&folder)?;
    let film = folder.join("sea.mjpeg");
    steps.required("draw a video", || {
        let mut synth = checkout.program(checkout.built("flukewatch"));
        synth.arg("synth-sea").arg("--out").arg(&film);
        synth.args(["--size", "640x360", "--fps", RATE, "--encounters", "12"]);
        synth.args(["--fluke-pixels", "40..300", "--fluke-seconds", "4..8"]);
        checkout.run(synth.args(["--sea-seconds", "30..60", "--sea-change-seconds", "90"]))
    })?;
    let report = steps.required(&format!("{} hours", args.hours), || {
        let program = checkout.built("examples").join("day");
        let mut day = checkout.program(program);
        day.arg(&args.bundle).arg(&film).arg(RATE);
        measured::run(checkout, day.arg(args.hours.to_string()), &folder, "day")
    })?;
    let lines = report.printed.lines().map(serde_json::from_str);
    let hours: Vec<Hour> = lines
        .collect::<Result<_, _>>()
        .context("unexpected output of day")?;
    println!("\n{}\n", steps.summary());
    println!(
        "{:<6}{:>10}{:>12}{:>10}{:>8}",
        "hour", "frames", "acknowledged", "waiting", "MB"
    );
    for hour in &hours {
        let Hour {
            hour,
            frames,
            acknowledged,
            waiting,
            resident,
        } = hour;
        println!(
            "{hour:<6}{frames:>10}{acknowledged:>12}{waiting:>10}{:>8.1}",
            resident / 1e6
        );
    }
    let (second, last) = (hours.get(1), hours.last());
    let (second, last) = second.zip(last).context("day reported no second hour")?;
    let growth = last.resident / second.resident - 1.0;
    println!(
        "from hour 2 to hour {}: {:+.1} % of memory (at most {:+.0} %: {}); {:.0} MB at most",
        last.hour,
        100.0 * growth,
        100.0 * FLAT,
        verdict(growth <= FLAT),
        report.peak as f64 / 1e6
    );
    Ok(ExitCode::SUCCESS)
}
