//! `[divide]`: how the embedding space is divided (Sanakoyeu et al., CVPR 2019).

use serde::{Deserialize, Serialize};

/// What photos are clustered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterBy {
    /// The embedding, as the paper says.
    Embedding,
    /// The pooled features before the embedding layer, L2-normalised, as the paper's code does.
    Features,
}

/// What is kept together when photos are clustered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterUnit {
    /// Nothing: each photo goes to its nearest cluster, as the paper has it. A learner then never compares those photos of a whale that
    /// went to others.
    Photo,
    /// All photos of a whale, by their mean. Where a whale has few photos, that leaves them to one learner.
    Whale,
}

/// What a batch holds while slices learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DividedBatches {
    /// Photos of one cluster, which take turns, as the paper has it. What a learner looks for its pairs in is a cluster alone; batch
    /// normalisation sees one cluster at a time.
    OneCluster,
    /// Photos of all clusters, each to its own cluster's learner. Every learner moves with every batch, and batch normalisation sees
    /// in training what it sees at test; for losses with a centre a class, which need no pairs.
    Mixed,
}

/// K learners, each with a slice of the embedding and a cluster of the photos. One learner is plain training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DivideSettings {
    /// K.
    pub learners: usize,
    /// M: photos are clustered anew every so many epochs.
    pub every: usize,
    /// What photos are clustered by.
    pub by: ClusterBy,
    /// What a batch holds while slices learn.
    pub batches: DividedBatches,
    /// What is kept together.
    pub unit: ClusterUnit,
    /// Cluster by cosine (spherical k-means) instead of distance.
    pub spherical: bool,
    /// Starts of k-means; the best is kept.
    pub starts: usize,
    /// The last so many epochs train the whole embedding at once.
    pub whole_epochs: usize,
    /// The last so many of those draw batches from all photos instead of from one cluster; mixed batches do so anyway.
    pub single_epochs: usize,
}

impl Default for DivideSettings {
    fn default() -> Self {
        Self {
            learners: 1,
            every: 2,
            by: ClusterBy::Embedding,
            batches: DividedBatches::OneCluster,
            unit: ClusterUnit::Photo,
            spherical: false,
            starts: 5,
            whole_epochs: 0,
            single_epochs: 0,
        }
    }
}

impl DivideSettings {
    /// Says what makes no sense for an embedding of `dimension` numbers, trained for `epochs`.
    ///
    /// # Errors
    /// The setting and its limits.
    pub fn check(&self, dimension: usize, epochs: usize) -> Result<(), String> {
        if !(1..=64).contains(&self.learners) {
            return Err("divide.learners must be 1 to 64".into());
        }
        if !dimension.is_multiple_of(self.learners) || dimension / self.learners < 2 {
            return Err(format!(
                "divide.learners must divide head.dimension ({dimension}) into slices of two numbers or more"
            ));
        }
        if self.every == 0 || self.starts == 0 {
            return Err("divide.every and divide.starts must be 1 or more".into());
        }
        if self.single_epochs > self.whole_epochs || self.whole_epochs > epochs {
            return Err(format!(
                "divide.single_epochs ({}) are the last of divide.whole_epochs ({}), which are the last of all {epochs} epochs: neither can be more than the next",
                self.single_epochs, self.whole_epochs
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_named() {
        let with = |change: fn(&mut DivideSettings)| {
            let mut s = DivideSettings {
                learners: 4,
                ..DivideSettings::default()
            };
            change(&mut s);
            s.check(512, 10).err().unwrap_or_default()
        };
        assert_eq!(with(|_| ()), "");
        assert!(with(|s| s.learners = 0).contains("1 to 64"));
        assert!(with(|s| s.learners = 7).contains("divide head.dimension (512)"));
        assert!(with(|s| s.every = 0).contains("divide.every"));
        assert!(with(|s| s.single_epochs = 1).contains("divide.single_epochs (1)"));
        assert!(with(|s| s.whole_epochs = 11).contains("all 10 epochs"));
    }
}
