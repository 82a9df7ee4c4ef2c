//! `cargo xtask bench group`: a feeding group before two cameras, in real time, on a slow board.

use super::{build_example, report_of, verdict};
use crate::checkout::Checkout;
use crate::steps::Steps;
use clap::Args;
use serde::Deserialize;
use std::process::ExitCode;

/// Measure the boat in real time before a feeding group.
///
/// Five flukes at once before each of two cameras, groups one after the other. Identification takes 1.5 s an
/// encounter, as on a slow board, and the database stalls for a second every five seconds, as an SD card
/// does. Every encounter must be recorded whole, and identified as by the same program without haste.
#[derive(Args)]
#[command(after_help = "\
Exit codes: 0 measured; 1 failure; 130 interrupted.")]
pub(crate) struct BenchGroupArgs {
    /// Number of groups before each camera; each takes 4.3 s, and 15 s to be identified
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    groups: u32,
}

/// Target: least fraction of the captured frames that is searched.
const SEARCHED: f64 = 0.95;
/// Target: largest difference of recall and of right decisions.
const DIFFERENCE: f64 = 0.01;

#[derive(Deserialize)]
struct Report {
    encounters: u32,
    unpaced: Run,
    real_time: RealTime,
}

/// Fractions of the encounters.
#[derive(Deserialize)]
struct Run {
    recall: f64,
    whole: f64,
    right: f64,
}

#[derive(Deserialize)]
struct RealTime {
    #[serde(flatten)]
    run: Run,
    frames_captured: u64,
    frames_searched: u64,
    searched: f64,
    unrecorded: u64,
    stalls: u32,
    seconds_to_identify_the_rest: f64,
}

/// Runs the measurement.
pub(crate) fn run(args: &BenchGroupArgs, checkout: &Checkout) -> anyhow::Result<ExitCode> {
    let mut steps = Steps::new();
    steps.required("build the boat", || build_example(checkout, "group"))?;
    let report: Report = steps.required("the group, without haste and in real time", || {
        report_of(checkout, "group", &[args.groups])
    })?;
    println!("\n{}\n", steps.summary());
    print!("{}", table(&report));
    Ok(ExitCode::SUCCESS)
}

fn table(report: &Report) -> String {
    let Report {
        encounters,
        unpaced,
        real_time,
    } = report;
    let run = &real_time.run;
    let close = |a: f64, b: f64| verdict((a - b).abs() <= DIFFERENCE);
    format!(
        "{encounters} encounters | without haste | in real time\n\
         ---|---|---\n\
         found | {:.3} | {:.3} ({})\n\
         recorded whole | {:.3} | {:.3} ({})\n\
         decided rightly | {:.3} | {:.3} ({})\n\
         frames searched | all | {} of {}: {:.3} ({})\n\n\
         {} encounters not recorded, {} stalls of the disk, the last identified {:.1} s after the last was recorded\n",
        unpaced.recall,
        run.recall,
        close(unpaced.recall, run.recall),
        unpaced.whole,
        run.whole,
        close(unpaced.whole, run.whole),
        unpaced.right,
        run.right,
        close(unpaced.right, run.right),
        real_time.frames_searched,
        real_time.frames_captured,
        real_time.searched,
        verdict(real_time.searched >= SEARCHED),
        real_time.unrecorded,
        real_time.stalls,
        real_time.seconds_to_identify_the_rest,
    )
}
