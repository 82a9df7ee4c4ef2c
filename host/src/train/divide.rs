//! Divide and conquer of the embedding space (Sanakoyeu, Tschernezki, Büchler, Ommer, CVPR 2019): photos are clustered, each
//! cluster has a learner of its own with a slice of the embedding, and clusters keep their numbers from one clustering to the
//! next.

pub mod matching;

use super::recipe::{ClusterUnit, DivideSettings};
use crate::kmeans::{Care, kmeans};
use ndarray::{Array2, ArrayView2};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// Which cluster each photo belongs to. A mirrored photo goes with its photo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Division {
    /// `[N]`, below K.
    pub of: Vec<usize>,
}

/// One line of a run's `clusters.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClusterReport {
    /// The epoch that comes next, from 1.
    pub epoch: usize,
    /// Photos in each cluster.
    pub sizes: Vec<usize>,
    /// Share of photos that belong to another cluster than before; `None` the first time.
    pub moved: Option<f64>,
    /// Mean squared distance of what is clustered, a photo or a whale's mean, to the centre of its cluster.
    pub cost: f64,
}

impl ClusterReport {
    /// For people.
    pub fn in_words(&self) -> String {
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

/// Clusters photos by `points` `[N, D] f32`, and gives the clusters the numbers of `before` where there was a division.
/// `photos_of[w]` are the rows of whale `w`; each row is of one whale.
pub fn divide(
    points: ArrayView2<'_, f32>,
    photos_of: &[Vec<usize>],
    before: Option<&Division>,
    settings: &DivideSettings,
    epoch: usize,
    random: &mut ChaCha8Rng,
) -> (Division, ClusterReport) {
    let care = Care {
        starts: settings.starts,
        spherical: settings.spherical,
        ..Care::default()
    };
    let (found, cost) = match settings.unit {
        ClusterUnit::Photo => {
            let found = kmeans(points, settings.learners, care, random);
            (found.of, found.cost)
        }
        ClusterUnit::Whale => {
            let means = means(points, photos_of);
            let found = kmeans(means.view(), settings.learners, care, random);
            let mut of = vec![0; points.nrows()];
            for (photos, &k) in photos_of.iter().zip(&found.of) {
                photos.iter().for_each(|&p| of[p] = k);
            }
            (of, found.cost)
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
        cost,
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
    fn a_whale_goes_to_one_learner() {
        // Whale 0 has two photos on the left and one far on the right, whale 1 is on the right, whale 2 on the left.
        let points = ndarray::arr2(&[[0.0f32], [0.2], [5.0], [9.0], [9.2], [0.1]]);
        let photos_of = [vec![0, 1, 2], vec![3, 4], vec![5]];
        let of = |unit| {
            let settings = DivideSettings {
                learners: 2,
                unit,
                ..DivideSettings::default()
            };
            let mut rng = ChaCha8Rng::seed_from_u64(3);
            divide(points.view(), &photos_of, None, &settings, 0, &mut rng)
        };
        let (by_photo, by_whale) = (of(ClusterUnit::Photo), of(ClusterUnit::Whale));
        let same = |d: &Division, a: usize, b: usize| d.of[a] == d.of[b];
        assert!(!same(&by_photo.0, 0, 2) && same(&by_photo.0, 0, 5));
        assert!(same(&by_whale.0, 0, 2) && same(&by_whale.0, 0, 1) && same(&by_whale.0, 0, 5));
        assert!(same(&by_whale.0, 3, 4) && !same(&by_whale.0, 0, 3));
        // Sizes are photos, also where whales are clustered.
        assert_eq!(by_whale.1.sizes.iter().sum::<usize>(), 6);
    }
}
