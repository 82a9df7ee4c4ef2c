//! The dependencies that packages must not have.

use crate::checkout::Checkout;
use crate::test::WITH_TRAINER;
use anyhow::{Context, bail};
use std::collections::BTreeSet;

/// Packages that must build without libtorch while the feature `train` is off: all except the
/// trainer's own.
const WITHOUT_LIBTORCH: [&str; 12] = [
    "flukewatch-common",
    "flukewatch-dataset",
    "flukewatch-edge",
    "flukewatch-ensemble",
    "flukewatch-eval",
    "flukewatch-host",
    "flukewatch-inference",
    "flukewatch-network",
    "flukewatch-onnx",
    "flukewatch-progress",
    "flukewatch-shore",
    "flukewatch-synth",
];
/// Packages that must build without an inference engine.
const WITHOUT_INFERENCE: [&str; 5] = [
    "flukewatch-common",
    "flukewatch-dataset",
    "flukewatch-progress",
    "flukewatch-shore",
    "flukewatch-synth",
];
const LIBTORCH: [&str; 2] = ["tch", "torch-sys"];
const INFERENCE: [&str; 3] = ["flukewatch-inference", "tract-onnx", "tract-core"];

/// Checks the dependencies of each package with `cargo tree`. Compiles nothing.
///
/// # Errors
/// If a package has a forbidden dependency.
pub(super) fn check(checkout: &Checkout) -> anyhow::Result<()> {
    for package in WITHOUT_LIBTORCH {
        let tree = checkout
            .ask(checkout.cargo().args(["tree", "--package", package]).args([
                "--edges",
                "normal,build",
                "--prefix",
                "none",
            ]))
            .with_context(|| format!("cargo tree --package {package} failed"))?;
        if let Some(forbidden) = find(&tree, &LIBTORCH) {
            bail!("{package} without the feature 'train' depends on {forbidden}");
        }
        let inference = WITHOUT_INFERENCE.contains(&package);
        if let Some(forbidden) = find(&tree, &INFERENCE).filter(|_| inference) {
            bail!("{package} depends on {forbidden}, an inference engine");
        }
        let without = if inference {
            "libtorch, no inference engine"
        } else {
            "libtorch"
        };
        println!("    {package}: {} crates, no {without}", count(&tree));
    }
    Ok(())
}

/// Checks that tests need no other features of a crate than programs: such a crate, and all that depend on it, would be compiled twice.
///
/// # Errors
/// If there is one.
pub(super) fn check_features(checkout: &Checkout) -> anyhow::Result<()> {
    let tree = |edges: &str| {
        let mut cargo = checkout.cargo();
        cargo.args(["tree", "--workspace", "--features", WITH_TRAINER]);
        cargo.args(["--prefix", "none", "--format", "{p} {f}", "--edges", edges]);
        checkout.ask(&mut cargo).context("cargo tree failed")
    };
    let (programs, tests) = (tree("no-dev")?, tree("normal,build,dev")?);
    let different = differing(&programs, &tests);
    if let Some(line) = different.first() {
        bail!(
            "tests enable other features than programs: {line}; enable them in tests/Cargo.toml, or not in dev-dependencies"
        );
    }
    println!("    tests and programs have the same features of all crates");
    Ok(())
}

/// The crates of `programs` that `tests` has with other features.
fn differing<'a>(programs: &'a str, tests: &'a str) -> Vec<&'a str> {
    let programs = crates(programs);
    // Name and version.
    let name = |line: &str| line.splitn(3, ' ').take(2).collect::<Vec<_>>().join(" ");
    let shared: BTreeSet<String> = programs.iter().map(|line| name(line)).collect();
    let new = crates(tests).into_iter();
    new.filter(|line| shared.contains(&name(line)) && !programs.contains(line))
        .collect()
}

fn crates(tree: &str) -> BTreeSet<&str> {
    tree.lines().map(|l| l.trim_end_matches(" (*)")).collect()
}

/// Cargo lists a crate again for each dependent, with a mark.
fn count(tree: &str) -> usize {
    crates(tree).len()
}

fn find<'a>(tree: &'a str, forbidden: &[&str]) -> Option<&'a str> {
    tree.lines().find(|line| {
        let name = line.split_whitespace().next();
        name.is_some_and(|name| forbidden.contains(&name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_is_found_by_its_whole_name() {
        let tree = "flukewatch-edge v0.1.0 (edge)\nmatches v1.0.0\nlibc v0.2.191\n";
        assert_eq!(find(tree, &LIBTORCH), None);
        assert_eq!(count(&format!("{tree}libc v0.2.191 (*)\n")), 3);
        let tree = format!("{tree}torch-sys v0.26.0\n");
        assert_eq!(find(&tree, &LIBTORCH), Some("torch-sys v0.26.0"));
    }

    #[test]
    fn a_crate_with_more_features_in_tests_is_found() {
        let programs = "rustls v0.23.46 ring,std\nserde v1.0.0 std\nserde v1.0.0 std (*)\n";
        let same = format!("{programs}proptest v1.12.0 std\n");
        assert!(differing(programs, &same).is_empty());
        let tests = "rustls v0.23.46 ring,std,tls12\nserde v1.0.0 std\n";
        assert_eq!(
            differing(programs, tests),
            ["rustls v0.23.46 ring,std,tls12"]
        );
    }
}
