//! `cargo xtask bench`: measurements that the documentation quotes, compared with other software.

mod backlog;
mod boat;
mod cores;
mod day;
mod edge_config;
mod encounters;
mod group;
mod infer;
mod ingest;
mod measured;
mod memory;
mod pipeline;
mod recipes;
mod rtsp;
mod search;
mod train;
mod uplink;

use crate::checkout::Checkout;
use crate::test::WITH_TRAINER;
use anyhow::Context;
use clap::{Args, Subcommand};
use serde::de::DeserializeOwned;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

/// Measure Flukewatch on this machine, compared with other software.
#[derive(Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    Train(train::BenchTrainArgs),
    Recipes(recipes::BenchRecipesArgs),
    Search(search::BenchSearchArgs),
    Infer(infer::BenchInferArgs),
    Boat(boat::BenchBoatArgs),
    Pipeline(pipeline::BenchPipelineArgs),
    Encounters(encounters::BenchEncountersArgs),
    Group(group::BenchGroupArgs),
    Day(day::BenchDayArgs),
    Ingest(ingest::BenchIngestArgs),
    Backlog(backlog::BenchBacklogArgs),
    Uplink(uplink::BenchUplinkArgs),
    Rtsp(rtsp::BenchRtspArgs),
}

/// Runs the selected measurement.
pub(crate) fn run(args: &BenchArgs, checkout: &Checkout) -> anyhow::Result<ExitCode> {
    match &args.bench {
        Bench::Train(args) => train::run(args, checkout),
        Bench::Recipes(args) => recipes::run(args, checkout),
        Bench::Search(args) => search::run(args, checkout),
        Bench::Infer(args) => infer::run(args, checkout),
        Bench::Boat(args) => boat::run(args, checkout),
        Bench::Pipeline(args) => pipeline::run(args, checkout),
        Bench::Encounters(args) => encounters::run(args, checkout),
        Bench::Group(args) => group::run(args, checkout),
        Bench::Day(args) => day::run(args, checkout),
        Bench::Ingest(args) => ingest::run(args, checkout),
        Bench::Backlog(args) => backlog::run(args, checkout),
        Bench::Uplink(args) => uplink::run(args, checkout),
        Bench::Rtsp(args) => rtsp::run(args, checkout),
    }
}

/// `flukewatch` with the trainer.
fn build(checkout: &Checkout) -> anyhow::Result<()> {
    let mut cargo = checkout.cargo();
    cargo.args(["build", "--release", "--workspace", "--bin", "flukewatch"]);
    cargo.args(["--features", WITH_TRAINER]);
    checkout.run(&mut cargo)
}

/// Builds release programs and an example.
fn build_example(checkout: &Checkout, example: &str) -> anyhow::Result<()> {
    let mut cargo = checkout.cargo();
    cargo.args(["build", "--release", "--workspace", "--bins"]);
    checkout.run(cargo.args(["--example", example]))
}

/// The JSON report that an example prints, run with these numbers.
fn report_of<R: DeserializeOwned>(
    checkout: &Checkout,
    example: &str,
    numbers: &[u32],
) -> anyhow::Result<R> {
    let mut program = checkout.program(checkout.built("examples").join(example));
    program.args(numbers.iter().map(u32::to_string));
    let mut printed = String::new();
    checkout.run_lines(&mut program, |line| printed.push_str(line))?;
    serde_json::from_str(&printed).with_context(|| format!("unexpected output of {example}"))
}

/// Whether a target is met, as a word.
fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "missed" }
}

/// Creates `folder`, removing the files of an earlier measurement.
fn empty(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("{} cannot be removed", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be created", folder.display()))
}

/// The median of `values`; NaN if there are none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_worked_by_hand() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]), 3.0);
        assert!(median(vec![]).is_nan());
    }
}
