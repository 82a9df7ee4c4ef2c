//! `cargo xtask test`: everything that can be checked on this machine.

mod graph;
mod missing;
mod tally;

use crate::interrupt::Interrupted;
use crate::setup::{self, libtorch};
use crate::shim;
use crate::steps::Steps;
use crate::workshop::Workshop;
use clap::Args;
use std::process::{Command, ExitCode};
pub(crate) use tally::Tally;

/// The trainer and its tests.
pub(crate) const WITH_TRAINER: &str = "flukewatch-host/train,flukewatch-tests/train";

/// Run all tests: format, lints, unit tests, end-to-end tests, and that only the trainer needs libtorch.
///
/// Installs what tests need and this machine lacks (see `cargo xtask setup --help`), and says which tests are skipped for want of
/// data or tools.
#[derive(Args)]
#[command(after_help = "\
Exit codes: 0 all is well; 1 something failed, and the summary says what; 130 interrupted.")]
pub(crate) struct TestArgs {
    /// Leave out what needs libtorch: the trainer and its tests
    #[arg(long)]
    no_torch: bool,
}

/// Goes on after a failure, so that one run tells all.
pub(crate) fn run(args: &TestArgs, workshop: &Workshop) -> anyhow::Result<ExitCode> {
    let mut steps = Steps::new();
    if !args.no_torch {
        setup::libtorch_step(&mut steps, workshop, libtorch::Form::Light)?;
    }
    setup::test_tools(&mut steps, workshop)?;
    let mut missing = missing::look(workshop, !args.no_torch);
    if let Some(why) = shim::test_step(&mut steps, workshop)? {
        missing.push(format!("TensorRT's headers, to compile its shims: {why}"));
    }
    let mut tally = Tally::default();
    check(&mut steps, workshop, !args.no_torch, &mut tally)?;

    println!("\n{}", steps.summary());
    for line in &missing {
        println!("  missing: {line}");
    }
    println!("\ntests: {tally}");
    let good = !steps.any_failed() && tally.any_passed();
    println!(
        "cargo xtask test: {}",
        if good { "all is well" } else { "FAILED" }
    );
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn check(
    steps: &mut Steps,
    workshop: &Workshop,
    trainer: bool,
    tally: &mut Tally,
) -> Result<(), Interrupted> {
    // One selection of packages and features for all, so that each dependency is compiled once.
    let cargo = |command: &str| -> Command {
        let mut cargo = workshop.cargo();
        cargo.args([command, "--workspace"]);
        if trainer {
            cargo.args(["--features", WITH_TRAINER]);
        }
        cargo
    };
    steps.attempt("format", || {
        workshop.run(workshop.cargo().args(["fmt", "--all", "--check"]))?;
        let targets = ["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"];
        workshop.run(workshop.cargo().args(targets))
    })?;
    steps.attempt("boat, shore and workstation do without libtorch", || {
        graph::without_libtorch(workshop)
    })?;
    steps.attempt("lints", || {
        let mut clippy = cargo("clippy");
        workshop.run(clippy.args(["--all-targets", "--", "-D", "warnings"]))
    })?;
    steps.attempt("programs, which end-to-end tests run", || {
        workshop.run(cargo("build").arg("--bins"))
    })?;
    steps.attempt("tests", || {
        workshop.run_lines(cargo("test").arg("--no-fail-fast"), |line| {
            println!("{line}");
            tally.read(line);
        })
    })
}
