//! `cargo xtask fuzz`: what reads bytes from outside, searched for an input that it does not survive.

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

/// Search for input that the readers of bytes from outside do not survive.
///
/// Builds the targets in fuzz/fuzz_targets with what steers libFuzzer compiled in, all on stable Rust with the system's C++ compiler, and
/// lets each search for a while, from well-formed inputs on that it makes itself. It looks for panics (sums that overflow and broken
/// assertions among them), for more than 2 GB of memory and for more than 20 seconds over one input. There is no AddressSanitizer, which
/// stable Rust does not have.
///
/// What a target found worth knowing is kept in fuzz/corpus, and the next search goes on from there; its log lies in fuzz/target/logs.
/// An input that was not survived is kept in fuzz/artifacts, and tried first from then on, until it is survived or removed.
#[derive(Args)]
#[command(after_help = "\
Targets:
  bundle    a bundle in one file, with all its parts; also with sizes and checksums made right
  config    the boat's configuration
  video     MJPEG, Y4M and AVI
  gpsd      what gpsd says
  jpeg      a camera's JPEG, and a photo's file
  message   what shore takes from its broker, and the boat's acks
  nmea      what comes over a receiver's serial line
  pixels    a camera's uncompressed frame

Examples:
  cargo xtask fuzz                         all of them, a minute each
  cargo xtask fuzz jpeg video --seconds 3600
  cargo xtask fuzz nmea --seed 7           the same search each time, as long as fuzz/corpus/nmea is empty

Exit codes: 0 nothing was found; 1 something was, and the last lines say what and how to run it again; 130 interrupted.")]
pub(crate) struct FuzzArgs {
    /// Only these targets
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// How long each target searches
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=604_800))]
    seconds: u32,
    /// How many targets search at a time [default: as many as there are cores]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZero<usize>>,
    /// Where chance starts; 0 for another place each time
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u32,
}

/// Builds and searches.
pub(crate) fn run(args: &FuzzArgs, checkout: &Checkout) -> anyhow::Result<ExitCode> {
    let targets = target::chosen(checkout, &args.targets)?;
    let mut steps = Steps::new();
    steps.required("fuzz targets", || {
        println!("    (takes minutes the first time)");
        build::build(checkout, &targets)
    })?;
    let jobs = args.jobs.map_or_else(cores, NonZero::get);
    let long = Duration::from_secs(args.seconds.into());
    let what = format!("{} searches of {}", targets.len(), format_duration(long));
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

/// Says what came of it all.
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

/// A folder for files of ours, made where it is missing.
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
