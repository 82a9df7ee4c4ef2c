//! `cargo xtask bench ingest`: how many sightings a station stores, and how soon it acknowledges them.

use super::{build_example, report_of, verdict};
use crate::checkout::Checkout;
use crate::setup::mosquitto;
use crate::steps::Steps;
use clap::Args;
use serde::Deserialize;
use std::process::ExitCode;

/// Measure a station that receives the sightings of many boats.
///
/// Boats with certificates of their own send signed sightings (256 values, five candidates, no pictures) over TLS through
/// mosquitto. The station verifies, stores and acknowledges each. Boats, broker and station share this machine.
#[derive(Args)]
#[command(after_help = "\
Exit codes: 0 measured; 1 failure; 130 interrupted.")]
pub(crate) struct BenchIngestArgs {
    /// Number of boats
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    boats: u32,
    /// Sightings per second of all boats together
    #[arg(long, default_value_t = 2000, value_name = "RATE", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Duration in seconds
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
}

/// Target: sightings per second, as a fraction of the rate at which they are sent.
const STORED: f64 = 0.99;
/// Target: the 99th percentile of the time to the acknowledgement, in seconds.
const LATE: f64 = 1.0;

#[derive(Deserialize)]
struct Report {
    boats: u32,
    sent: u64,
    acknowledged: u64,
    stored: u64,
    rejected: u64,
    bytes: u64,
    seconds: f64,
    per_second: f64,
    median_seconds: f64,
    p99_seconds: f64,
    longest_seconds: f64,
}

/// Runs the measurement.
pub(crate) fn run(args: &BenchIngestArgs, checkout: &Checkout) -> anyhow::Result<ExitCode> {
    let mut steps = Steps::new();
    steps.required("install mosquitto", || mosquitto::install(checkout))?;
    steps.required("build station and boats", || {
        build_example(checkout, "fleet")
    })?;
    let what = format!(
        "{} boats, {} sightings per second, {} s",
        args.boats, args.rate, args.seconds
    );
    let report: Report = steps.required(&what, || {
        report_of(checkout, "fleet", &[args.boats, args.rate, args.seconds])
    })?;
    println!("\n{}\n", steps.summary());
    print!("{}", table(&report, args.rate));
    Ok(ExitCode::SUCCESS)
}

fn table(report: &Report, rate: u32) -> String {
    let Report {
        boats,
        sent,
        acknowledged,
        stored,
        rejected,
        bytes,
        seconds,
        per_second,
        median_seconds,
        p99_seconds,
        longest_seconds,
    } = report;
    let kept = verdict(*per_second >= STORED * f64::from(rate));
    let soon = verdict(*p99_seconds <= LATE);
    let all = verdict(stored == sent && acknowledged == sent && *rejected == 0);
    format!(
        "{boats} boats, {sent} sightings of {bytes} bytes in {seconds:.1} s\n\
         stored {stored}, acknowledged {acknowledged}, rejected {rejected} ({all})\n\
         {per_second:.0} per second (target {rate}: {kept})\n\
         acknowledged after {median_seconds:.3} s (median), {p99_seconds:.3} s (99th percentile; target {LATE} s: {soon}), {longest_seconds:.3} s (longest)\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_sighting_misses_the_target() {
        let report = |stored| Report {
            boats: 2,
            sent: 100,
            acknowledged: 100,
            stored,
            rejected: 0,
            bytes: 700,
            seconds: 1.0,
            per_second: 100.0,
            median_seconds: 0.1,
            p99_seconds: 0.5,
            longest_seconds: 0.6,
        };
        assert!(!table(&report(100), 100).contains("missed"));
        assert!(table(&report(99), 100).contains("missed"));
        assert!(table(&report(100), 200).contains("missed"));
    }
}
