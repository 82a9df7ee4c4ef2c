//! `flukewatch`: the workstation's program.

use clap::{Parser, Subcommand};
use flukewatch_host::{audit, enroll, ensemble, evaluate, export, identify, inspect, synth};
use std::process::ExitCode;

/// Identify humpback whales by their flukes: train, export, enrol, identify, evaluate.
///
/// The usual way: `train` on labelled photos (or take the bundle in models/), `export` to a bundle, `enroll` the whales that you
/// know, then `identify` photos here or hand the bundle to a boat.
#[derive(Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 done, 1 failed (the reason on stderr), 2 wrong arguments, 3 audit --fail-on-findings found something."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[cfg(feature = "train")]
    Train(flukewatch_host::train::command::TrainArgs),
    Export(export::command::ExportArgs),
    Enroll(enroll::EnrollArgs),
    Identify(identify::IdentifyArgs),
    Evaluate(evaluate::EvaluateArgs),
    Inspect(inspect::InspectArgs),
    Audit(audit::AuditArgs),
    Ensemble(ensemble::command::EnsembleArgs),
    Synth(synth::command::SynthArgs),
}

fn main() -> ExitCode {
    let outcome = match &Cli::parse().command {
        #[cfg(feature = "train")]
        Command::Train(args) => flukewatch_host::train::command::run(args),
        Command::Export(args) => export::command::run(args),
        Command::Enroll(args) => enroll::run(args),
        Command::Identify(args) => identify::run(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Ensemble(args) => ensemble::command::run(args),
        Command::Audit(args) => return end(audit::run(args)),
        Command::Synth(args) => synth::command::run(args),
    };
    end(outcome.map(|()| ExitCode::SUCCESS))
}

fn end(outcome: anyhow::Result<ExitCode>) -> ExitCode {
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("flukewatch: {}", message(&error));
            ExitCode::FAILURE
        }
    }
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
