//! `cargo xtask sbom`: a bill of materials of each program.

mod cyclonedx;
mod lock;
mod metadata;

use crate::checkout::Checkout;
use anyhow::Context;
use clap::Args;
use cyclonedx::Document;
use lock::Checksums;
use metadata::Metadata;
use std::fs;
use std::process::ExitCode;

/// Write a bill of materials (CycloneDX 1.5, JSON) of each program to target/sbom.
///
/// It lists every crate that is compiled into the program, with version, licence and the checksum by which
/// Cargo verifies its sources. The files depend on Cargo.lock alone: they have no times and no serial
/// numbers.
#[derive(Args)]
#[command(after_help = "Exit codes: 0 success; 1 failure, explained by the last line.")]
pub(crate) struct SbomArgs {}

/// The programs, and where they run.
const PROGRAMS: [(&str, &str); 3] = [
    ("flukewatch-edge", "aarch64-unknown-linux-gnu"),
    ("flukewatch-shore", "x86_64-unknown-linux-gnu"),
    ("flukewatch-host", "x86_64-unknown-linux-gnu"),
];

/// Writes the files.
pub(crate) fn run(_args: &SbomArgs, checkout: &Checkout) -> anyhow::Result<ExitCode> {
    write(checkout)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the files, and prints a line about each.
pub(crate) fn write(checkout: &Checkout) -> anyhow::Result<()> {
    let checksums = Checksums::read(&checkout.path("Cargo.lock"))?;
    let folder = checkout.target().join("sbom");
    fs::create_dir_all(&folder)
        .with_context(|| format!("{} cannot be created", folder.display()))?;
    for (program, platform) in PROGRAMS {
        let mut cargo = checkout.cargo();
        cargo.args(["metadata", "--format-version", "1", "--locked"]);
        cargo.args(["--filter-platform", platform]);
        let output = checkout.ask(&mut cargo).context("cargo metadata failed")?;
        let metadata = Metadata::parse(&output)?;
        let document = Document::of(program, &metadata, &checksums)?;
        let file = folder.join(format!("{program}.cdx.json"));
        let mut text = serde_json::to_string_pretty(&document)?;
        text.push('\n');
        fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))?;
        println!("    {}: {} crates", file.display(), document.components());
    }
    Ok(())
}
