//! mosquitto: tests meet a broker that is not ours.

use super::debian;
use crate::workshop::Workshop;
use std::path::{Path, PathBuf};

/// Where it is. Debian puts it where only root's `PATH` leads.
pub(crate) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    search(folders)
}

fn search(mut folders: impl Iterator<Item = impl AsRef<Path>>) -> Option<PathBuf> {
    folders.find_map(|folder| {
        Some(folder.as_ref().join("mosquitto")).filter(|program| program.is_file())
    })
}

/// Installs it where it is missing. Debian starts a broker of its own after that, as for any user of the package.
///
/// # Errors
/// When it is missing and cannot be installed; says what to run.
pub(super) fn install(workshop: &Workshop) -> anyhow::Result<()> {
    match find() {
        Some(program) => {
            println!("    it is {}", program.display());
            Ok(())
        }
        None => debian::install(workshop, "mosquitto"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_file_of_that_name_is_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["a/mosquitto", "b", "c"] {
            std::fs::create_dir_all(at(name)).unwrap();
        }
        std::fs::write(at("c/mosquitto"), "").unwrap();
        let folders = [at("nowhere"), at("a"), at("b"), at("c")];
        assert_eq!(search(folders.iter()), Some(at("c/mosquitto")));
        assert_eq!(search(folders[..3].iter()), None);
    }
}
