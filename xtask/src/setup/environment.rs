//! A separate Python environment with pinned package versions, for software that Flukewatch is
//! compared with.

use super::python;
use crate::checkout::Checkout;
use anyhow::Context;
use std::fs;
use std::path::{Path, PathBuf};

/// Marker file of a complete environment.
const MARK: &str = "flukewatch-packages.txt";

/// An environment in the checkout.
pub(crate) struct Environment {
    /// Folder relative to the checkout's root.
    pub(crate) folder: &'static str,
    /// Packages with versions, as arguments of pip.
    pub(crate) packages: &'static [&'static str],
}

impl Environment {
    /// Whether it exists, complete and with these versions.
    pub(crate) fn is_installed(&self, checkout: &Checkout) -> bool {
        self.complete(&checkout.path(self.folder))
    }

    fn complete(&self, folder: &Path) -> bool {
        fs::read_to_string(folder.join(MARK)).is_ok_and(|mark| mark == self.mark())
            && folder.join("bin/python").is_file()
    }

    fn mark(&self) -> String {
        self.packages.join("\n") + "\n"
    }

    /// Path of its Python.
    pub(crate) fn python(&self, checkout: &Checkout) -> PathBuf {
        checkout.path(self.folder).join("bin/python")
    }

    /// Creates it if it is missing, incomplete, or has other versions.
    ///
    /// # Errors
    /// If Python or pip fails.
    pub(crate) fn install(&self, checkout: &Checkout) -> anyhow::Result<()> {
        let packages = self.packages.join(", ");
        if self.is_installed(checkout) {
            println!("    {packages} in {}", self.folder);
            return Ok(());
        }
        println!("    installing {packages} into {} with pip", self.folder);
        python::require(checkout, python::VENV)?;
        let folder = checkout.path(self.folder);
        checkout.run(
            python::python(checkout)
                .args(["-m", "venv", "--clear"])
                .arg(&folder),
        )?;
        checkout.run(
            checkout
                .program(self.python(checkout))
                .args(["-m", "pip", "install", "--quiet"])
                .arg("--disable-pip-version-check")
                .args(self.packages),
        )?;
        let mark = folder.join(MARK);
        fs::write(&mark, self.mark())
            .with_context(|| format!("{} cannot be written", mark.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_environment_or_another_version_is_not_complete() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let environment = Environment {
            folder: "anywhere",
            packages: &["one==1.0.0", "two==2.1.0"],
        };
        let complete = || environment.complete(folder.path());
        assert!(!complete());
        fs::create_dir(folder.path().join("bin")).unwrap();
        write("bin/python", "");
        assert!(!complete(), "pip may have failed");
        write(MARK, "one==1.0.0\ntwo==2.0.0\n");
        assert!(!complete());
        write(MARK, "one==1.0.0\ntwo==2.1.0\n");
        assert!(complete());
    }
}
