//! The output folder of a demo or of another command that shows something.

use anyhow::{Context, bail};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

/// Name of the lock file of a running demo.
const LOCK: &str = "lock";

/// An empty folder, locked against other runs.
pub(crate) struct DemoFolder {
    path: PathBuf,
    _lock: File,
}

impl DemoFolder {
    /// Creates the folder, or removes the files of an earlier demo.
    ///
    /// # Errors
    /// If another run uses it, or it cannot be emptied.
    pub(crate) fn claim(path: &Path) -> anyhow::Result<Self> {
        let failed = || format!("{} cannot be emptied", path.display());
        fs::create_dir_all(path).with_context(failed)?;
        let lock = File::create(path.join(LOCK)).with_context(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another run uses {}; end it first", path.display())
            }
            Err(TryLockError::Error(e)) => return Err(e).with_context(failed),
        }
        for entry in fs::read_dir(path).with_context(failed)? {
            let entry = entry.with_context(failed)?;
            if entry.file_name() == LOCK {
                continue;
            }
            if entry.file_type().with_context(failed)?.is_dir() {
                fs::remove_dir_all(entry.path()).with_context(failed)?;
            } else {
                fs::remove_file(entry.path()).with_context(failed)?;
            }
        }
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// The path of `inside`.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.path.join(inside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_an_earlier_demo_are_removed_and_a_running_one_is_not_disturbed() {
        let around = tempfile::tempdir().unwrap();
        let path = around.path().join("demo");
        let first = DemoFolder::claim(&path).unwrap();
        fs::create_dir_all(first.path("flukes/catalogue")).unwrap();
        fs::write(first.path("shore.log"), "words").unwrap();

        let said = DemoFolder::claim(&path).err().unwrap().to_string();
        assert!(said.starts_with("another run uses "), "{said}");
        assert!(first.path("shore.log").is_file());

        drop(first);
        let second = DemoFolder::claim(&path).unwrap();
        let left: Vec<_> = fs::read_dir(&path)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(left, [LOCK]);
        drop(second);
    }
}
