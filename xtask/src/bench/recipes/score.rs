//! What a trained network reaches.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// Figures of one run, shares of 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Score {
    /// Share of queries whose nearest whale is right.
    pub(super) recall_at_1: f64,
    /// Of the contests.
    pub(super) map_at_5: f64,
    /// Known against new whales, half of them enrolled.
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
    /// Out of what `flukewatch evaluate --protocol all --json` says.
    pub(super) fn of(json: &[u8]) -> anyhow::Result<Self> {
        let found: Evaluation = serde_json::from_slice(json)
            .context("flukewatch evaluate said something unexpected")?;
        Ok(Self {
            recall_at_1: found.retrieval.recall_at_1,
            map_at_5: found.retrieval.map_at_5,
            auroc: found.open_set.auroc.value,
        })
    }

    /// Of an earlier call.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }

    /// For a later call.
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
