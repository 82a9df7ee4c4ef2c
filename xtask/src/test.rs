//! `cargo xtask test`: all checks that this machine can run.

mod circles;
mod counts;
mod graph;
mod prerequisites;

use crate::checkout::Checkout;
use crate::interrupt::Interrupted;
use crate::sbom;
use crate::setup::{self, libtorch};
use crate::shim;
use crate::steps::Steps;
use clap::Args;
pub(crate) use counts::TestCounts;
use std::process::{Command, ExitCode};

/// Packages of the trainer and its tests.
pub(crate) const WITH_TRAINER: &str = "flukewatch-host/train,flukewatch-tests/train";

/// Run all checks: format, dependencies between crates, module graph, lints, unit tests, end-to-end
/// tests.
///
/// Installs missing tools (see `cargo xtask setup --help`), and lists the tests that are skipped
/// because data or tools are missing.
#[derive(Args)]
#[command(after_help = "\
Exit codes: 0 success; 1 failure, named in the summary; 130 interrupted.")]
pub(crate) struct TestArgs {
    /// Skip what needs libtorch: the trainer and its tests
    #[arg(long)]
    no_torch: bool,
    /// Run only the checks that need no build: format, dependencies between crates, circles in the
    /// module graph
    #[arg(long)]
    no_build: bool,
}

/// Continues after a failure, so that one run reports everything.
pub(crate) fn run(args: &TestArgs, checkout: &Checkout) -> anyhow::Result<ExitCode> {
    let mut steps = Steps::new();
    if args.no_build {
        check_sources(&mut steps, checkout)?;
        println!("\n{}", steps.summary());
        return Ok(ExitCode::from(u8::from(steps.any_failed())));
    }
    if !args.no_torch {
        setup::libtorch_step(&mut steps, checkout, libtorch::Form::Light)?;
    }
    setup::test_tools(&mut steps, checkout)?;
    let mut missing = prerequisites::missing(checkout, !args.no_torch);
    if let Some(why) = shim::test_step(&mut steps, checkout)? {
        missing.push(format!("TensorRT's headers, to compile its shims: {why}"));
    }
    let mut counts = TestCounts::default();
    check_sources(&mut steps, checkout)?;
    check_builds(&mut steps, checkout, !args.no_torch, &mut counts)?;

    println!("\n{}", steps.summary());
    for line in &missing {
        println!("  missing: {line}");
    }
    println!("\ntests: {counts}");
    let good = !steps.any_failed() && counts.any_passed();
    println!(
        "cargo xtask test: {}",
        if good { "passed" } else { "FAILED" }
    );
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The checks that need no build.
fn check_sources(steps: &mut Steps, checkout: &Checkout) -> Result<(), Interrupted> {
    steps.check("format", || {
        checkout.run(checkout.cargo().args(["fmt", "--all", "--check"]))?;
        let targets = ["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"];
        checkout.run(checkout.cargo().args(targets))
    })?;
    steps.check("dependencies between crates", || {
        graph::check(checkout)?;
        graph::check_features(checkout)
    })?;
    steps.check("no circles in the module graph", || {
        circles::check(checkout)
    })?;
    steps.check("bill of materials", || sbom::write(checkout))
}

fn check_builds(
    steps: &mut Steps,
    checkout: &Checkout,
    trainer: bool,
    counts: &mut TestCounts,
) -> Result<(), Interrupted> {
    // One profile and one package selection for all, so that each dependency is compiled once.
    let cargo = |command: &str, trainer: bool| -> Command {
        let mut cargo = checkout.cargo();
        cargo.args([command, "--release", "--workspace"]);
        if trainer {
            cargo.args(["--features", WITH_TRAINER]);
        }
        cargo
    };
    let strict = ["--", "-D", "warnings"];
    if trainer {
        steps.check("lints, with the trainer", || {
            let mut clippy = cargo("clippy", true);
            checkout.run(clippy.arg("--all-targets").args(strict))
        })?;
    }
    steps.check("lints, without the trainer", || {
        let mut clippy = cargo("clippy", false);
        checkout.run(clippy.arg("--all-targets").args(strict))
    })?;
    // Programs and tests in one go: building the programs alone would choose other features of some dependencies, so that these and
    // what depends on them were compiled twice.
    steps.check("programs and tests", || {
        checkout.run(cargo("test", trainer).arg("--no-run"))
    })?;
    steps.check("tests", || {
        let mut tests = cargo("test", trainer);
        // As many tests run at once as there are cores; with as many threads each, libtorch's would wait for each other.
        tests.arg("--no-fail-fast").env("OMP_NUM_THREADS", "1");
        checkout.run_lines(&mut tests, |line| {
            println!("{line}");
            counts.read(line);
        })
    })
}
