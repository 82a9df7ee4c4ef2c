//! Our trainer: `flukewatch train`.

use super::job::Job;
use super::run::{Epoch, Run};
use crate::bench::cores::Cores;
use crate::bench::measured;
use crate::checkout::Checkout;
use anyhow::{Context, bail};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};

/// A built `flukewatch` and the folder of its runs.
pub(super) struct Ours<'a> {
    pub(super) checkout: &'a Checkout,
    /// Path of `flukewatch`.
    pub(super) program: PathBuf,
    /// The cores to which it is pinned.
    pub(super) cores: &'a Cores,
    /// Folder of runs and logs.
    pub(super) folder: &'a Path,
}

/// The fields of a line of `metrics.jsonl` that are used here.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Metrics {
    images_per_second: f64,
    /// Time of the epoch's steps, including mining but not clustering.
    pub(super) seconds: f64,
    /// Time of clustering the training set and assigning the clusters to learners; `None` for
    /// trainers that do not report it.
    pub(super) clustering_seconds: Option<f64>,
    /// Time of choosing pairs and triplets.
    pub(super) mining_seconds: Option<f64>,
}

impl Ours<'_> {
    /// Trains once; the settings in `over` override those of the job.
    ///
    /// # Errors
    /// If training fails or its metrics cannot be read.
    pub(super) fn train(
        &self,
        name: &str,
        job: &Job,
        over: &[&str],
    ) -> anyhow::Result<(Run, Vec<Metrics>)> {
        let run = self.folder.join(name);
        let mut train = self.cores.program(self.checkout, &self.program);
        train.args(["train", "--cpu", "--quiet", "--data"]);
        train.arg(&job.catalogue).arg("--run").arg(&run);
        let settings = job.settings();
        for setting in settings
            .iter()
            .map(String::as_str)
            .chain(over.iter().copied())
        {
            train.args(["--set", setting]);
        }
        let measured = measured::run(self.checkout, &mut train, self.folder, name)?;
        let metrics = read(&run.join("metrics.jsonl"))?;
        let epochs: Vec<Epoch> = metrics.iter().map(Metrics::epoch).collect();
        let Some(run) = Run::of(&epochs, measured.peak) else {
            bail!(
                "{name} trained only {} epoch(s); the first one warms up",
                epochs.len()
            );
        };
        Ok((run, metrics))
    }
}

impl Metrics {
    fn epoch(&self) -> Epoch {
        Epoch {
            images: self.images_per_second * self.seconds,
            seconds: self.seconds,
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<Metrics>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let lines = text.lines().map(serde_json::from_str);
    lines
        .collect::<Result<_, _>>()
        .with_context(|| format!("{} is invalid", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_with_and_without_clustering_are_parsed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let line = r#"{"epoch":1,"images_per_second":40.0,"seconds":2.5,"loss":1.0"#;
        fs::write(
            &path,
            format!("{line}}}\n{line},\"clustering_seconds\":0.5,\"mining_seconds\":null}}\n"),
        )
        .unwrap();
        let metrics = read(&path).unwrap();
        assert_eq!(
            metrics[0].epoch(),
            Epoch {
                images: 100.0,
                seconds: 2.5
            }
        );
        assert_eq!(metrics[0].clustering_seconds, None);
        assert_eq!(metrics[1].clustering_seconds, Some(0.5));
        assert_eq!(metrics[1].mining_seconds, None);
        fs::write(&path, "{\"epoch\":1}\n").unwrap();
        assert!(read(&path).is_err());
    }
}
