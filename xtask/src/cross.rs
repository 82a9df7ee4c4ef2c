//! `cargo xtask cross`: build the boat's program for aarch64 and test it in an emulator.

mod emulated;

use crate::checkout::Checkout;
use crate::elf::Requirements;
use crate::steps::Steps;
use crate::test::TestCounts;
use crate::zig::{GLIBC, SYSTEM, ZIG, ZIG_STEP};
use anyhow::{Context, bail, ensure};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Build the boat's program for aarch64, and test it in an emulator.
///
/// The program goes to target/aarch64-unknown-linux-gnu/boat/flukewatch-edge, stripped, and is checked: for aarch64,
/// no library but the system's, no glibc newer than 2.31, that of JetPack 5, and at most 30 MB. Cargo links with zig, from PyPI into
/// .tools/zig; Rust's standard library for aarch64 comes from rustup. Then unit tests of `common` and `edge` run in QEMU's user mode
/// (Debian's qemu-user-static, with a glibc for aarch64 in .tools/arm64), but for those that an emulator is too slow for; the
/// last lines say which.
#[derive(Args)]
#[command(after_help = "\
Exit codes: 0 built, and all tests passed; 1 failure, named in the summary; 130 interrupted.")]
pub(crate) struct CrossArgs {
    /// Only build and check the program
    #[arg(long)]
    no_tests: bool,
}

/// Rust's name of the boat's processor and system.
pub(crate) const TARGET: &str = "aarch64-unknown-linux-gnu";
/// Cargo's profile for programs of boats, in the workspace's Cargo.toml.
const PROFILE: &str = "boat";
/// The number of the processor in ELF files.
const MACHINE: u16 = 183;
/// The most that the program may take, in bytes.
const MOST: u64 = 30_000_000;
/// What others may have set for a linker of their own; zig takes their place.
const OTHERS: [&str; 4] = [
    "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER",
    "CC_aarch64_unknown_linux_gnu",
    "CXX_aarch64_unknown_linux_gnu",
    "AR_aarch64_unknown_linux_gnu",
];

/// Builds, checks and tests.
pub(crate) fn run(args: &CrossArgs, checkout: &Checkout) -> anyhow::Result<ExitCode> {
    let mut steps = Steps::new();
    build(&mut steps, checkout)?;
    let mut counts = TestCounts::default();
    if !args.no_tests {
        emulated::test(&mut steps, checkout, &mut counts)?;
    }
    println!("\n{}", steps.summary());
    if !args.no_tests {
        println!("\ntests in the emulator: {counts}\n{}", emulated::LEFT_OUT);
    }
    let good = !steps.any_failed() && (args.no_tests || counts.any_passed());
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The steps that build the boat's program; gives where it is.
pub(crate) fn build(steps: &mut Steps, checkout: &Checkout) -> anyhow::Result<PathBuf> {
    steps.required("Rust's standard library for aarch64", || {
        standard_library(checkout)
    })?;
    steps.required(ZIG_STEP, || ZIG.install(checkout))?;
    let program = built(checkout, "flukewatch-edge");
    steps.required("build the boat's program for aarch64", || {
        println!("    (takes minutes the first time)");
        let mut cargo = zigbuild(checkout, "zigbuild");
        cargo.args(["--package", "flukewatch-edge", "--bin", "flukewatch-edge"]);
        checkout.run(&mut cargo)?;
        println!("    {}", look(&program)?);
        Ok(())
    })?;
    Ok(program)
}

/// Where Cargo puts what it builds for the boat.
pub(crate) fn built(checkout: &Checkout, inside: &str) -> PathBuf {
    checkout.target().join(TARGET).join(PROFILE).join(inside)
}

/// A command of Cargo that builds for the boat and links with zig.
pub(crate) fn zigbuild(checkout: &Checkout, command: &str) -> Command {
    let programs = checkout.path(ZIG.folder).join("bin");
    let mut cargo = checkout.program(programs.join("cargo-zigbuild"));
    let target = format!("{TARGET}.{}.{}", GLIBC.0, GLIBC.1);
    cargo.args([command, "--profile", PROFILE, "--target", &target]);
    // It looks for the Python that has zig.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(programs).chain(std::env::split_paths(&path));
    if let Ok(path) = std::env::join_paths(folders) {
        cargo.env("PATH", path);
    }
    for name in OTHERS {
        cargo.env_remove(name);
    }
    cargo
}

/// Rust's own part of every program, which Rust installs for one processor at first.
fn standard_library(checkout: &Checkout) -> anyhow::Result<()> {
    let there = || {
        let folder = checkout.ask(checkout.program("rustc").args([
            "--print",
            "target-libdir",
            "--target",
            TARGET,
        ]))?;
        let folder = PathBuf::from(folder.trim());
        has_std(&folder).then_some(folder)
    };
    if let Some(folder) = there() {
        println!("    in {}", folder.display());
        return Ok(());
    }
    if checkout
        .ask(checkout.program("rustup").arg("--version"))
        .is_some()
    {
        println!("    rustup installs it");
        checkout.run(checkout.program("rustup").args(["target", "add", TARGET]))?;
    }
    if there().is_none() {
        bail!(
            "Rust has no standard library for {TARGET}; with rustup: rustup target add {TARGET}; with Debian's Rust: \
             dpkg --add-architecture arm64 && apt-get update && apt-get install libstd-rust-web-dev:arm64"
        );
    }
    Ok(())
}

fn has_std(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| {
        entries.any(|entry| {
            entry.is_ok_and(|e| e.file_name().to_string_lossy().starts_with("libstd-"))
        })
    })
}

