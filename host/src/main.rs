//! `flukewatch`, the workstation's program.

mod broken_pipe;
mod commands;

use clap::Parser;
use commands::Command;
use std::process::ExitCode;

/// Identify humpback whales by their flukes: train, export, enrol, identify, evaluate.
///
/// Typical order: `train` on labelled photos (or take the bundle in models/), `export` a bundle,
/// `enroll` the whales that you know, then `identify` photos here, or `sign` the bundle and copy it to a boat.
#[derive(Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "\
Tables of photos are CSV files with the columns image (or path), identity (or individual_id, Id) and, if there are any, \
x0, y0, x1, y1 or bbox [x, y, w, h] in pixels, width and height of the picture that the box was drawn on, date, \
encounter and split; or COCO's JSON. Photos are in the folder next to the table with the same name. Words such as new_whale, unknown, \
none and NA mean a whale without a name. All about them: docs/tables.md.

Exit codes: 0 success, 1 failure (the reason is on stderr), 2 invalid arguments, 3 findings of audit \
--fail-on-findings, inspect --target, quantize or verify.

A photo that is cut off or damaged is a failure, unless --skip-broken leaves it out. Files of a folder that \
are not photos (HEIC, raw, hidden files, links to missing files) are skipped: a line on stderr counts them, \
and the exit code stays 0."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    broken_pipe::end_quietly();
    match Cli::parse().command.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("flukewatch: {}", message(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes, each printed once: many messages already contain their cause.
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
