//! From many features to fewer: the subspace in which they vary most.
//!
//! Randomised subspace iteration (Halko, Martinsson and Tropp, SIAM Review 2011, algorithm 4.4): a random block of vectors is
//! multiplied by the features' covariance a few times and made orthonormal. It spans the leading principal components; their own
//! directions within that span do not matter to a classifier that is linear in them.

use ndarray::{Array1, Array2, ArrayView2, Axis};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Rounds of multiplication with the covariance.
const ROUNDS: usize = 4;

/// A mean that is taken away and orthonormal axes to project on.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// `[D]`, the mean of the features.
    pub mean: Array1<f32>,
    /// `[K, D]`, orthonormal rows.
    pub axes: Array2<f32>,
}

impl Projection {
    /// Fits `dimension` axes to `features` `[N, D]`; fewer where the features vary in fewer directions.
    pub fn fit(features: ArrayView2<f32>, dimension: usize, seed: u64) -> Self {
        let (count, wide) = features.dim();
        let mean = features
            .mean_axis(Axis(0))
            .unwrap_or_else(|| Array1::zeros(wide));
        let centred = &features - &mean;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let start = Array2::from_shape_simple_fn((dimension.min(wide).min(count), wide), || {
            rng.random_range(-1.0..1.0f32)
        });
        let mut axes = orthonormal(start);
        for _ in 0..ROUNDS {
            axes = orthonormal(axes.dot(&centred.t()).dot(&centred));
        }
        Self { mean, axes }
    }

    /// `[N, D]` to `[N, K]`.
    pub fn apply(&self, features: ArrayView2<f32>) -> Array2<f32> {
        (&features - &self.mean).dot(&self.axes.t())
    }
}

/// Gram and Schmidt, twice for accuracy; rows that add no direction of their own are left out.
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
    fn the_axes_are_orthonormal_and_hold_what_varies() {
        let features = flat_cloud();
        let projection = Projection::fit(features.view(), 2, 3);
        let gram = projection.axes.dot(&projection.axes.t());
        for ((i, j), &g) in gram.indexed_iter() {
            assert!((g - f32::from(u8::from(i == j))).abs() < 1e-5, "{gram}");
        }
        let centred = &features - &projection.mean;
        let total: f32 = centred.iter().map(|v| v * v).sum();
        let held: f32 = projection
            .apply(features.view())
            .iter()
            .map(|v| v * v)
            .sum();
        assert!(held > 0.9999 * total, "{held} of {total}");
    }

    #[test]
    fn a_seed_gives_the_same_axes_and_no_more_than_there_are() {
        let features = flat_cloud();
        let one = Projection::fit(features.view(), 4, 3);
        assert_eq!(one, Projection::fit(features.view(), 4, 3));
        assert_ne!(one, Projection::fit(features.view(), 4, 4));
        let three = features.slice(ndarray::s![..3, ..]);
        assert_eq!(Projection::fit(three, 8, 3).axes.nrows(), 2);
    }
}
