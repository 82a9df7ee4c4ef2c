//! `cargo xtask bench uplink`: what a sighting costs on the wire, and how soon a boat delivers after its link was cut.

use super::{build_example, median, report_of, verdict};
use crate::checkout::Checkout;
use crate::setup::mosquitto;
use crate::steps::Steps;
use clap::Args;
use serde::Deserialize;
use std::process::ExitCode;

/// Measure the uplink: bytes of a sighting, compared with JSON and protobuf, and recovery of a cut link.
///
/// Sends one sighting (256 values, five candidates) in three formats, and as a brief, each with the same signature, over MQTT with TLS
/// through a proxy that counts bytes. Then a boat that makes two sightings a second loses its link again and again: once the
/// connection is closed, once nothing passes any more and neither side learns of it.
#[derive(Args)]
#[command(after_help = "\
Exit codes: 0 measured; 1 failure; 130 interrupted.")]
pub(crate) struct BenchUplinkArgs {
    /// Number of times that each message is sent
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    sightings: u32,
    /// Number of times that the link is cut in each way
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    cuts: u32,
    /// Duration of a cut in seconds
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
}

/// Target: the longest payload of a brief, in bytes.
const BRIEF_PAYLOAD: u32 = 200;
/// Target: the most bytes of a brief on the wire.
const BRIEF_WIRE: f64 = 320.0;

#[derive(Deserialize)]
struct Report {
    sizes: Vec<Size>,
    recovery: Vec<Recovery>,
}

#[derive(Deserialize)]
struct Size {
    format: String,
    payload: u32,
    signed: u32,
    tls: f64,
    wire: f64,
    broker_answer: f64,
}

#[derive(Deserialize)]
struct Recovery {
    cut: String,
    seconds: u32,
    recovered: Vec<f64>,
}

/// Runs the measurement.
pub(crate) fn run(args: &BenchUplinkArgs, checkout: &Checkout) -> anyhow::Result<ExitCode> {
    let mut steps = Steps::new();
    steps.required("install mosquitto", || mosquitto::install(checkout))?;
    steps.required("build boat and station", || {
        build_example(checkout, "uplink")
    })?;
    let report: Report = steps.required("send, and cut the link", || {
        report_of(
            checkout,
            "uplink",
            &[args.sightings, args.cuts, args.seconds],
        )
    })?;
    println!("\n{}\n", steps.summary());
    print!("{}", table(&report));
    Ok(ExitCode::SUCCESS)
}

fn table(report: &Report) -> String {
    let mut text = format!(
        "{:<10}{:>9}{:>9}{:>10}{:>14}{:>15}\n",
        "format", "payload", "signed", "with TLS", "with TCP, IP", "broker's answer"
    );
    for size in &report.sizes {
        let Size {
            format,
            payload,
            signed,
            tls,
            wire,
            broker_answer,
        } = size;
        text += &format!(
            "{format:<10}{payload:>9}{signed:>9}{tls:>10.0}{wire:>14.0}{broker_answer:>15.0}\n"
        );
        if format == "brief" {
            let payload = verdict(*payload <= BRIEF_PAYLOAD);
            let wire = verdict(*wire <= BRIEF_WIRE);
            text += &format!(
                "  (at most {BRIEF_PAYLOAD} bytes of payload: {payload}; at most {BRIEF_WIRE} on the wire: {wire})\n"
            );
        }
    }
    for recovery in &report.recovery {
        let longest = recovery.recovered.iter().copied().fold(0.0, f64::max);
        text += &format!(
            "link {} for {} s: a new sighting on shore {:.1} s after its return (median of {}), {longest:.1} s at most\n",
            recovery.cut,
            recovery.seconds,
            median(recovery.recovered.clone()),
            recovery.recovered.len(),
        );
    }
    text
}
