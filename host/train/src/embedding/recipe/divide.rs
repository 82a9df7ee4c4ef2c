//! `[divide]`: how the embedding space is divided (Sanakoyeu et al., CVPR 2019).

use crate::about::{InvalidSetting, require_that};
use serde::{Deserialize, Serialize};

/// What photos are clustered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterBy {
    /// The embedding, as in the paper.
    Embedding,
    /// The pooled features before the embedding layer, L2-normalised, as in the paper's code.
    Features,
}

/// What is assigned to a cluster as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterUnit {
    /// Each photo, as in the paper. Photos of a whale in different clusters are then never compared.
    Photo,
    /// All photos of an identity, by their mean, so that identities of few photos stay together.
    Identity,
}

/// What a batch holds while slices learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DividedBatches {
    /// Photos of one cluster; clusters alternate, as in the paper. Pairs come from one cluster only, and
    /// batch normalisation sees one cluster at a time.
    OneCluster,
    /// Photos of all clusters, each for its own cluster's learner. Every batch trains every learner, and
    /// batch normalisation sees the same mixture in training and evaluation; for losses with class
    /// centres, which need no pairs.
    Mixed,
}

/// K learners, each with a slice of the embedding and a cluster of the photos. One learner is plain
/// training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DivideSettings {
    /// Number of learners, K.
    pub learners: usize,
    /// Epochs between two clusterings.
    pub cluster_every_n_epochs: usize,
    /// What photos are clustered by.
    pub cluster_by: ClusterBy,
    /// What a batch holds while slices learn.
    pub batches: DividedBatches,
    /// What is assigned to a cluster as a whole.
    pub cluster_unit: ClusterUnit,
    /// Initialisations of k-means, of which the best is kept.
    pub n_init: usize,
    /// Number of last epochs that train the whole embedding at once.
    pub whole_epochs: usize,
    /// Number of last epochs, among those, whose batches come from all photos instead of one cluster;
    /// mixed batches always do.
    pub single_epochs: usize,
}

impl Default for DivideSettings {
    fn default() -> Self {
        Self {
            learners: 1,
            cluster_every_n_epochs: 2,
            cluster_by: ClusterBy::Embedding,
            batches: DividedBatches::OneCluster,
            cluster_unit: ClusterUnit::Photo,
            n_init: 5,
            whole_epochs: 0,
            single_epochs: 0,
        }
    }
}

impl DivideSettings {
    /// Checks the values for an embedding of `dimension` numbers, trained for `epochs`.
    ///
    /// # Errors
    /// Names the setting and its range.
    pub fn check(&self, dimension: usize, epochs: usize) -> Result<(), InvalidSetting> {
        let learners = self.learners;
        require_that(
            (1..=64).contains(&learners),
            "divide.learners",
            learners,
            "1 to 64",
        )?;
        require_that(
            dimension.is_multiple_of(learners) && dimension / learners >= 2,
            "divide.learners",
            learners,
            &format!(
                "a number that divides head.dimension ({dimension}) into slices of at least two numbers"
            ),
        )?;
        for (key, value) in [
            ("divide.cluster_every_n_epochs", self.cluster_every_n_epochs),
            ("divide.n_init", self.n_init),
        ] {
            require_that((1..=1000).contains(&value), key, value, "1 to 1000")?;
        }
        require_that(
            self.whole_epochs <= epochs,
            "divide.whole_epochs",
            self.whole_epochs,
            &format!("at most the {epochs} epochs of the run"),
        )?;
        require_that(
            self.single_epochs <= self.whole_epochs,
            "divide.single_epochs",
            self.single_epochs,
            &format!("at most divide.whole_epochs ({})", self.whole_epochs),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_values_are_named() {
        let with = |change: fn(&mut DivideSettings)| {
            let mut s = DivideSettings {
                learners: 4,
                ..DivideSettings::default()
            };
            change(&mut s);
            s.check(512, 10)
                .map_or_else(|e| e.to_string(), |()| String::new())
        };
        assert_eq!(with(|_| ()), "");
        assert!(with(|s| s.learners = 0).contains("1 to 64"));
        assert!(with(|s| s.learners = 7).contains("divides head.dimension (512)"));
        assert!(with(|s| s.cluster_every_n_epochs = 0).contains("divide.cluster_every_n_epochs"));
        assert!(with(|s| s.single_epochs = 1).contains("divide.single_epochs = 1"));
        assert!(with(|s| s.whole_epochs = 11).contains("the 10 epochs"));
    }
}
