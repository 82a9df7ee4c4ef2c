//! ONNX Runtime in a Python environment of its own: tests compare what an exported model computes in it.

use super::python;
use crate::workshop::Workshop;
use anyhow::Context;
use std::fs;
use std::path::Path;

const FOLDER: &str = ".tools/onnxruntime";
const PACKAGES: [&str; 2] = ["onnxruntime==1.32.0", "numpy==2.4.6"];
/// Written into the environment once it is complete.
const MARK: &str = "flukewatch-packages.txt";

/// Whether the checkout has it, complete and of these versions.
pub(crate) fn is_there(workshop: &Workshop) -> bool {
    complete(&workshop.path(FOLDER))
}

fn complete(folder: &Path) -> bool {
    fs::read_to_string(folder.join(MARK)).is_ok_and(|mark| mark == mark_of(&PACKAGES))
        && folder.join("bin/python").is_file()
}

fn mark_of(packages: &[&str]) -> String {
    packages.join("\n") + "\n"
}

/// Makes the environment where it is missing, incomplete, or of other versions.
///
/// # Errors
/// When Python or pip fails.
pub(super) fn install(workshop: &Workshop) -> anyhow::Result<()> {
    if is_there(workshop) {
        println!("    {} in {FOLDER}", PACKAGES.join(", "));
        return Ok(());
    }
    println!("    pip installs {} into {FOLDER}", PACKAGES.join(" and "));
    python::demand(workshop, python::VENV)?;
    let folder = workshop.path(FOLDER);
    workshop.run(
        python::python(workshop)
            .args(["-m", "venv", "--clear"])
            .arg(&folder),
    )?;
    workshop.run(
        workshop
            .program(folder.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet"])
            .arg("--disable-pip-version-check")
            .args(PACKAGES),
    )?;
    let mark = folder.join(MARK);
    fs::write(&mark, mark_of(&PACKAGES))
        .with_context(|| format!("{} cannot be written", mark.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_an_environment_or_another_version_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        assert!(!complete(folder.path()));
        fs::create_dir(folder.path().join("bin")).unwrap();
        write("bin/python", "");
        assert!(!complete(folder.path()), "pip may have failed");
        write(MARK, &mark_of(&["onnxruntime==1.0.0", "numpy==1.0.0"]));
        assert!(!complete(folder.path()));
        write(MARK, &mark_of(&PACKAGES));
        assert!(complete(folder.path()));
    }
}
