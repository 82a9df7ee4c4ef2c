//! The metrics of a trained network.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// The metrics of one run, in [0, 1].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Score {
    /// Fraction of queries whose nearest whale is right.
    pub(super) recall_at_1: f64,
    /// MAP@5 as in the Kaggle competitions.
    pub(super) map_at_5: f64,
    /// AUROC of known against new whales, half of them enrolled.
    pub(super) auroc: f64,
}

#[derive(Deserialize)]
struct Evaluation {
    retrieval: Retrieval,
    open_set: OpenSet,
}

#[derive(Deserialize)]
struct Retrieval {
    recall_at_1: f64,
    map_at_5: f64,
}

#[derive(Deserialize)]
struct OpenSet {
    auroc: Figure,
}

#[derive(Deserialize)]
struct Figure {
    value: f64,
}

impl Score {
    /// Parses the output of `flukewatch evaluate --protocol all --json`.
    pub(super) fn of(json: &[u8]) -> anyhow::Result<Self> {
        let found: Evaluation =
            serde_json::from_slice(json).context("unexpected output of flukewatch evaluate")?;
        Ok(Self {
            recall_at_1: found.retrieval.recall_at_1,
            map_at_5: found.retrieval.map_at_5,
            auroc: found.open_set.auroc.value,
        })
    }

    /// Reads the metrics of an earlier call.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }

    /// Writes the metrics for a later call.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        std::fs::write(path, serde_json::to_vec(self)?)
            .with_context(|| format!("{} cannot be written", path.display()))
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "R@1 {:.3}, MAP@5 {:.3}, AUROC of new whales {:.3}",
            self.recall_at_1, self.map_at_5, self.auroc
        )
    }
}
