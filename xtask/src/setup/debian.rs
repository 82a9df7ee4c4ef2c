//! Installing Debian's packages.

use crate::checkout::Checkout;
use anyhow::{bail, ensure};
use std::path::PathBuf;

/// A program and its package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tool {
    /// Name of the program.
    pub(crate) program: &'static str,
    /// Debian's name of the package.
    pub(crate) package: &'static str,
}

/// The path of a program. Some are only in root's `PATH`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from));
    search(folders, program)
}

fn search(
    mut folders: impl Iterator<Item = impl AsRef<std::path::Path>>,
    program: &str,
) -> Option<PathBuf> {
    folders.find_map(|folder| Some(folder.as_ref().join(program)).filter(|p| p.is_file()))
}

/// Installs the missing ones of these programs.
///
/// # Errors
/// If some are missing and cannot be installed; says what to run.
pub(crate) fn require(checkout: &Checkout, tools: &[Tool]) -> anyhow::Result<()> {
    let missing = |tool: &&Tool| find(tool.program).is_none();
    let packages: Vec<&str> = tools.iter().filter(missing).map(|t| t.package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    install(checkout, &packages)?;
    let still: Vec<&str> = tools.iter().filter(missing).map(|t| t.program).collect();
    ensure!(still.is_empty(), "still missing: {}", still.join(", "));
    Ok(())
}

/// Installs packages if xtask may: as root on a Debian system.
///
/// # Errors
/// If it may not: the message is the command to run. Also if apt-get fails.
pub(super) fn install(checkout: &Checkout, packages: &[&str]) -> anyhow::Result<()> {
    let names = packages.join(" ");
    if checkout
        .ask(checkout.program("apt-get").arg("--version"))
        .is_none()
    {
        bail!(
            "missing: {names} (Debian's package names); install with your system's package manager"
        );
    }
    let root = checkout.ask(checkout.program("id").arg("-u"));
    if root.as_deref().map(str::trim) != Some("0") {
        bail!("missing: {names}; run: sudo apt-get install {names}");
    }
    println!("    installing {names} with apt-get");
    let apt = || {
        let mut command = checkout.program("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq");
        command
    };
    checkout.run(apt().arg("update"))?;
    checkout.run(
        apt()
            .args(["install", "-y", "--no-install-recommends"])
            .args(packages),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_file_of_that_name_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["a/mosquitto", "b", "c"] {
            std::fs::create_dir_all(at(name)).unwrap();
        }
        std::fs::write(at("c/mosquitto"), "").unwrap();
        let folders = [at("nowhere"), at("a"), at("b"), at("c")];
        assert_eq!(search(folders.iter(), "mosquitto"), Some(at("c/mosquitto")));
        assert_eq!(search(folders[..3].iter(), "mosquitto"), None);
    }
}
