//! Metrics as JSON lines, for programs.

use super::error::TrainError;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A file of JSON lines, appended to.
pub(crate) struct MetricsSink {
    path: PathBuf,
    file: File,
}

impl MetricsSink {
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
