//! Helpers for the tests of losses.

use super::Loss;
use crate::torch::tensors::normalise;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

const STEP: f64 = 2e-3;

pub(super) fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(7)
}

/// Points on the circle, by their angle in degrees.
pub(super) fn circle(degrees: &[f64]) -> Tensor {
    let xy: Vec<f32> = degrees
        .iter()
        .flat_map(|a| [a.to_radians().cos() as f32, a.to_radians().sin() as f32])
        .collect();
    Tensor::from_slice(&xy).reshape([-1, 2])
}

/// Random `[rows, columns]`, not normalised.
pub(super) fn scattered(rows: i64, columns: i64, seed: u64) -> Tensor {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let data: Vec<f32> = (0..rows * columns)
        .map(|_| random.random_range(-1.0..1.0f32))
        .collect();
    Tensor::from_slice(&data).reshape([rows, columns])
}

/// Rows as plain numbers in double precision, for plain loops.
pub(super) fn rows(t: &Tensor) -> Vec<Vec<f64>> {
    (0..t.size()[0])
        .map(|r| (0..t.size()[1]).map(|c| t.double_value(&[r, c])).collect())
        .collect()
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Rows to unit length.
pub(super) fn unit(rows: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    rows.into_iter()
        .map(|r| {
            let length = dot(&r, &r).sqrt();
            r.into_iter().map(|x| x / length).collect()
        })
        .collect()
}

/// The gradient through the normalisation against central differences.
pub(super) fn check_gradient(e: &Tensor, loss: impl Fn(&Tensor) -> Tensor) {
    let loss = |e: &Tensor| loss(&normalise(e));
    let x = e.copy().set_requires_grad(true);
    loss(&x).backward();
    let shifted = e.copy();
    compare(&shifted, &x.grad(), || loss(&shifted).double_value(&[]));
}

/// The gradients of the loss's own parameters against central differences; each must be there and not flat.
pub(super) fn check_parameters(loss: &dyn Loss, embeddings: &Tensor, classes: &Tensor) {
    let embeddings = normalise(embeddings);
    let value = || loss.loss(&embeddings, classes, &mut rng());
    assert!(!loss.parameters().is_empty());
    for mut parameter in loss.parameters() {
        parameter.tensor.zero_grad();
    }
    value().backward();
    for parameter in loss.parameters() {
        let parameter = parameter.tensor;
        let gradient = parameter.grad().copy();
        // Shares the memory of the parameter, so that the loss sees each shift.
        compare(&parameter.detach(), &gradient, || value().double_value(&[]));
    }
}

/// Shifts `at` number by number and compares the difference quotient of `value` with `gradient`.
fn compare(at: &Tensor, gradient: &Tensor, value: impl Fn() -> f64) {
    assert!(
        gradient.abs().sum(Kind::Float).double_value(&[]) > 1e-3,
        "the test must touch a gradient"
    );
    let (at, gradient) = (at.view([-1]), gradient.reshape([-1]));
    for i in 0..at.size()[0] {
        let was = at.double_value(&[i]);
        let moved = |by: f64| {
            let _ = at.get(i).fill_(was + by);
            value()
        };
        let expected = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
        moved(0.0);
        let got = gradient.double_value(&[i]);
        assert!(
            (expected - got).abs() < 2e-2 * (1.0 + expected.abs()),
            "at {i}: {got} but {expected}"
        );
    }
}
