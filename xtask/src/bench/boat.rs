//! `cargo xtask bench boat`: time to the first identification, and memory, of a boat with a large
//! catalogue.

use super::edge_config::write_config;
use super::measured::watch_until;
use super::{build_example, empty, median, verdict};
use crate::checkout::Checkout;
use crate::steps::Steps;
use anyhow::{Context, bail};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

/// Measure the boat's program with a large catalogue: seconds to the first identification, and
/// memory.
///
/// Draws a catalogue of whales with five photos each and puts it in a bundle with the shipped
/// model. The boat then replays drawn flukes, each a separate encounter, without a broker: a
/// sighting counts as made once it is in the outbox.
#[derive(Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench boat
  cargo xtask bench boat --photos 1000000 --rounds 3

Exit codes: 0 measured; 1 failure; 130 interrupted.")]
pub(crate) struct BenchBoatArgs {
    /// Photos in the catalogue
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u32).range(10..=10_000_000))]
    photos: u32,
    /// The bundle whose model is run
    #[arg(long, default_value = "models/humpback-lite0", value_name = "BUNDLE")]
    bundle: PathBuf,
    /// Number of starts of the boat; medians count
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
}

/// Target: maximum seconds to the first identification.
const SECONDS_TARGET: f64 = 1.5;
/// Target: maximum memory in bytes.
const MEMORY_TARGET: f64 = 200e6;
/// Maximum duration of a run before the measurement fails.
const TIMEOUT: Duration = Duration::from_secs(120);
/// The boat's log event for a verdict in the outbox.
const SIGHTING: &str = "encounter identified";

/// Runs the measurement in `target/bench/boat`, which is emptied first.
pub(crate) fn run(args: &BenchBoatArgs, checkout: &Checkout) -> anyhow::Result<ExitCode> {
    let mut steps = Steps::new();
    steps.required("build the boat's program", || {
        build_example(checkout, "bench_search")
    })?;
    let folder = checkout.target().join("bench/boat");
    empty(&folder)?;
    steps.required(&format!("a bundle with {} photos", args.photos), || {
        let example = checkout.built("examples").join("bench_search");
        let mut fill = checkout.program(example);
        fill.arg("fill")
            .arg(&args.bundle)
            .arg(args.photos.to_string());
        checkout.run(fill.arg(folder.join("whales")))
    })?;
    steps.required("flukes to see", || {
        let mut synth = checkout.program(checkout.built("flukewatch"));
        synth.arg("synth").arg("--out").arg(folder.join("drawn"));
        checkout.run(synth.args(["--whales", "5", "--queries-per-whale", "1"]))
    })?;
    let config = write_config(&folder, &folder.join("whales"), CAMERA)?;
    let (mut seconds, mut bytes) = (vec![], vec![]);
    for round in 1..=args.rounds {
        let (first, peak) = steps.required(&format!("round {round}"), || {
            one(checkout, &folder, &config)
        })?;
        println!(
            "    first identification after {first:.2} s; {:.0} MB",
            peak / 1e6
        );
        seconds.push(first);
        bytes.push(peak);
    }
    println!("\n{}\n", steps.summary());
    let (first, peak) = (median(seconds), bytes.iter().copied().fold(0.0, f64::max));
    println!(
        "first identification: {first:.2} s (at most {SECONDS_TARGET}: {})",
        verdict(first <= SECONDS_TARGET)
    );
    println!(
        "peak memory: {:.0} MB (at most {:.0}: {})",
        peak / 1e6,
        MEMORY_TARGET / 1e6,
        verdict(peak <= MEMORY_TARGET)
    );
    Ok(ExitCode::SUCCESS)
}

const CAMERA: &str = "\
[camera]
source = \"stills\"
path = \"drawn/queries\"
frames_per_second = 2.0
";

/// Seconds to the first sighting, and peak memory until all flukes are processed.
fn one(checkout: &Checkout, folder: &Path, config: &Path) -> anyhow::Result<(f64, f64)> {
    let outbox = folder.join("outbox");
    if outbox.exists() {
        fs::remove_dir_all(&outbox).with_context(|| format!("{}", outbox.display()))?;
    }
    let pictures = fs::read_dir(folder.join("drawn/queries"))?.count();
    let log = folder.join("boat.log");
    let mut boat = checkout.program(checkout.built("flukewatch-edge"));
    boat.arg("run").arg("--config").arg(config);
    boat.env("RUST_LOG", "info").stdout(Stdio::null());
    boat.stderr(fs::File::create(&log).with_context(|| format!("{}", log.display()))?);
    let mut first = None;
    let (_, peak) = watch_until(checkout, &mut boat, TIMEOUT, |since| {
        let said = fs::read_to_string(&log).unwrap_or_default();
        let seen = said.lines().filter(|line| line.contains(SIGHTING)).count();
        if seen > 0 && first.is_none() {
            first = Some(since);
        }
        seen >= pictures
    })
    .with_context(|| format!("see the log {}", log.display()))?;
    match first {
        Some(first) => Ok((first.as_secs_f64(), peak as f64)),
        None => bail!("the boat made no sighting; see the log {}", log.display()),
    }
}
