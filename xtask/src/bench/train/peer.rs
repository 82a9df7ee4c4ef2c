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

/// Its Python environment, of the same libtorch as ours.
pub(super) const ENVIRONMENT: Environment = Environment {
    folder: ".tools/bench-train",
    packages: &[
        "torch==2.13.0",
        "torchvision==0.28.0",
        "pytorch-metric-learning==2.9.0",
    ],
};
/// Its program.
const PROGRAM: &str = "xtask/src/bench/train/peer.py";

/// How the peer uses its cores. The fastest is compared with us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// Of PyTorch.
    threads: usize,
    /// Processes that vary photos; 0 for none beside PyTorch's own.
    workers: usize,
    /// Channels innermost in memory, which convolutions on CPU prefer.
    channels_last: bool,
}

impl Setting {
    /// What is tried, the likeliest first.
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

/// The peer with its Python, and where its logs go.
pub(super) struct Peer<'a> {
    /// The checkout.
    pub(super) checkout: &'a Checkout,
    /// Its Python.
    pub(super) python: PathBuf,
    /// What it is held to.
    pub(super) cores: &'a Cores,
    /// Where logs go.
    pub(super) folder: &'a Path,
}

/// What it prints.
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
    /// Trains once after a job file; tells the versions that it ran on, too.
    ///
    /// # Errors
    /// When training fails.
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
            .with_context(|| format!("{name} printed something else: {}", measured.printed))?;
        let epochs: Vec<Epoch> = printed.epochs.iter().map(PrintedEpoch::epoch).collect();
        let Some(run) = Run::of(&epochs, measured.peak) else {
            bail!(
                "{name} trained {} epochs, of which the first only warms up",
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

/// The Python of `--python`, or that of an environment of its own, made where it is missing.
///
/// # Errors
/// When it cannot be made, or does not have what the peer imports.
pub(super) fn python(checkout: &Checkout, own: Option<&Path>) -> anyhow::Result<PathBuf> {
    let Some(own) = own else {
        println!(
            "    4.7 GB the first time: `import torch` needs its CUDA libraries even on a CPU"
        );
        ENVIRONMENT.install(checkout)?;
        return Ok(ENVIRONMENT.python(checkout));
    };
    // Absolute, and not resolved: an environment's Python is a link, and the link is what makes it that environment's.
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
    fn what_the_peer_prints_is_read() {
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
    fn a_python_that_is_not_there_is_named() {
        let here = Checkout::at(Path::new("."));
        let error = python(&here, Some(Path::new("/no/python"))).unwrap_err();
        assert!(
            error.to_string().starts_with("/no/python does not run"),
            "{error}"
        );
    }
}
