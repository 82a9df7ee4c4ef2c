//! `cargo xtask bench pipeline`: time per stage from a camera's frames to sightings, and whether a
//! boat keeps up with 1080p.

use super::edge_config::write_config;
use super::{build_example, empty, measured, verdict};
use crate::checkout::Checkout;
use crate::steps::Steps;
use anyhow::Context;
use clap::Args;
use serde::Deserialize;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Measure the boat on a video of 1080p MJPEG: milliseconds per stage, cores at the video's frame
/// rate, memory.
///
/// The video is drawn: open sea with birds, boats and a few flukes. It is processed once as fast as
/// possible, stage by stage on one core, and once by the boat's program at the video's own frame
/// rate.
#[derive(Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench pipeline
  cargo xtask bench pipeline --encounters 10

Exit codes: 0 measured; 1 failure; 130 interrupted.")]
pub(crate) struct BenchPipelineArgs {
    /// Number of encounters in the video
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    encounters: u32,
    /// The bundle, with a detector
    #[arg(long, default_value = "models/humpback-lite0", value_name = "BUNDLE")]
    bundle: PathBuf,
}

/// Frame rate in frames per second.
const RATE: f64 = 30.0;
/// Targets: maximum cores over open sea, and while a fluke is visible.
const CORES: [f64; 2] = [1.0, 1.6];
/// Target: maximum memory in bytes.
const MEMORY_TARGET: f64 = 250e6;
/// Target: maximum milliseconds from a fluke's last frame to its sighting in the outbox.
const DELAY: u64 = 1000;

/// The output of `bench_pipeline`.
#[derive(Debug, Deserialize)]
struct Report {
    stages: Vec<String>,
    sea: Frames,
    flukes: Frames,
    looked_at: u32,
    encounters: u32,
    enrolled: usize,
    crops: f64,
    embed: f64,
    #[serde(rename = "match")]
    match_: f64,
}

#[derive(Debug, Deserialize)]
struct Frames {
    frames: u32,
    milliseconds: Vec<f64>,
}

impl Frames {
    /// Cores that sequential processing takes at the video's frame rate.
    fn cores(&self) -> f64 {
        self.milliseconds.iter().sum::<f64>() * RATE / 1000.0
    }
}

/// Runs the measurement in `target/bench/pipeline`, which is emptied first.
pub(crate) fn run(args: &BenchPipelineArgs, checkout: &Checkout) -> anyhow::Result<ExitCode> {
    let mut steps = Steps::new();
    steps.required("build the boat's program", || {
        build_example(checkout, "bench_pipeline")
    })?;
    let folder = checkout.target().join("bench/pipeline");
    empty(&folder)?;
    let film = folder.join("sea.mjpeg");
    steps.required("draw a video of 1920 x 1080", || {
        let mut synth = checkout.program(checkout.built("flukewatch"));
        synth.arg("synth-sea").arg("--out").arg(&film);
        synth
            .args(["--size", "1920x1080", "--seed", "11", "--fps"])
            .arg(RATE.to_string());
        synth.arg("--encounters").arg(args.encounters.to_string());
        checkout.run(synth.args(["--sea-seconds", "8..15", "--fluke-seconds", "2..4"]))
    })?;
    let report: Report = steps.required("measure stage by stage", || {
        let mut stages = checkout.program(checkout.built("examples").join("bench_pipeline"));
        stages.arg(&args.bundle).arg(&film).arg(RATE.to_string());
        let measured = measured::run(checkout, &mut stages, &folder, "stages")?;
        serde_json::from_str(&measured.printed).context("unexpected output of bench_pipeline")
    })?;
    let seconds = f64::from(report.sea.frames + report.flukes.frames) / RATE;
    let config = write_config(&folder, &args.bundle, CAMERA)?;
    let (cores, late, peak) = steps.required("the boat's program at the film's rate", || {
        let mut boat = checkout.program(checkout.built("flukewatch-edge"));
        boat.args(["run", "--until-delivered", "0", "--config"])
            .arg(&config);
        let (before, began) = (children_worked()?, Instant::now());
        // It ends with 3, since nobody takes what it found.
        let peak = measured::run_to(checkout, &mut boat, &folder, "boat", &[0, 3])?.peak;
        let took = began.elapsed().as_secs_f64();
        Ok((
            (children_worked()? - before) / took,
            took - seconds,
            peak as f64,
        ))
    })?;
    println!("\n{}\n{}", steps.summary(), table(&report));
    for (what, frames, most) in [
        ("open sea", &report.sea, CORES[0]),
        ("a fluke", &report.flukes, CORES[1]),
    ] {
        let cores = frames.cores();
        println!(
            "{what} at {RATE} frames/s: {cores:.2} cores (at most {most}: {})",
            verdict(cores <= most)
        );
    }
    println!(
        "the boat's program, whole video: {cores:.2} cores, {late:.1} s longer than the video's {seconds:.0} s"
    );
    let log = folder.join("boat.log");
    let delays = delays(&fs::read_to_string(&log).with_context(|| log.display().to_string())?);
    let slowest = delays.iter().copied().max();
    match slowest {
        Some(slowest) => println!(
            "from a fluke's last frame to the outbox: {} ms at most, {} sightings (at most {DELAY}: {})",
            slowest,
            delays.len(),
            verdict(slowest <= DELAY)
        ),
        None => println!("the boat made no sighting"),
    }
    println!(
        "peak memory: {:.0} MB (at most {:.0}: {})",
        peak / 1e6,
        MEMORY_TARGET / 1e6,
        verdict(peak <= MEMORY_TARGET)
    );
    Ok(ExitCode::SUCCESS)
}

