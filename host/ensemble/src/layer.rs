//! The classifier's layer: logits of the known whales from features. `flukewatch_train` trains it.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut2, Axis, CowArray, Ix2};
use rayon::prelude::*;

/// The form of a logit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// `x · w + b`.
    Linear,
    /// `scale · cos(x, w)`.
    Cosine {
        /// Factor of the cosine.
        scale: f32,
    },
}

/// Number of classes that a core computes at once.
const CLASSES_PER_TASK: usize = 128;

/// A linear layer, or one on cosines.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Weights `[C, K]`, one row per class.
    pub weight: Array2<f32>,
    /// `[C]`; zeros with cosines.
    pub bias: Array1<f32>,
    /// The form of the logits.
    pub form: Form,
}

impl Layer {
    /// The logits of `features`.
    ///
    /// # Shapes
    /// `features` `[N, K]`; returns `[C, N]`.
    pub fn logits(&self, features: ArrayView2<f32>) -> Array2<f32> {
        let (inputs, weight, scale) = self.factors(features);
        let mut logits = Array2::zeros((weight.nrows(), inputs.nrows()));
        in_parallel(&mut logits, |from, mut rows| {
            let part = weight.slice(ndarray::s![from..from + rows.nrows(), ..]);
            general_mat_mul(scale, &part, &inputs.t(), 0.0, &mut rows);
            for (mut row, &bias) in rows.outer_iter_mut().zip(self.bias.iter().skip(from)) {
                row += bias;
            }
        });
        logits
    }

    /// Inputs, weights and a scalar whose product are the logits.
    fn factors<'a>(
        &'a self,
        features: ArrayView2<'a, f32>,
    ) -> (CowArray<'a, f32, Ix2>, CowArray<'a, f32, Ix2>, f32) {
        match self.form {
            Form::Linear => (features.into(), self.weight.view().into(), 1.0),
            Form::Cosine { scale } => (
                unit_rows(features).into(),
                unit_rows(self.weight.view()).into(),
                scale,
            ),
        }
    }
}

/// Processes blocks of rows of `target` in parallel; the result does not depend on the number of
/// cores.
fn in_parallel(target: &mut Array2<f32>, work: impl Fn(usize, ArrayViewMut2<f32>) + Sync) {
    let blocks: Vec<_> = target
        .axis_chunks_iter_mut(Axis(0), CLASSES_PER_TASK)
        .collect();
    blocks
        .into_par_iter()
        .enumerate()
        .for_each(|(i, block)| work(i * CLASSES_PER_TASK, block));
}

fn length(row: ArrayView1<f32>) -> f32 {
    row.dot(&row).sqrt().max(1e-12)
}

/// The rows, each of length 1.
pub(crate) fn unit_rows(rows: ArrayView2<f32>) -> Array2<f32> {
    let mut rows = rows.to_owned();
    for mut row in rows.outer_iter_mut() {
        let by = length(row.view());
        row /= by;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_worked_by_hand() {
        let linear = Layer {
            weight: ndarray::array![[1.0, 0.0], [0.0, 2.0]],
            bias: ndarray::array![0.5, 0.0],
            form: Form::Linear,
        };
        let features = ndarray::array![[1.0, 1.0]];
        assert_eq!(
            linear.logits(features.view()),
            ndarray::array![[1.5], [2.0]]
        );
        let cosine = Layer {
            bias: ndarray::array![0.0, 0.0],
            form: Form::Cosine { scale: 4.0 },
            ..linear
        };
        // 45° from both.
        for logit in &cosine.logits(features.view()) {
            assert!((logit - 4.0 * 0.5f32.sqrt()).abs() < 1e-6, "{logit}");
        }
    }

    #[test]
    fn the_result_does_not_depend_on_the_number_of_cores() {
        let layer = Layer {
            weight: Array2::from_shape_fn((300, 4), |(c, k)| ((c * 7 + k * 3) % 11) as f32 - 5.0),
            bias: Array1::zeros(300),
            form: Form::Cosine { scale: 6.0 },
        };
        let features = Array2::from_shape_fn((5, 4), |(i, k)| ((i * 5 + k) % 7) as f32 - 3.0);
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| layer.logits(features.view()))
        };
        assert_eq!(with(1), with(3));
    }
}
