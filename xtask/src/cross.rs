//! `cargo xtask cross`: build the boat's program for aarch64 and test it in an emulator.

mod emulated;

use crate::checkout::Checkout;
use crate::elf::Requirements;
use crate::shim;
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
/// Writes the stripped program to target/aarch64-unknown-linux-gnu/boat/flukewatch-edge and checks
/// it: for aarch64, only system libraries, no glibc newer than 2.31 (JetPack 5), at most 30 MB.
/// Also checks that the shims for TensorRT compile for a Jetson.
/// Cargo links with zig, from PyPI in .tools/zig; Rust's standard library for aarch64 comes from
/// rustup. Then runs the unit tests of `common` and `edge` in QEMU's user mode (Debian's
/// qemu-user-static, with a glibc for aarch64 in .tools/arm64), except those that the emulator
/// cannot run or is too slow for; the last lines list them.
#[derive(Args)]
#[command(after_help = "\
Exit codes: 0 built, and all tests passed; 1 failure, named in the summary; 130 interrupted.")]
pub(crate) struct CrossArgs {
    /// Only build and check the program
    #[arg(long)]
    no_tests: bool,
    /// Leave out the unit tests of `edge`, which take most of the time; those of `common` and
    /// `inference` test the kernels that differ between processors
    #[arg(long, conflicts_with = "no_tests")]
    no_edge_tests: bool,
}

/// Rust's name of the boat's target.
pub(crate) const TARGET: &str = "aarch64-unknown-linux-gnu";
/// Cargo's profile for programs of boats; see the workspace's Cargo.toml.
const PROFILE: &str = "boat";
/// `EM_AARCH64` in ELF files.
const MACHINE: u16 = 183;
/// Maximum size of the program in bytes.
const MOST: u64 = 30_000_000;
/// Cargo's variable for the compiler's options for the boat, and the one that strips symbols.
const FLAGS: (&str, &str) = (
    "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS",
    "-C strip=symbols",
);
/// Environment variables of other linkers, which zig replaces.
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
    shim::jetson_step(&mut steps, checkout)?;
    let mut counts = TestCounts::default();
    if !args.no_tests {
        emulated::test(&mut steps, checkout, !args.no_edge_tests, &mut counts)?;
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

/// The steps that build the boat's program; returns its path.
pub(crate) fn build(steps: &mut Steps, checkout: &Checkout) -> anyhow::Result<PathBuf> {
    steps.required("install Rust's standard library for aarch64", || {
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

/// A path in Cargo's target folder for the boat.
pub(crate) fn built(checkout: &Checkout, inside: &str) -> PathBuf {
    checkout.target().join(TARGET).join(PROFILE).join(inside)
}

/// A Cargo command that builds for the boat and links with zig.
pub(crate) fn zigbuild(checkout: &Checkout, command: &str) -> Command {
    let programs = checkout.path(ZIG.folder).join("bin");
    let mut cargo = checkout.program(programs.join("cargo-zigbuild"));
    let target = format!("{TARGET}.{}.{}", GLIBC.0, GLIBC.1);
    cargo.args([command, "--profile", PROFILE, "--target", &target]);
    cargo.env(FLAGS.0, FLAGS.1);
    // Path of the Python that has zig.
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

/// Installs Rust's standard library for the boat's target.
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
        println!("    installing it with rustup");
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

/// Returns the required version of glibc.
fn check(requirements: &Requirements, bytes: u64) -> anyhow::Result<(u32, u32)> {
    ensure!(
        requirements.machine == MACHINE,
        "it is for processor {}, not {MACHINE}",
        requirements.machine
    );
    let glibc = requirements
        .glibc()?
        .context("it does not link to glibc; expected a dynamically linked program")?;
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
        bail!("it links to {library}, which may be missing on a boat");
    }
    ensure!(
        bytes <= MOST,
        "it has {:.1} MB, at most {:.0} MB are allowed",
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
    fn a_program_that_a_boat_cannot_run_is_an_error() {
        assert_eq!(check(&good(), MOST).unwrap(), (2, 30));
        let error = |change: fn(&mut Requirements), bytes| {
            let mut requirements = good();
            change(&mut requirements);
            check(&requirements, bytes).unwrap_err().to_string()
        };
        let newer = |d: &mut Requirements| {
            d.versions.insert("GLIBC_2.34".into());
        };
        assert_eq!(error(newer, 1), "it needs glibc 2.34, JetPack 5 has 2.31");
        let linked = |d: &mut Requirements| {
            d.libraries.insert("libssl.so.3".into());
        };
        assert!(error(linked, 1).contains("links to libssl.so.3"));
        assert!(error(|d| d.machine = 62, 1).contains("processor 62"));
        assert!(error(|d| d.versions.clear(), 1).contains("not link to glibc"));
        let large = error(|_| {}, 31_000_000);
        assert_eq!(large, "it has 31.0 MB, at most 30 MB are allowed");
    }

    #[test]
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    fn a_program_for_this_machine_is_an_error() {
        let own = std::env::current_exe().unwrap();
        let said = format!("{:#}", look(&own).unwrap_err());
        assert!(said.ends_with("it is for processor 62, not 183"), "{said}");
    }

    #[test]
    fn a_standard_library_is_found_by_its_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!has_std(&folder.path().join("none")));
        assert!(!has_std(folder.path()));
        fs::write(folder.path().join("libstd-0a1b.rlib"), "").unwrap();
        assert!(has_std(folder.path()));
    }
}
