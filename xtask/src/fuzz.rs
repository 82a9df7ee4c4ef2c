//! `cargo xtask fuzz`: fuzzes everything that parses untrusted bytes.

mod build;
mod log;
mod search;
mod target;

use crate::checkout::Checkout;
use crate::duration::format_duration;
use crate::steps::Steps;
use anyhow::Context;
use clap::Args;
use search::{Search, Searched};
use std::num::NonZero;
use std::process::ExitCode;
use std::time::Duration;

/// Fuzz the parsers of untrusted bytes.
///
/// Builds the targets in fuzz/fuzz_targets with libFuzzer's instrumentation, all on stable Rust
/// with the system's C++ compiler, and fuzzes each for a while, starting from well-formed inputs
/// that the targets generate. Finds panics (including overflows and failed assertions), more than 2
/// GB of memory and more than 20 seconds for one input. There is no AddressSanitizer, which stable
/// Rust lacks.
///
/// Inputs that increase coverage are kept in fuzz/corpus, from which the next run starts; logs are
/// in fuzz/target/logs. Inputs that fail are kept in fuzz/artifacts, and tried first until they
/// pass or are removed.
#[derive(Args)]
#[command(after_help = "\
Targets:
  bundle    a bundle in one file, with all its parts; also with corrected sizes and checksums
  config    the boat's configuration
  vectors   NumPy arrays, CSV and safetensors with embeddings
  video     MJPEG, Y4M and AVI
  gpsd      reports of gpsd
  host      hosts of requests to the pages, and tokens of the boat's page
  jpeg      JPEG frames of a camera, and photo files
  matroska  images of the decoder of an IP camera's stream
  message   messages to shore and to a boat, also signed ones
  nmea      sentences on a receiver's serial line
  photo     photo files: JPEG, PNG, TIFF and WebP
  pixels    uncompressed frames of a camera
  sidecar   boxes of flukes beside an image
  recording recordings of encounters on a boat
  signalk   deltas of a Signal K server
  signature signature of a bundle
  table     tables of photos

Examples:
  cargo xtask fuzz                         all targets, a minute each
  cargo xtask fuzz jpeg video --seconds 3600
  cargo xtask fuzz nmea --seed 7           reproducible while fuzz/corpus/nmea is empty

Exit codes: 0 no findings; 1 findings, listed in the last lines with the command that reproduces each; 130 interrupted.")]
pub(crate) struct FuzzArgs {
    /// Only these targets
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Duration of each target in seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=604_800))]
    seconds: u32,
    /// Number of targets that run in parallel [default: number of cores]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZero<usize>>,
    /// Seed; 0 for a different one each time
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u32,
}

/// Builds and fuzzes.
pub(crate) fn run(args: &FuzzArgs, checkout: &Checkout) -> anyhow::Result<ExitCode> {
    let targets = target::chosen(checkout, &args.targets)?;
    let mut steps = Steps::new();
    steps.required("build the fuzz targets", || {
        println!("    (takes minutes the first time)");
        build::build(checkout, &targets)
    })?;
    let jobs = args.jobs.map_or_else(cores, NonZero::get);
    let long = Duration::from_secs(args.seconds.into());
    let what = format!(
        "fuzz {} targets for {} each",
        targets.len(),
        format_duration(long)
    );
    let done = steps.required(&what, || {
        let search = Search {
            seconds: args.seconds,
            seed: args.seed,
        };
        search.all(checkout, &targets, jobs, |searched| {
            println!("    {searched}")
        })
    })?;
    println!("\n{}\n", steps.summary());
    Ok(report(&done))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// Prints findings and the summary.
fn report(done: &[Searched]) -> ExitCode {
    let runs: u64 = done.iter().map(|s| s.log.runs).sum();
    let bad: Vec<&Searched> = done.iter().filter(|s| !s.is_good()).collect();
    for searched in &bad {
        println!("{}\n", searched.finding());
    }
    let (targets, found) = (done.len(), bad.len());
    println!("fuzz: {targets} targets, {runs} runs, {found} with a finding");
    if bad.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A folder in the checkout, created if it is missing.
fn folder(checkout: &Checkout, inside: &str) -> anyhow::Result<std::path::PathBuf> {
    let path = checkout.path("fuzz").join(inside);
    std::fs::create_dir_all(&path)
        .with_context(|| format!("{} cannot be created", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interrupt::Interrupt;
    use clap::CommandFactory;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: FuzzArgs,
    }

    #[test]
    fn the_help_names_every_target() {
        let checkout = Checkout::new(Interrupt::default()).unwrap();
        let help = Cli::command().render_long_help().to_string();
        let targets = target::chosen(&checkout, &[]).unwrap();
        assert!(targets.len() >= 8);
        for target::Target { name } in targets {
            assert!(help.contains(&format!("\n  {name:<9} ")), "{name}");
        }
    }
}
