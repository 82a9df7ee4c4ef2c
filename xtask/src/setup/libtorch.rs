//! libtorch, from PyPI's torch package: the only dependency of the trainer that Cargo cannot fetch.

use super::python;
use crate::checkout::Checkout;
use anyhow::{Context, bail};
use std::fs;
use std::path::Path;

/// Folder, which `LIBTORCH` in `.cargo/config.toml` also names.
const FOLDER: &str = ".libtorch";
/// The version for the `tch` crate in use.
pub(crate) const VERSION: &str = "2.13.0";
/// CUDA packages of the CPU variant: libtorch links to these even where it runs on the CPU.
const LIGHT: [&str; 2] = ["nvidia-cuda-runtime==13.0.96", "nvidia-cuda-cupti==13.0.85"];
/// A package that only the CUDA variant has.
const CUDA_ONLY: &str = "nvidia_cusparse";

/// The variant of libtorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// For training on the CPU.
    Light,
    /// For training on an NVIDIA GPU too.
    Cuda,
}

/// The state of the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No libtorch.
    Nothing,
    /// Another version.
    Version(String),
    /// The expected version.
    Right(Form),
}

/// Checks the checkout's folder.
pub(crate) fn find(checkout: &Checkout) -> Found {
    look(&checkout.path(FOLDER))
}

fn look(folder: &Path) -> Found {
    let Ok(python) = fs::read_to_string(folder.join("torch/version.py")) else {
        return Found::Nothing;
    };
    let version = version(&python).unwrap_or_default();
    if version != VERSION {
        return Found::Version(version.to_owned());
    }
    if !folder.join("torch/lib/libtorch_cpu.so").is_file() {
        return Found::Nothing;
    }
    let cuda = fs::read_dir(folder).is_ok_and(|entries| {
        entries
            .flatten()
            .any(|e| e.file_name().to_string_lossy().starts_with(CUDA_ONLY))
    });
    Found::Right(if cuda { Form::Cuda } else { Form::Light })
}

/// Parses `2.13.0` from torch's `version.py`, which contains `__version__ = '2.13.0+cu130'`.
fn version(python: &str) -> Option<&str> {
    let line = python.lines().find(|l| l.starts_with("__version__"))?;
    let quoted = line.split(['\'', '"']).nth(1)?;
    quoted.split('+').next()
}

/// Installs it if it is missing, has another version, or is the CPU variant where CUDA is
/// requested.
///
/// # Errors
/// If pip is missing or fails; an existing installation is then kept.
pub(crate) fn install(checkout: &Checkout, form: Form) -> anyhow::Result<()> {
    match find(checkout) {
        Found::Right(found) if found == form || found == Form::Cuda => {
            println!("    {VERSION} is in {FOLDER}");
            return Ok(());
        }
        Found::Right(_) => println!("    {VERSION} is in {FOLDER}, but without CUDA"),
        Found::Version(version) => {
            println!("    replacing version {version} in {FOLDER} by {VERSION}");
        }
        Found::Nothing => {}
    }
    let size = match form {
        Form::Light => "1.2 GB",
        Form::Cuda => "4.7 GB",
    };
    println!("    installing torch {VERSION} into {FOLDER} with pip, {size}");
    python::require(checkout, python::PIP)?;
    let (folder, fresh, old) = (
        checkout.path(FOLDER),
        checkout.path(".libtorch.new"),
        checkout.path(".libtorch.old"),
    );
    remove(&fresh)?;
    let mut pip = python::pip(checkout);
    pip.args(["install", "--quiet", "--disable-pip-version-check"])
        .arg("--target")
        .arg(&fresh)
        .arg(format!("torch=={VERSION}"));
    if form == Form::Light {
        pip.arg("--no-deps").args(LIGHT);
    }
    checkout.run(&mut pip)?;
    let found = look(&fresh);
    if !matches!(found, Found::Right(_)) {
        bail!(
            "pip installed torch, but {FOLDER}.new does not contain libtorch {VERSION}: {found:?}"
        );
    }
    remove(&old)?;
    if folder.exists() {
        fs::rename(&folder, &old)
            .with_context(|| format!("{} cannot be moved", folder.display()))?;
    }
    fs::rename(&fresh, &folder).with_context(|| format!("{} cannot be moved", fresh.display()))?;
    remove(&old)
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("{} cannot be removed", folder.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PYTHON: &str =
        "from typing import Optional\n__version__ = '2.13.0+cu130'\ndebug = False\n";

    fn folder(python: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("torch/lib")).unwrap();
        fs::write(folder.path().join("torch/version.py"), python).unwrap();
        folder
    }

    #[test]
    fn the_version_is_parsed_from_version_py() {
        assert_eq!(version(PYTHON), Some("2.13.0"));
        assert_eq!(version("__version__ = \"2.9.1\"\n"), Some("2.9.1"));
        assert_eq!(version("debug = False\n"), None);
    }

    #[test]
    fn only_a_complete_libtorch_of_the_right_version_is_accepted() {
        let folder = folder(PYTHON);
        assert_eq!(
            look(folder.path()),
            Found::Nothing,
            "the library itself is missing"
        );
        fs::write(folder.path().join("torch/lib/libtorch_cpu.so"), "").unwrap();
        assert_eq!(look(folder.path()), Found::Right(Form::Light));
        fs::create_dir(folder.path().join("nvidia_cusparse-12.6.3.3.dist-info")).unwrap();
        assert_eq!(look(folder.path()), Found::Right(Form::Cuda));
    }

    #[test]
    fn another_version_is_named_and_an_empty_folder_is_nothing() {
        let other = folder("__version__ = '2.12.1'\n");
        assert_eq!(look(other.path()), Found::Version("2.12.1".into()));
        assert_eq!(look(&other.path().join("nowhere")), Found::Nothing);
    }
}
