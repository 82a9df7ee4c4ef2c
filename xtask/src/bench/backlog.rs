//! `cargo xtask bench backlog`: a boat that was without a link for weeks, and comes home.

use super::{build_example, report_of, verdict};
use crate::checkout::Checkout;
use crate::setup::mosquitto;
use crate::steps::Steps;
use clap::Args;
use serde::Deserialize;
use std::process::ExitCode;

/// Measure a boat with an outbox of many days: start, memory, and how fast it delivers.
///
/// Fills the outbox with sightings and pictures of 20 kB, starts the boat without a link, then over Iridium for a while, then in
/// harbour until everything is delivered. Boat, mosquitto and station are real programs with TLS and signatures, on this machine.
#[derive(Args)]
#[command(after_help = "\
Exit codes: 0 measured; 1 failure; 130 interrupted.")]
pub(crate) struct BenchBacklogArgs {
    /// Days without a link
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=365))]
    days: u32,
    /// Sightings a day
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    sightings: u32,
    /// Seconds over Iridium
    #[arg(long, default_value_t = 300, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    iridium: u32,
}

/// Target: longest time to start, in seconds.
const START: f64 = 2.0;
/// Target: growth of memory over that with a tenth of the outbox's content, as a fraction.
const FLAT: f64 = 0.1;
/// Target: sightings delivered a second in harbour.
const RATE: f64 = 200.0;

#[derive(Deserialize)]
struct Report {
    backlog: u64,
    seconds_to_fill: f64,
    empty: Start,
    tenth: Start,
    full: Start,
    iridium: Iridium,
    accepted: u64,
    stored: u64,
    pictures_stored: u64,
    missing: bool,
    seconds_to_all_sightings: f64,
    seconds_to_everything: f64,
    peak_bytes: f64,
}

#[derive(Deserialize)]
struct Start {
    seconds_to_start: f64,
    memory_bytes: f64,
}

#[derive(Deserialize)]
struct Iridium {
    seconds: u32,
    briefs: u64,
    sightings: u64,
    memory_bytes: f64,
}

/// Runs the measurement.
pub(crate) fn run(args: &BenchBacklogArgs, checkout: &Checkout) -> anyhow::Result<ExitCode> {
    let mut steps = Steps::new();
    steps.required("install mosquitto", || mosquitto::install(checkout))?;
    steps.required("build boat and station", || {
        build_example(checkout, "backlog")
    })?;
    let what = format!("{} days of {} sightings", args.days, args.sightings);
    let report: Report = steps.required(&what, || {
        report_of(
            checkout,
            "backlog",
            &[args.days, args.sightings, args.iridium],
        )
    })?;
    println!("\n{}\n", steps.summary());
    print!("{}", table(&report));
    Ok(ExitCode::SUCCESS)
}

fn table(report: &Report) -> String {
    let Report {
        backlog,
        seconds_to_fill,
        empty,
        tenth,
        full,
        iridium,
        accepted,
        stored,
        pictures_stored,
        missing,
        seconds_to_all_sightings,
        seconds_to_everything,
        peak_bytes,
    } = report;
    let started = verdict(full.seconds_to_start <= START);
    let flat = verdict(full.memory_bytes <= (1.0 + FLAT) * tenth.memory_bytes);
    let first = verdict(iridium.briefs > 0 && iridium.sightings == 0);
    let rate = *accepted as f64 / seconds_to_all_sightings;
    let fast = verdict(rate >= RATE);
    let all = verdict(accepted == stored && accepted == pictures_stored && !missing);
    let mb = |bytes: f64| bytes / 1e6;
    format!(
        "{backlog} sightings with pictures in the outbox, accepted in {seconds_to_fill:.0} s\n\
         start: {:.2} s (empty outbox {:.2}; at most {START}: {started})\n\
         memory: {:.0} MB (with a tenth of them {:.0}, with an empty outbox {:.0}; {flat}); over Iridium {:.0}, at most {:.0} in harbour\n\
         over Iridium, {} s: {} identities, {} whole sightings ({first})\n\
         in harbour: all sightings after {seconds_to_all_sightings:.0} s, {rate:.0} per second (at least {RATE}: {fast}); with pictures {seconds_to_everything:.0} s\n\
         {accepted} accepted, {stored} stored, {pictures_stored} pictures ({all})\n",
        full.seconds_to_start,
        empty.seconds_to_start,
        mb(full.memory_bytes),
        mb(tenth.memory_bytes),
        mb(empty.memory_bytes),
        mb(iridium.memory_bytes),
        mb(*peak_bytes),
        iridium.seconds,
        iridium.briefs,
        iridium.sightings,
    )
}
