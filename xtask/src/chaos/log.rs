//! What the boats' logs say, apart from what their outboxes say.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The event after an encounter is on disk, followed by its fields.
const RECORDED: &str = "encounter recorded sequence=";
/// The event after an encounter that no model identifies.
const UNIDENTIFIED: &str = "encounter stays unidentified";
/// What a program of Rust writes when it has a fault.
const PANIC: &str = "panicked at";
/// Lines of faults that are kept.
const KEPT: usize = 10;

/// Follows a log that programs append to.
pub(super) struct Log {
    path: PathBuf,
    read: u64,
    recorded: BTreeSet<u64>,
    unidentified: usize,
    panics: Vec<String>,
}

impl Log {
    /// The log in this file, which may not exist yet.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            read: 0,
            recorded: BTreeSet::new(),
            unidentified: 0,
            panics: vec![],
        }
    }

    /// Its file, to append to.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub(super) fn append(&self) -> std::io::Result<File> {
        File::options().create(true).append(true).open(&self.path)
    }

    /// Reads the lines that were written since the last call. One that has no end yet is read the
    /// next time.
    pub(super) fn follow(&mut self) {
        let Ok(mut file) = File::open(&self.path) else {
            return;
        };
        if file.seek(SeekFrom::Start(self.read)).is_err() {
            return;
        }
        let mut reader = BufReader::new(file);
        let mut line = vec![];
        while reader.read_until(b'\n', &mut line).is_ok() && line.ends_with(b"\n") {
            self.read += line.len() as u64;
            self.take(&String::from_utf8_lossy(&line));
            line.clear();
        }
    }

    fn take(&mut self, line: &str) {
        if let Some((_, fields)) = line.split_once(RECORDED) {
            let number = fields.split_whitespace().next();
            self.recorded
                .extend(number.and_then(|n| n.parse::<u64>().ok()));
        }
        self.unidentified += usize::from(line.contains(UNIDENTIFIED));
        if line.contains(PANIC) && self.panics.len() < KEPT {
            self.panics.push(line.trim_end().to_owned());
        }
    }

    /// How many sightings it says were recorded.
    pub(super) fn recorded(&self) -> u64 {
        self.recorded.len() as u64
    }

    /// The highest sequence number among them; 0 without any.
    pub(super) fn highest(&self) -> u64 {
        self.recorded.last().copied().unwrap_or(0)
    }

    /// How many sightings it says no model has identified.
    pub(super) fn unidentified(&self) -> usize {
        self.unidentified
    }

    /// The lines of panics, at most 10.
    pub(super) fn panics(&self) -> &[String] {
        &self.panics
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn recorded_sightings_and_panics_are_found_across_reads() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::new(&folder.path().join("boat.log"));
        log.follow();
        assert_eq!((log.recorded(), log.highest()), (0, 0));
        let mut file = log.append().unwrap();
        write!(
            file,
            "INFO encounter recorded sequence=1 id=a\nINFO encounter identified sequence=7\nINFO encounter rec"
        )
        .unwrap();
        log.follow();
        assert_eq!((log.recorded(), log.highest()), (1, 1));
        write!(
            file,
            "orded sequence=12 id=b\nERROR encounter stays unidentified id=a\nthread 'main' panicked at src/main.rs:1:1:\n"
        )
        .unwrap();
        log.follow();
        log.follow();
        assert_eq!((log.recorded(), log.highest()), (2, 12));
        assert_eq!(log.unidentified(), 1);
        assert_eq!(log.panics(), ["thread 'main' panicked at src/main.rs:1:1:"]);
    }
}
