//! The folder that a demo, or another command that shows something, writes to.

use anyhow::{Context, bail};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

/// The name of the file that a running demo holds.
const LOCK: &str = "lock";

/// An empty folder that nobody else uses.
pub(crate) struct DemoFolder {
    path: PathBuf,
    _lock: File,
}

impl DemoFolder {
    /// Makes the folder, or empties what an earlier demo left.
    ///
    /// # Errors
    /// When another run uses it, or the disk refuses.
    pub(crate) fn claim(path: &Path) -> anyhow::Result<Self> {
        let refused = || format!("{} cannot be emptied", path.display());
        fs::create_dir_all(path).with_context(refused)?;
        let lock = File::create(path.join(LOCK)).with_context(refused)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another run uses {}; end it first", path.display())
            }
            Err(TryLockError::Error(e)) => return Err(e).with_context(refused),
        }
        for entry in fs::read_dir(path).with_context(refused)? {
            let entry = entry.with_context(refused)?;
            if entry.file_name() == LOCK {
                continue;
            }
            if entry.file_type().with_context(refused)?.is_dir() {
                fs::remove_dir_all(entry.path()).with_context(refused)?;
            } else {
                fs::remove_file(entry.path()).with_context(refused)?;
            }
        }
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Where `inside` lies.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.path.join(inside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_demo_left_is_removed_and_a_running_one_is_not_disturbed() {
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
