//! Divide and conquer of the embedding space (Sanakoyeu, Tschernezki, Büchler, Ommer, CVPR 2019): photos
//! are clustered, each cluster has its own learner with a slice of the embedding, and clusters keep
//! their numbers from one clustering to the next.

mod matching;

use super::recipe::{ClusterUnit, DivideSettings};
use flukewatch_eval::kmeans::{KMeansOptions, kmeans};
use ndarray::{Array2, ArrayView2};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// The cluster of each photo. A mirrored photo has the cluster of its photo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Division {
    /// `[N]`, below K.
    pub(super) of: Vec<usize>,
}

/// One line of a run's `clusters.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct ClusterReport {
    /// The epoch that follows, counted from 1.
    pub(super) epoch: usize,
    /// Photos in each cluster.
    pub(super) sizes: Vec<usize>,
    /// Fraction of photos whose cluster changed; `None` the first time.
    pub(super) moved: Option<f64>,
    /// Mean squared distance of each clustered point (a photo or an identity's mean) to its centre.
    pub(super) inertia: f64,
}

impl ClusterReport {
    pub(super) fn description(&self) -> String {
        let sizes: Vec<String> = self.sizes.iter().map(ToString::to_string).collect();
        let moved = self.moved.map_or(String::new(), |m| {
            format!(", {:.0} % of the photos moved", m * 100.0)
        });
        format!(
            "clusters before epoch {}: {} photos{moved}",
            self.epoch,
            sizes.join(" + ")
        )
    }
}

/// Clusters photos by `points` `[N, D] f32`, and keeps the numbers of the clusters of `before`.
/// `photos_of[w]` are the rows of whale `w`; each row belongs to one whale.
pub(super) fn divide(
    points: ArrayView2<'_, f32>,
    photos_of: &[Vec<usize>],
    before: Option<&Division>,
    settings: &DivideSettings,
    epoch: usize,
    random: &mut ChaCha8Rng,
) -> (Division, ClusterReport) {
    let options = KMeansOptions {
        n_init: settings.n_init,
        ..KMeansOptions::default()
    };
    let (found, inertia) = match settings.cluster_unit {
        ClusterUnit::Photo => {
            let found = kmeans(points, settings.learners, options, random);
            (found.assignments, found.inertia)
        }
        ClusterUnit::Identity => {
            let means = means(points, photos_of);
            let found = kmeans(means.view(), settings.learners, options, random);
            let mut of = vec![0; points.nrows()];
            for (photos, &k) in photos_of.iter().zip(&found.assignments) {
                photos.iter().for_each(|&p| of[p] = k);
            }
            (of, found.inertia)
        }
    };
    let of = match before {
        Some(before) => matching::matched(&before.of, &found, settings.learners),
        None => found,
    };
    let mut sizes = vec![0; settings.learners];
    of.iter().for_each(|&k| sizes[k] += 1);
    let report = ClusterReport {
        epoch: epoch + 1,
        sizes,
        moved: before.map(|before| matching::moved(&before.of, &of)),
        inertia,
    };
    (Division { of }, report)
}

/// The mean of each whale's rows: `[W, D]`; zero for a whale without any.
fn means(points: ArrayView2<'_, f32>, photos_of: &[Vec<usize>]) -> Array2<f32> {
    let mut means = Array2::zeros((photos_of.len(), points.ncols()));
    for (mut mean, photos) in means.rows_mut().into_iter().zip(photos_of) {
        for &photo in photos {
            mean += &points.row(photo);
        }
        mean /= photos.len().max(1) as f32;
    }
    means
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn learners_keep_their_photos() {
        // Four groups that drift a little between two clusterings, whose random starts differ.
        let groups = |drift: f32| {
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            Array2::from_shape_fn((80, 2), |(i, d)| {
                let centre = [[0.0, 0.0], [6.0, 0.0], [0.0, 6.0], [6.0, 6.0]][i % 4][d];
                centre + drift + rng.random_range(-0.5..0.5f32)
            })
        };
        let settings = DivideSettings {
            learners: 4,
            ..DivideSettings::default()
        };
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let (mut before, first) = divide(groups(0.0).view(), &[], None, &settings, 0, &mut rng);
        assert_eq!((first.moved, first.sizes), (None, vec![20; 4]));
        for epoch in 1..12 {
            let points = groups(0.1 * epoch as f32);
            let (after, report) = divide(
                points.view(),
                &[],
                Some(&before),
                &settings,
                epoch,
                &mut rng,
            );
            assert_eq!(report.moved, Some(0.0), "epoch {epoch}");
            before = after;
        }
    }

    #[test]
    fn an_identity_goes_to_one_learner() {
        // Whale 0 has two photos on the left and one far on the right, whale 1 is on the right, whale 2 on the left.
        let points = ndarray::arr2(&[[0.0f32], [0.2], [5.0], [9.0], [9.2], [0.1]]);
        let photos_of = [vec![0, 1, 2], vec![3, 4], vec![5]];
        let of = |cluster_unit| {
            let settings = DivideSettings {
                learners: 2,
                cluster_unit,
                ..DivideSettings::default()
            };
            let mut rng = ChaCha8Rng::seed_from_u64(3);
            divide(points.view(), &photos_of, None, &settings, 0, &mut rng)
        };
        let (by_photo, by_whale) = (of(ClusterUnit::Photo), of(ClusterUnit::Identity));
        let same = |d: &Division, a: usize, b: usize| d.of[a] == d.of[b];
        assert!(!same(&by_photo.0, 0, 2) && same(&by_photo.0, 0, 5));
        assert!(same(&by_whale.0, 0, 2) && same(&by_whale.0, 0, 1) && same(&by_whale.0, 0, 5));
        assert!(same(&by_whale.0, 3, 4) && !same(&by_whale.0, 0, 3));
        // Sizes are photos, also where whales are clustered.
        assert_eq!(by_whale.1.sizes.iter().sum::<usize>(), 6);
    }
}
