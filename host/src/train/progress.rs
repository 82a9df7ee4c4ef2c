//! What a person sees while it trains, and what a program reads afterwards.

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// One line of `metrics.jsonl`, written at the end of an epoch.
#[derive(Debug, Serialize)]
pub struct EpochMetrics {
    /// From 1.
    pub epoch: usize,
    /// Optimiser steps so far.
    pub steps: u64,
    /// Mean over the epoch.
    pub loss: f64,
    /// Factor on the peak rates at its end.
    pub rate_factor: f64,
    /// Training photos a second.
    pub images_per_second: f64,
    /// Wall-clock time.
    pub seconds: f64,
    /// Pixels down.
    pub height: u32,
    /// Pixels across.
    pub width: u32,
    /// On the whales kept from training, if any.
    pub validation_recall_at_1: Option<f64>,
    /// Likewise.
    pub validation_map_at_5: Option<f64>,
}

/// Metrics as JSON lines, appended.
pub struct MetricsFile(File);

impl MetricsFile {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(
            OpenOptions::new().create(true).append(true).open(path)?,
        ))
    }

    /// Appends a line.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&mut self, metrics: &EpochMetrics) -> io::Result<()> {
        let mut line = serde_json::to_vec(metrics)?;
        line.push(b'\n');
        self.0.write_all(&line)?;
        self.0.flush()
    }
}

/// A bar over `length` steps with the time that is left.
pub fn bar(length: u64, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{prefix:>10} {bar:30} {pos}/{len} {msg} {elapsed} gone, {eta} left",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style).with_prefix(what)
}
