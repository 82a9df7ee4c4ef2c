//! The checksums in Cargo.lock.

use anyhow::Context;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The SHA-256 of the archive of each crate from a registry, by name and version.
pub(super) struct Checksums(BTreeMap<(String, String), String>);

impl Checksums {
    pub(super) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(file)
            .with_context(|| format!("{} cannot be read", file.display()))?;
        Ok(Self::parse(&text))
    }

    /// Cargo writes each key of a package in a line of its own.
    fn parse(text: &str) -> Self {
        let mut checksums = BTreeMap::new();
        for package in text.split("[[package]]").skip(1) {
            let value = |key: &str| {
                let line = package.lines().find_map(|l| l.strip_prefix(key))?;
                Some(line.strip_prefix(" = \"")?.strip_suffix('"')?.to_owned())
            };
            if let (Some(name), Some(version), Some(checksum)) =
                (value("name"), value("version"), value("checksum"))
            {
                checksums.insert((name, version), checksum);
            }
        }
        Self(checksums)
    }

    pub(super) fn of(&self, name: &str, version: &str) -> Option<&str> {
        let key = (name.to_owned(), version.to_owned());
        self.0.get(&key).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_found_by_name_and_version() {
        let checksums = Checksums::parse(
            "version = 4\n\n[[package]]\nname = \"own\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"serde\"\n\
             version = \"1.0.0\"\nsource = \"registry\"\nchecksum = \"abc\"\ndependencies = [\n \"serde_core\",\n]\n",
        );
        assert_eq!(checksums.of("serde", "1.0.0"), Some("abc"));
        assert_eq!(checksums.of("serde", "1.0.1"), None);
        assert_eq!(checksums.of("own", "0.1.0"), None);
    }
}