/// Milliseconds from flukes' last frames to their verdicts in the outbox, from the boat's log.
fn delays(log: &str) -> Vec<u64> {
    let after = |line: &str| {
        line.split_once("encounter identified")?
            .1
            .split_once("delay_ms=")
            .map(|(_, rest)| rest.to_owned())
    };
    let number = |rest: String| {
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
        digits.and_then(|d| d.parse().ok())
    };
    log.lines().filter_map(after).filter_map(number).collect()
}

const CAMERA: &str = "\
[camera]
source = \"replay\"
path = \"sea.mjpeg\"
frames_per_second = 30.0
playback = \"real-time\"
";

fn table(report: &Report) -> String {
    let mut text = format!(
        "{:<24}{:>12}{:>12}\n",
        "ms of one core per frame", "open sea", "a fluke"
    );
    for (at, stage) in report.stages.iter().enumerate() {
        let of = |frames: &Frames| frames.milliseconds.get(at).copied().unwrap_or(f64::NAN);
        let _ = writeln!(
            text,
            "{stage:<24}{:>12.2}{:>12.2}",
            of(&report.sea),
            of(&report.flukes)
        );
    }
    let _ = writeln!(
        text,
        "{:<24}{:>12}{:>12}",
        "frames", report.sea.frames, report.flukes.frames
    );
    let _ = writeln!(
        text,
        "\nthe detector ran on {} of {} frames; an encounter of {:.1} crops takes {:.1} ms to embed and {:.1} to match with {} enrolled \
         photos ({} encounters)",
        report.looked_at,
        report.sea.frames + report.flukes.frames,
        report.crops,
        report.embed,
        report.match_,
        report.enrolled,
        report.encounters
    );
    text
}

/// Processor time of all ended child processes, in hundredths of a second.
fn children_worked() -> anyhow::Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat").context("/proc/self/stat")?;
    worked_in(&stat).context("unexpected format of /proc/self/stat")
}

/// Fields 16 and 17 of `/proc/PID/stat`, user and system time of children in hundredths of a
/// second. The second field, the program's name, may contain spaces and ends with the last
/// parenthesis.
fn worked_in(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(13);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_time_of_children_is_parsed() {
        let stat = "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 40 50 250 25 20 0";
        assert_eq!(worked_in(stat), Some(2.75));
        assert_eq!(worked_in("12 (x) S 1"), None);
        assert!(children_worked().is_ok());
    }

    #[test]
    fn delays_are_read_from_the_log() {
        let log = "INFO encounter identified sequence=1 delay_ms=812\nINFO other delay_ms=5\nINFO encounter identified x=1 delay_ms=93 y=2\n";
        assert_eq!(delays(log), [812, 93]);
    }

    #[test]
    fn cores_follow_from_milliseconds() {
        let frames = Frames {
            frames: 2,
            milliseconds: vec![10.0, 10.0],
        };
        assert!((frames.cores() - 0.6).abs() < 1e-12);
    }
}
