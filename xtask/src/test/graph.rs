//! Only the trainer may need libtorch.

use crate::workshop::Workshop;
use anyhow::{Context, bail};
use std::collections::BTreeSet;

/// The packages that must do without.
const PACKAGES: [&str; 3] = ["flukewatch-edge", "flukewatch-shore", "flukewatch-host"];
/// The crates that bind libtorch.
const BINDINGS: [&str; 2] = ["tch", "torch-sys"];

/// Asks Cargo what each package is made of, without the trainer. Nothing is compiled.
///
/// # Errors
/// When a binding of libtorch is among it.
pub(super) fn without_libtorch(workshop: &Workshop) -> anyhow::Result<()> {
    for package in PACKAGES {
        let tree = workshop
            .ask(workshop.cargo().args(["tree", "--package", package]).args([
                "--edges",
                "normal,build",
                "--prefix",
                "none",
            ]))
            .with_context(|| format!("cargo tree --package {package} failed"))?;
        if let Some(binding) = binding(&tree) {
            bail!("{package} without the feature 'train' depends on {binding}");
        }
        println!("    {package}: {} crates, no libtorch", count(&tree));
    }
    Ok(())
}

/// Cargo lists a crate again for each that uses it, with a mark.
fn count(tree: &str) -> usize {
    let crates: BTreeSet<&str> = tree.lines().map(|l| l.trim_end_matches(" (*)")).collect();
    crates.len()
}

fn binding(tree: &str) -> Option<&str> {
    tree.lines().find(|line| {
        let name = line.split_whitespace().next().unwrap_or_default();
        BINDINGS.contains(&name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_is_found_by_its_whole_name() {
        let tree = "flukewatch-edge v0.1.0 (edge)\nmatches v1.0.0\nlibc v0.2.191\n";
        assert_eq!(binding(tree), None);
        assert_eq!(count(&format!("{tree}libc v0.2.191 (*)\n")), 3);
        let tree = format!("{tree}torch-sys v0.26.0\n");
        assert_eq!(binding(&tree), Some("torch-sys v0.26.0"));
    }
}
