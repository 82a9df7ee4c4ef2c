//! The targets as programs, with libFuzzer's instrumentation.

use super::target::Target;
use crate::checkout::Checkout;
use anyhow::Context;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The wrapper of rustc, which decides what is instrumented.
const RUSTC: &str = "fuzz/rustc";
/// Cargo's target folder for the fuzz targets.
const TARGET: &str = "fuzz/target";

/// Builds the targets.
pub(super) fn build(checkout: &Checkout, targets: &[Target]) -> anyhow::Result<()> {
    lock(checkout)?;
    let mut cargo = checkout.cargo();
    cargo.args(["build", "--release", "--manifest-path", "fuzz/Cargo.toml"]);
    cargo.args(["--target-dir", TARGET]);
    for target in targets {
        cargo.args(["--bin", &target.name]);
    }
    cargo.env("RUSTC_WRAPPER", checkout.path(RUSTC));
    checkout.run(&mut cargo)
}

/// Path of a target's program.
pub(super) fn program(checkout: &Checkout, target: &Target) -> PathBuf {
    checkout.path(TARGET).join("release").join(&target.name)
}

/// The targets use the workspace's versions of third-party crates, so that the shipped code is
/// fuzzed.
fn lock(checkout: &Checkout) -> anyhow::Result<()> {
    let (ours, theirs) = (
        checkout.path("Cargo.lock"),
        checkout.path("fuzz/Cargo.lock"),
    );
    if written(&theirs).is_none_or(|theirs| written(&ours).is_some_and(|ours| ours > theirs)) {
        fs::copy(&ours, &theirs)
            .with_context(|| format!("{} cannot be written", theirs.display()))?;
    }
    Ok(())
}

fn written(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|m| m.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::target;
    use crate::interrupt::Interrupt;
    use std::fs::File;
    use std::time::Duration;

    #[test]
    fn every_target_is_instrumented() {
        let checkout = Checkout::new(Interrupt::default()).unwrap();
        let script = fs::read_to_string(checkout.path(RUSTC)).unwrap();
        let words: Vec<&str> = script.split([' ', '\n', ')']).collect();
        for target in target::chosen(&checkout, &[]).unwrap() {
            assert!(words.contains(&target.name.as_str()), "{}", target.name);
        }
    }

    #[test]
    fn the_versions_follow_the_workspace() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("fuzz")).unwrap();
        let (ours, theirs) = (
            root.path().join("Cargo.lock"),
            root.path().join("fuzz/Cargo.lock"),
        );
        let checkout = Checkout::at(root.path());
        let after = |text: &str| {
            fs::write(&ours, text).unwrap();
            lock(&checkout).unwrap();
            fs::read_to_string(&theirs).unwrap()
        };
        assert_eq!(after("first"), "first");
        // Cargo has added the dependencies that only targets have.
        fs::write(&theirs, "more").unwrap();
        lock(&checkout).unwrap();
        assert_eq!(fs::read_to_string(&theirs).unwrap(), "more");
        let past = SystemTime::now() - Duration::from_secs(60);
        File::options()
            .write(true)
            .open(&theirs)
            .unwrap()
            .set_modified(past)
            .unwrap();
        assert_eq!(after("second"), "second");
    }
}
