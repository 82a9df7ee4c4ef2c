//! `cargo xtask deny`: checks the dependencies with cargo-deny.

use crate::checkout::Checkout;
use crate::steps::Steps;
use clap::Args;
use std::process::{Command, ExitCode};

/// Check licences, sources and known vulnerabilities of all dependencies against deny.toml.
///
/// Installs cargo-deny in .tools/cargo-deny (some minutes, once). Vulnerabilities come from the RustSec
/// advisory database on GitHub; where that cannot be reached, this check is left out, and the summary
/// says so.
#[derive(Args)]
#[command(after_help = "\
Exit codes: 0 nothing found, also where the advisory database cannot be reached; 1 a dependency that
deny.toml does not allow, or one with a vulnerability; 130 interrupted.")]
pub(crate) struct DenyArgs {}

const VERSION: &str = "0.20.2";
const FOLDER: &str = ".tools/cargo-deny";
/// The checks that need no network.
const OFFLINE: [&str; 3] = ["bans", "licenses", "sources"];

/// Runs the checks.
pub(crate) fn run(_args: &DenyArgs, checkout: &Checkout) -> anyhow::Result<ExitCode> {
    let mut steps = Steps::new();
    steps.required("install cargo-deny", || install(checkout))?;
    steps.check("licences, sources and versions", || {
        // Warnings are about versions that we know of.
        checkout.run(
            deny(checkout)
                .args(["--log-level", "error", "check", "--hide-inclusion-graph"])
                .args(OFFLINE),
        )
    })?;
    let mut has_database = false;
    steps.optional("fetch the advisory database", || {
        checkout.run(deny(checkout).args(["fetch", "db"]))?;
        has_database = true;
        Ok(())
    })?;
    if has_database {
        steps.check("advisories", || {
            checkout.run(deny(checkout).args(["check", "advisories"]))
        })?;
    }
    println!("\n{}", steps.summary());
    if !has_database {
        println!("advisories: not checked, as their database cannot be reached");
    }
    Ok(ExitCode::from(u8::from(steps.any_failed())))
}

/// cargo-deny, on all crates of the workspace.
fn deny(checkout: &Checkout) -> Command {
    let mut command = checkout.program(checkout.path(FOLDER).join("bin/cargo-deny"));
    command.args(["--workspace", "--locked"]);
    command
}

fn install(checkout: &Checkout) -> anyhow::Result<()> {
    let root = checkout.path(FOLDER);
    let mut version = checkout.program(root.join("bin/cargo-deny"));
    let installed = checkout.ask(version.arg("--version"));
    if installed.is_some_and(|text| text.trim() == format!("cargo-deny {VERSION}")) {
        println!("    found cargo-deny {VERSION}");
        return Ok(());
    }
    let mut cargo = checkout.cargo();
    // Compiled without optimisation: it runs for seconds.
    cargo.args([
        "install",
        "--debug",
        "--locked",
        "--quiet",
        "--version",
        VERSION,
    ]);
    cargo.arg("--root").arg(&root);
    cargo
        .arg("--target-dir")
        .arg(checkout.target().join("cargo-deny"));
    checkout.run(cargo.arg("cargo-deny"))
}
