//! The available fuzz targets.

use crate::checkout::Checkout;
use anyhow::{Context, bail};
use std::fs;

/// A file in `fuzz/fuzz_targets`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Name of the file and of the program.
    pub(super) name: String,
}

impl Target {
    /// Maximum length of an input in bytes: well above that of the target's well-formed inputs, and
    /// small, since short inputs run faster.
    pub(super) fn longest(&self) -> u32 {
        match self.name.as_str() {
            "bundle" => 16 << 10,
            "config" | "message" | "video" => 8 << 10,
            _ => 4 << 10,
        }
    }
}

/// The targets of these names, or all, sorted by name.
///
/// # Errors
/// If a name is unknown.
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
            "unknown fuzz target '{unknown}'; expected one of {}",
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
    fn targets_are_found_and_unknown_names_are_errors() {
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
            "unknown fuzz target 'whale'; expected one of film, nmea"
        );
    }
}
