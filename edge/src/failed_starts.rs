//! Counts the starts of a configuration that has not worked yet. One that brings the program down before it
//! has worked would do so at every start.

use flukewatch_common::atomic_file::write_atomically;
use flukewatch_common::footage::ConfigId;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The count for one configuration file.
#[derive(Clone, Debug)]
pub struct FailedStarts {
    file: PathBuf,
}

impl FailedStarts {
    /// The count for the configuration `file` in `folder`, which outlives a restart.
    pub fn new(file: &Path, folder: &Path) -> Self {
        let name = file.file_name().unwrap_or(file.as_os_str());
        let mut name = name.to_owned();
        name.push(".starts");
        Self {
            file: folder.join("last-working").join(name),
        }
    }

    /// Counts a start of `config`. Returns how often it was started before and never worked.
    ///
    /// # Errors
    /// When the count cannot be written.
    pub fn begin(&self, config: ConfigId) -> io::Result<u32> {
        let earlier = match self.read()? {
            Some((counted, starts)) if counted == config => starts,
            _ => 0,
        };
        if let Some(folder) = self.file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let starts = earlier.saturating_add(1);
        write_atomically(&self.file, format!("{config} {starts}\n").as_bytes())?;
        Ok(earlier)
    }

    /// `config` has worked, or has ended in order.
    ///
    /// # Errors
    /// When the count cannot be deleted.
    pub fn worked(&self, config: ConfigId) -> io::Result<()> {
        match self.read()? {
            Some((counted, _)) if counted == config => std::fs::remove_file(&self.file),
            _ => Ok(()),
        }
    }

    /// The configuration that is counted, and its starts; `None` where there is none, or where it is
    /// damaged.
    fn read(&self) -> io::Result<Option<(ConfigId, u32)>> {
        let text = match std::fs::read(&self.file) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(e) => return Err(e),
        };
        let parts = text.trim_end().split_once(' ');
        Ok(parts.and_then(|(config, starts)| Some((config.parse().ok()?, starts.parse().ok()?))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ConfigId = ConfigId([1; 8]);
    const OTHER: ConfigId = ConfigId([2; 8]);

    #[test]
    fn starts_are_counted_until_the_configuration_works_or_changes() {
        let folder = tempfile::tempdir().unwrap();
        let starts = FailedStarts::new(Path::new("/etc/edge.toml"), folder.path());
        starts.worked(ONE).unwrap();
        let begun: Vec<u32> = (0..3).map(|_| starts.begin(ONE).unwrap()).collect();
        assert_eq!(begun, [0, 1, 2]);
        starts.worked(OTHER).unwrap();
        assert_eq!(starts.begin(ONE).unwrap(), 3);
        starts.worked(ONE).unwrap();
        assert_eq!(starts.begin(ONE).unwrap(), 0);
        assert_eq!(starts.begin(OTHER).unwrap(), 0);
        assert_eq!(starts.begin(ONE).unwrap(), 0);
    }

    #[test]
    fn a_damaged_count_begins_again() {
        let folder = tempfile::tempdir().unwrap();
        let starts = FailedStarts::new(Path::new("edge.toml"), folder.path());
        starts.begin(ONE).unwrap();
        for damaged in [&b""[..], b"\xff\xfe", b"0101010101010101 -1\n", b"x 2"] {
            std::fs::write(folder.path().join("last-working/edge.toml.starts"), damaged).unwrap();
            assert_eq!(starts.begin(ONE).unwrap(), 0);
        }
    }
}
