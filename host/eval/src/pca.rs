//! Principal components by randomised subspace iteration.
//!
//! Halko, Martinsson and Tropp, SIAM Review 2011, algorithm 4.4: a random block of vectors is
//! multiplied by the covariance several times and made orthonormal. After a few rounds it spans
//! the leading principal components; after many, each vector is one of them.

use ndarray::{Array1, Array2, ArrayView2, Axis};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A mean to subtract and orthonormal axes to project on.
#[derive(Clone, Debug, PartialEq)]
pub struct Pca {
    /// Mean of the points, `[D] f32`.
    pub mean: Array1<f32>,
    /// Orthonormal rows, `[K, D] f32`.
    pub axes: Array2<f32>,
}

impl Pca {
    /// Fits `dimension` axes to `points`; fewer if the points vary in fewer directions.
    ///
    /// # Shapes
    /// `points`: `[N, D] f32`.
    ///
    /// # Panics
    /// Without any point.
    pub fn fit(points: ArrayView2<f32>, dimension: usize, rounds: usize, seed: u64) -> Self {
        let (count, width) = points.dim();
        let mean = points
            .mean_axis(Axis(0))
            .expect("principal components need at least one point");
        let centred = &points - &mean;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let start = Array2::from_shape_simple_fn((dimension.min(width).min(count), width), || {
            rng.random_range(-1.0..1.0f32)
        });
        let mut axes = orthonormal(start);
        for _ in 0..rounds {
            axes = orthonormal(axes.dot(&centred.t()).dot(&centred));
        }
        Self { mean, axes }
    }

    /// Projects points on the axes.
    ///
    /// # Shapes
    /// `[N, D] f32` to `[N, K] f32`.
    pub fn project(&self, points: ArrayView2<f32>) -> Array2<f32> {
        (&points - &self.mean).dot(&self.axes.t())
    }
}

/// Gram-Schmidt, twice for accuracy; linearly dependent rows are dropped.
fn orthonormal(mut rows: Array2<f32>) -> Array2<f32> {
    let mut kept = 0;
    for row in 0..rows.nrows() {
        let mut direction = rows.row(row).to_owned();
        let before = norm(&direction);
        for _ in 0..2 {
            let done = rows.slice(ndarray::s![..kept, ..]);
            let along = done.dot(&direction);
            direction -= &along.dot(&done);
        }
        let left = norm(&direction);
        if left > before * 1e-4 && left > f32::MIN_POSITIVE {
            direction /= left;
            rows.row_mut(kept).assign(&direction);
            kept += 1;
        }
    }
    rows.slice(ndarray::s![..kept, ..]).to_owned()
}

fn norm(v: &Array1<f32>) -> f32 {
    v.dot(v).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUNDS: usize = 4;

    /// 60 points that vary by 5 and 3 along two slanted directions and by 0.01 along all others.
    fn flat_cloud() -> Array2<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        Array2::from_shape_fn((60, 10), |(i, d)| {
            let (a, b) = (5.0 * (i as f32).sin(), 3.0 * (i as f32 * 0.7).cos());
            let slanted = match d {
                2 => 0.6 * a,
                7 => 0.8 * a,
                4 => b,
                _ => 1.0,
            };
            slanted + rng.random_range(-0.01..0.01f32)
        })
    }

    #[test]
    fn the_axes_are_orthonormal_and_hold_the_variance() {
        let points = flat_cloud();
        let pca = Pca::fit(points.view(), 2, ROUNDS, 3);
        let gram = pca.axes.dot(&pca.axes.t());
        for ((i, j), &g) in gram.indexed_iter() {
            assert!((g - f32::from(u8::from(i == j))).abs() < 1e-5, "{gram}");
        }
        let centred = &points - &pca.mean;
        let total: f32 = centred.iter().map(|v| v * v).sum();
        let held: f32 = pca.project(points.view()).iter().map(|v| v * v).sum();
        assert!(held > 0.9999 * total, "{held} of {total}");
    }

    #[test]
    fn many_rounds_give_the_components_in_order() {
        let pca = Pca::fit(flat_cloud().view(), 2, 60, 1);
        assert!((pca.axes[[0, 7]].abs() - 0.8).abs() < 0.01, "{}", pca.axes);
        assert!((pca.axes[[1, 4]].abs() - 1.0).abs() < 0.01, "{}", pca.axes);
    }

    #[test]
    fn a_seed_gives_the_same_axes_and_no_more_than_there_are() {
        let points = flat_cloud();
        let one = Pca::fit(points.view(), 4, ROUNDS, 3);
        assert_eq!(one, Pca::fit(points.view(), 4, ROUNDS, 3));
        assert_ne!(one, Pca::fit(points.view(), 4, ROUNDS, 4));
        let three = points.slice(ndarray::s![..3, ..]);
        assert_eq!(Pca::fit(three, 8, ROUNDS, 3).axes.nrows(), 2);
    }
}
