//! The fuzz targets that there are.

use crate::checkout::Checkout;
use anyhow::{Context, bail};
use std::fs;

/// A file in `fuzz/fuzz_targets`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Its name, which is the program's too.
    pub(super) name: String,
}

impl Target {
    /// The longest input that is tried, in bytes: what holds the target's well-formed inputs and a good deal more. Short ones are tried
    /// more often in the same time.
    pub(super) fn longest(&self) -> u32 {
        match self.name.as_str() {
            "bundle" => 16 << 10,
            "config" | "message" | "video" => 8 << 10,
            _ => 4 << 10,
        }
    }
}

/// The targets of these names, or all, by name.
///
/// # Errors
/// When there is no target of a name.
pub(super) fn chosen(checkout: &Checkout, names: &[String]) -> anyhow::Result<Vec<Target>> {
    let folder = checkout.path("fuzz/fuzz_targets");
    let unread = || format!("{} cannot be read", folder.display());
    let mut there = vec![];
    for entry in fs::read_dir(&folder).with_context(unread)? {
        let file = entry.with_context(unread)?.file_name();
        if let Some(name) = file.to_string_lossy().strip_suffix(".rs") {
            there.push(name.to_owned());
        }
    }
    there.sort();
    if let Some(unknown) = names.iter().find(|name| !there.contains(name)) {
        bail!(
            "there is no fuzz target '{unknown}'; there are {}",
            there.join(", ")
        );
    }
    there.retain(|name| names.is_empty() || names.contains(name));
    Ok(there.into_iter().map(|name| Target { name }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_found_and_strangers_refused() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("fuzz/fuzz_targets");
        fs::create_dir_all(&folder).unwrap();
        for file in ["nmea.rs", "film.rs", "notes.md"] {
            fs::write(folder.join(file), "").unwrap();
        }
        let checkout = Checkout::at(root.path());
        let names = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|&w| w.to_owned()).collect();
            let targets = chosen(&checkout, &wanted)?;
            anyhow::Ok(targets.into_iter().map(|t| t.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap(), ["film", "nmea"]);
        assert_eq!(names(&["nmea"]).unwrap(), ["nmea"]);
        let said = names(&["nmea", "whale"]).unwrap_err().to_string();
        assert_eq!(
            said,
            "there is no fuzz target 'whale'; there are film, nmea"
        );
    }
}
