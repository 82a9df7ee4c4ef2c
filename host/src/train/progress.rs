//! What a person sees while it trains, and what a program reads afterwards.

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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
    /// Wall-clock time of the steps.
    pub seconds: f64,
    /// Of clustering and matching, before the steps.
    pub clustering_seconds: f64,
    /// Of mining, within the steps.
    pub mining_seconds: f64,
    /// Pixels down.
    pub height: u32,
    /// Pixels across.
    pub width: u32,
    /// On the whales kept from training, if any.
    pub validation_recall_at_1: Option<f64>,
    /// Likewise.
    pub validation_map_at_5: Option<f64>,
}

/// A file of JSON lines, appended to.
pub struct JsonLines {
    path: PathBuf,
    file: File,
}

impl JsonLines {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: OpenOptions::new().create(true).append(true).open(path)?,
        })
    }

    /// Which file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a line.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write<T: Serialize>(&mut self, line: &T) -> io::Result<()> {
        let mut line = serde_json::to_vec(line)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.flush()
    }
}

/// Where no bar can be drawn (a log file), a line says as often how it goes.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// A run as a person sees it: a bar over all its steps, with loss, R@1, images a second and the time that is left.
pub struct Live {
    bar: ProgressBar,
    quiet: bool,
    began: Option<(Instant, u64)>,
    said: Instant,
    smooth: Option<f64>,
    recall: Option<f64>,
}

impl Live {
    /// Over `steps` in all.
    pub fn new(quiet: bool, steps: u64) -> Self {
        let bar = if quiet {
            ProgressBar::hidden()
        } else {
            bar(steps, "training")
        };
        Self {
            bar,
            quiet,
            began: None,
            said: Instant::now(),
            smooth: None,
            recall: None,
        }
    }

    /// After step `done` of the whole run, in `epoch` of `epochs`.
    pub fn step(&mut self, done: u64, epoch: usize, epochs: usize, loss: f64, batch: usize) {
        let (began, first) = *self.began.get_or_insert_with(|| {
            // Steps of an earlier part of the run took no time of this one, and those of another epoch another time.
            self.bar.set_position(done);
            self.bar.reset_eta();
            (Instant::now(), done)
        });
        let smooth = self.smooth.map_or(loss, |s| 0.9 * s + 0.1 * loss);
        self.smooth = Some(smooth);
        let rate = ((done - first) * batch as u64) as f64 / began.elapsed().as_secs_f64().max(1e-9);
        let recall = self
            .recall
            .map_or(String::new(), |r| format!(" R@1 {r:.3}"));
        let message = format!("epoch {epoch}/{epochs} loss {smooth:.3}{recall} {rate:.0} images/s");
        self.bar.set_position(done);
        if self.bar.is_hidden() && !self.quiet && self.said.elapsed() > LOG_EVERY {
            self.said = Instant::now();
            let left = self.bar.length().unwrap_or(done).saturating_sub(done);
            let seconds = (left * batch as u64) as f64 / rate.max(1e-9);
            let left = indicatif::HumanDuration(Duration::from_secs_f64(seconds.min(1e8)));
            eprintln!("{message}, about {left} left");
        }
        self.bar.set_message(message);
    }

    /// After an epoch. The next may have another size: its speed is measured anew.
    pub fn epoch(&mut self, line: &EpochMetrics, epochs: usize) {
        self.began = None;
        self.recall = line.validation_recall_at_1;
        let watched = self.recall.map_or(String::new(), |r| {
            format!(", R@1 {r:.3} on the whales kept aside")
        });
        self.say(&format!(
            "epoch {}/{epochs}: loss {:.3}, {:.0} images/s, {:.0} s{watched}",
            line.epoch, line.loss, line.images_per_second, line.seconds
        ));
    }

    /// A line above the bar.
    pub fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
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