/// Checks the program; returns a description.
fn look(program: &Path) -> anyhow::Result<String> {
    let named = || program.display().to_string();
    let bytes = fs::read(program).with_context(|| format!("{} cannot be read", named()))?;
    let requirements = Requirements::read(&bytes).with_context(named)?;
    let (major, minor) = check(&requirements, bytes.len() as u64).with_context(named)?;
    Ok(format!(
        "{}: aarch64, needs glibc {major}.{minor}, {:.1} MB",
        named(),
        bytes.len() as f64 / 1e6
    ))
}

/// Gives the glibc that is needed.
fn check(requirements: &Requirements, bytes: u64) -> anyhow::Result<(u32, u32)> {
    ensure!(
        requirements.machine == MACHINE,
        "it is for processor {}, not {MACHINE}",
        requirements.machine
    );
    let glibc = requirements
        .glibc()?
        .context("it needs no glibc, so it is no usual program")?;
    ensure!(
        glibc <= GLIBC,
        "it needs glibc {}.{}, JetPack 5 has {}.{}",
        glibc.0,
        glibc.1,
        GLIBC.0,
        GLIBC.1
    );
    let foreign = requirements
        .libraries
        .iter()
        .find(|l| !SYSTEM.contains(&l.as_str()));
    if let Some(library) = foreign {
        bail!("it links to {library}, which a boat may not have");
    }
    ensure!(
        bytes <= MOST,
        "it takes {:.1} MB, {:.0} are allowed",
        bytes as f64 / 1e6,
        MOST as f64 / 1e6
    );
    Ok(glibc)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&n| n.to_owned()).collect()
    }

    fn good() -> Requirements {
        Requirements {
            machine: 183,
            versions: set(&["GLIBC_2.17", "GLIBC_2.30"]),
            libraries: set(&["libc.so.6", "libm.so.6"]),
            functions: set(&[]),
        }
    }

    #[test]
    fn a_program_that_a_boat_cannot_run_is_refused() {
        assert_eq!(check(&good(), MOST).unwrap(), (2, 30));
        let refusal = |change: fn(&mut Requirements), bytes| {
            let mut requirements = good();
            change(&mut requirements);
            check(&requirements, bytes).unwrap_err().to_string()
        };
        let newer = |d: &mut Requirements| {
            d.versions.insert("GLIBC_2.34".into());
        };
        assert_eq!(refusal(newer, 1), "it needs glibc 2.34, JetPack 5 has 2.31");
        let linked = |d: &mut Requirements| {
            d.libraries.insert("libssl.so.3".into());
        };
        assert!(refusal(linked, 1).contains("links to libssl.so.3"));
        assert!(refusal(|d| d.machine = 62, 1).contains("processor 62"));
        assert!(refusal(|d| d.versions.clear(), 1).contains("no glibc"));
        let large = refusal(|_| {}, 31_000_000);
        assert_eq!(large, "it takes 31.0 MB, 30 are allowed");
    }

    #[test]
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    fn this_machines_own_program_is_not_the_boats() {
        let own = std::env::current_exe().unwrap();
        let said = format!("{:#}", look(&own).unwrap_err());
        assert!(said.ends_with("it is for processor 62, not 183"), "{said}");
    }

    #[test]
    fn a_standard_library_is_there_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!has_std(&folder.path().join("none")));
        assert!(!has_std(folder.path()));
        fs::write(folder.path().join("libstd-0a1b.rlib"), "").unwrap();
        assert!(has_std(folder.path()));
    }
}
