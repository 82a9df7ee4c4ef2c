//! The peer: PyTorch, torchvision and pytorch-metric-learning in Python.

use super::THREADS;
use super::run::{Epoch, Run};
use crate::bench::cores::Cores;
use crate::bench::measured;
use crate::checkout::Checkout;
use crate::setup::environment::Environment;
use crate::setup::libtorch;
use anyhow::{Context, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The peer's Python environment, with the same libtorch version as ours.
pub(super) const ENVIRONMENT: Environment = Environment {
    folder: ".tools/bench-train",
    packages: &[
        "torch==2.13.0",
        "torchvision==0.28.0",
        "pytorch-metric-learning==2.9.0",
    ],
};
const PROGRAM: &str = "xtask/src/bench/train/peer.py";

/// How the peer uses its cores. We compare with the fastest setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// Threads of PyTorch.
    threads: usize,
    /// Worker processes for augmentation; 0 for augmentation in PyTorch's own process.
    workers: usize,
    /// Channels-last memory layout, which convolutions on CPU prefer.
    channels_last: bool,
}

impl Setting {
    /// All settings to try, the most promising first.
    pub(super) const ALL: [Self; 5] = [
        Self::of(THREADS, 0, true),
        Self::of(THREADS, 1, true),
        Self::of(THREADS, 2, true),
        Self::of(THREADS - 1, 1, true),
        Self::of(THREADS, 0, false),
    ];

    const fn of(threads: usize, workers: usize, channels_last: bool) -> Self {
        Self {
            threads,
            workers,
            channels_last,
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layout = if self.channels_last { "last" } else { "first" };
        write!(
            f,
            "{} thread(s), {} worker(s), channels {layout}",
            self.threads, self.workers
        )
    }
}

/// The peer's Python and the folder of its logs.
pub(super) struct Peer<'a> {
    pub(super) checkout: &'a Checkout,
    /// Path of Python.
    pub(super) python: PathBuf,
    /// The cores to which it is pinned.
    pub(super) cores: &'a Cores,
    /// Folder of logs.
    pub(super) folder: &'a Path,
}

/// The peer's output.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Printed {
    epochs: Vec<PrintedEpoch>,
    versions: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
struct PrintedEpoch {
    images: f64,
    seconds: f64,
}

impl Peer<'_> {
    /// Trains once with a job file; also returns the versions of the packages.
    ///
    /// # Errors
    /// If training fails.
    pub(super) fn train(
        &self,
        name: &str,
        job: &Path,
        setting: Setting,
    ) -> anyhow::Result<(Run, String)> {
        let mut train = self.cores.program(self.checkout, &self.python);
        train.arg(PROGRAM).arg(job);
        train.args(["--threads", &setting.threads.to_string()]);
        train.args(["--workers", &setting.workers.to_string()]);
        if setting.channels_last {
            train.arg("--channels-last");
        }
        let measured = measured::run(self.checkout, &mut train, self.folder, name)?;
        let printed: Printed = serde_json::from_str(&measured.printed)
            .with_context(|| format!("unexpected output of {name}: {}", measured.printed))?;
        let epochs: Vec<Epoch> = printed.epochs.iter().map(PrintedEpoch::epoch).collect();
        let Some(run) = Run::of(&epochs, measured.peak) else {
            bail!(
                "{name} trained only {} epoch(s); the first one warms up",
                epochs.len()
            );
        };
        let versions = printed.versions.iter();
        let versions: Vec<String> = versions.map(|(what, v)| format!("{what} {v}")).collect();
        Ok((run, versions.join(", ")))
    }
}

impl PrintedEpoch {
    fn epoch(&self) -> Epoch {
        Epoch {
            images: self.images,
            seconds: self.seconds,
        }
    }
}

/// The Python of `--python`, or that of a separate environment, created if it is missing.
///
/// # Errors
/// If it cannot be created, or lacks a package of the peer.
pub(super) fn python(checkout: &Checkout, own: Option<&Path>) -> anyhow::Result<PathBuf> {
    let Some(own) = own else {
        println!(
            "    downloads 4.7 GB the first time: `import torch` needs its CUDA libraries even on a CPU"
        );
        ENVIRONMENT.install(checkout)?;
        return Ok(ENVIRONMENT.python(checkout));
    };
    // Absolute, but symlinks are not resolved: an environment is identified by its link to Python.
    let python = std::path::absolute(own).with_context(|| format!("{}", own.display()))?;
    let imports =
        "import torch, torchvision, pytorch_metric_learning, PIL; print(torch.__version__)";
    let version = checkout.ask(checkout.program(&python).args(["-c", imports]));
    let Some(version) = version else {
        bail!(
            "{} does not run, or lacks one of torch, torchvision and pytorch-metric-learning",
            python.display()
        );
    };
    println!("    {} with torch {}", python.display(), version.trim());
    if !version.starts_with(libtorch::VERSION) {
        println!("    note: ours is libtorch {}", libtorch::VERSION);
    }
    Ok(python)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peers_output_is_parsed() {
        let printed: Printed = serde_json::from_str(
            r#"{"epochs":[{"images":320,"seconds":8.0,"loss":1.5},{"images":320,"seconds":6.4,"loss":1.2}],
                "versions":{"python":"3.11.7","torch":"2.13.0"}}"#,
        )
        .unwrap();
        let epochs: Vec<Epoch> = printed.epochs.iter().map(PrintedEpoch::epoch).collect();
        let run = Run::of(&epochs, 1).unwrap();
        assert!((run.images_per_second - 50.0).abs() < 1e-9);
    }

    #[test]
    fn the_peer_has_our_libtorch() {
        assert!(
            ENVIRONMENT
                .packages
                .contains(&&*format!("torch=={}", libtorch::VERSION))
        );
    }

    #[test]
    fn a_missing_python_is_named() {
        let here = Checkout::at(Path::new("."));
        let error = python(&here, Some(Path::new("/no/python"))).unwrap_err();
        assert!(
            error.to_string().starts_with("/no/python does not run"),
            "{error}"
        );
    }
}
