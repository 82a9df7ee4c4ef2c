//! Metrics as JSON lines, for programs.

use super::error::TrainError;
use serde::Serialize;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file of JSON lines, appended to.
pub(crate) struct MetricsSink {
    path: PathBuf,
    file: File,
}

impl MetricsSink {
    /// Opens a file after removing the lines that a resumed run will write again: those whose `counter` is
    /// greater than `last`, and a torn one.
    pub(crate) fn resume(path: &Path, counter: &str, last: u64) -> Result<Self, TrainError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(TrainError::file(path)(e)),
        };
        let keep = |line: &&str| {
            let line: Option<serde_json::Value> = serde_json::from_str(line).ok();
            let count = line.as_ref().and_then(|line| line[counter].as_u64());
            count.is_some_and(|count| count <= last)
        };
        let kept: String = text
            .lines()
            .filter(keep)
            .flat_map(|line| [line, "\n"])
            .collect();
        if kept != text {
            let temporary = path.with_extension("tmp");
            fs::write(&temporary, kept)
                .and_then(|()| fs::rename(&temporary, path))
                .map_err(TrainError::file(path))?;
        }
        Self::open(path)
    }

    pub(crate) fn open(path: &Path) -> Result<Self, TrainError> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self {
            path: path.to_owned(),
            file: file.map_err(TrainError::file(path))?,
        })
    }

    pub(crate) fn write<T: Serialize>(&mut self, line: &T) -> Result<(), TrainError> {
        let mut line = serde_json::to_vec(line).expect("metrics have string keys only");
        line.push(b'\n');
        self.file
            .write_all(&line)
            .and_then(|()| self.file.flush())
            .map_err(TrainError::file(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_resumed_run_replaces_the_lines_that_it_repeats() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("steps.jsonl");
        let mut sink = MetricsSink::resume(&path, "step", 0).unwrap();
        for step in 1..=4 {
            sink.write(&json!({"step": step, "session": 1})).unwrap();
        }
        fs::write(
            &path,
            fs::read_to_string(&path).unwrap() + "{\"step\": 5, \"sess",
        )
        .unwrap();
        let mut sink = MetricsSink::resume(&path, "step", 2).unwrap();
        sink.write(&json!({"step": 3, "session": 2})).unwrap();
        let lines: Vec<(u64, u64)> = fs::read_to_string(&path)
            .unwrap()
            .lines()
            .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap())
            .map(|l| (l["step"].as_u64().unwrap(), l["session"].as_u64().unwrap()))
            .collect();
        assert_eq!(lines, [(1, 1), (2, 1), (3, 2)]);
    }
}
