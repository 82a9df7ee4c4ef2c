//! `flukewatch`: the workstation's program.

use clap::{Parser, Subcommand};
use flukewatch_host::train::losses;
use flukewatch_host::{
    audit, calibrate, detector, enroll, ensemble, evaluate, export, identify, inspect, quantize,
    seascape, synth,
};
use std::process::ExitCode;

/// Identify humpback whales by their flukes: train, export, enrol, identify, evaluate.
///
/// The usual way: `train` on labelled photos (or take the bundle in models/), `export` to a bundle, `enroll` the whales that you
/// know, then `identify` photos here or hand the bundle to a boat.
#[derive(Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 done, 1 failed (the reason on stderr), 2 wrong arguments, 3 audit --fail-on-findings, inspect --target or the check at the end of quantize found something."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[cfg(feature = "train")]
    Train(flukewatch_host::train::command::TrainArgs),
    #[cfg(feature = "train")]
    TrainDetector(detector::command::TrainDetectorArgs),
    BundleDetector(detector::bundle::BundleDetectorArgs),
    EvaluateDetector(detector::evaluate::command::EvaluateDetectorArgs),
    Losses(losses::LossesArgs),
    Export(export::command::ExportArgs),
    Quantize(quantize::command::QuantizeArgs),
    Enroll(enroll::EnrollArgs),
    Calibrate(calibrate::command::CalibrateArgs),
    Identify(identify::IdentifyArgs),
    Evaluate(evaluate::command::EvaluateArgs),
    Inspect(inspect::InspectArgs),
    Audit(audit::AuditArgs),
    Ensemble(ensemble::command::EnsembleArgs),
    Synth(synth::command::SynthArgs),
    SynthSea(seascape::command::SynthSeaArgs),
}

fn main() -> ExitCode {
    flukewatch_host::broken_pipe::end_quietly();
    let outcome = match &Cli::parse().command {
        #[cfg(feature = "train")]
        Command::Train(args) => flukewatch_host::train::command::run(args),
        #[cfg(feature = "train")]
        Command::TrainDetector(args) => detector::command::run(args),
        Command::BundleDetector(args) => done(detector::bundle::run(args)),
        Command::EvaluateDetector(args) => done(detector::evaluate::command::run(args)),
        Command::Losses(args) => done(losses::run(args)),
        Command::Export(args) => done(export::command::run(args)),
        Command::Quantize(args) => quantize::command::run(args),
        Command::Enroll(args) => done(enroll::run(args)),
        Command::Calibrate(args) => done(calibrate::command::run(args)),
        Command::Identify(args) => done(identify::run(args)),
        Command::Evaluate(args) => done(evaluate::command::run(args)),
        Command::Audit(args) => audit::run(args),
        Command::Ensemble(args) => done(ensemble::command::run(args)),
        Command::Inspect(args) => inspect::run(args),
        Command::Synth(args) => done(synth::command::run(args)),
        Command::SynthSea(args) => done(seascape::command::run(args)),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("flukewatch: {}", message(&error));
            ExitCode::FAILURE
        }
    }
}

fn done(outcome: anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    outcome.map(|()| ExitCode::SUCCESS)
}

/// The error and what lies behind it, each said once: many errors already say what lies behind them.
fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
