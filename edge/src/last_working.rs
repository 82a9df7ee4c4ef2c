//! A copy of the configuration that last worked, for a boat whose new one does not.

use flukewatch_common::atomic_file::write_private_atomically;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The copy of one configuration file.
#[derive(Clone, Debug)]
pub struct LastWorking {
    copy: PathBuf,
    /// The copy's first line. It names the file, so that no boat starts with the copy of another
    /// one that uses the same folder.
    head: String,
}

impl LastWorking {
    /// The copy of `file` in `folder`, which outlives a restart.
    pub fn new(file: &Path, folder: &Path) -> Self {
        let name = file.file_name().unwrap_or(file.as_os_str());
        let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        Self {
            copy: folder.join(Path::new("last-working").join(name)),
            head: format!("# flukewatch-edge: last working configuration of {absolute:?}\n"),
        }
    }

    /// Path of the copy.
    pub fn path(&self) -> &Path {
        &self.copy
    }

    /// Keeps `text`. The copy is written only where it differs, and only the boat's user can read
    /// it: it may hold a password.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, text: &str) -> io::Result<()> {
        if matches!(self.read(), Ok(Some(kept)) if kept == text) {
            return Ok(());
        }
        if let Some(folder) = self.copy.parent() {
            std::fs::create_dir_all(folder)?;
        }
        write_private_atomically(&self.copy, format!("{}{text}", self.head).as_bytes())
    }

    /// The text that was kept; `None` where there is none, or that of another file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self) -> io::Result<Option<String>> {
        match std::fs::read_to_string(&self.copy) {
            Ok(copy) => Ok(copy.strip_prefix(&self.head).map(str::to_owned)),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("etc/edge.toml");
        let kept = LastWorking::new(&file, &folder.path().join("state"));
        assert_eq!(kept.read().unwrap(), None);
        for text in ["[boat]\n", "[boat]\r\nname = \"ü\"", ""] {
            kept.keep(text).unwrap();
            assert_eq!(kept.read().unwrap().as_deref(), Some(text));
        }
    }

    #[test]
    fn an_unchanged_text_is_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let kept = LastWorking::new(Path::new("edge.toml"), folder.path());
        kept.keep("[boat]\n").unwrap();
        let written = || std::fs::metadata(kept.path()).unwrap().modified().unwrap();
        let before = written();
        kept.keep("[boat]\n").unwrap();
        assert_eq!(written(), before);
    }

    #[test]
    fn the_copy_of_another_file_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        LastWorking::new(Path::new("/a/edge.toml"), folder.path())
            .keep("[boat]\n")
            .unwrap();
        let other = LastWorking::new(Path::new("/b/edge.toml"), folder.path());
        assert_eq!(other.read().unwrap(), None);
    }

    #[test]
    fn a_damaged_copy_is_an_error_until_it_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let kept = LastWorking::new(Path::new("edge.toml"), folder.path());
        kept.keep("").unwrap();
        std::fs::write(kept.path(), b"\xff\xfe").unwrap();
        assert!(kept.read().is_err());
        kept.keep("[boat]\n").unwrap();
        assert_eq!(kept.read().unwrap().as_deref(), Some("[boat]\n"));
    }
}
