//! What is minimised: one loss a module.

pub mod arcface;
pub mod margin;

use crate::network::weights::{Values, Weights};
use tch::Tensor;

/// A loss over L2-normalised embeddings and classes.
pub trait Loss {
    /// `embeddings` `[N, D] f32`, L2-normalised; `classes` `[N] i64`. Returns a scalar; zero, with zero gradient, where the
    /// batch gives nothing to learn from. `random` draws what the loss draws, if it does.
    fn loss(
        &self,
        embeddings: &Tensor,
        classes: &Tensor,
        random: &mut rand_chacha::ChaCha8Rng,
    ) -> Tensor;

    /// The loss's own parameters, by name.
    fn parameters(&self) -> Vec<(String, Tensor)>;

    /// Those parameters as plain numbers, for a checkpoint.
    fn weights(&self) -> Weights {
        self.parameters()
            .iter()
            .map(|(n, t)| (n.clone(), super::forward::values(t)))
            .collect()
    }

    /// Takes parameters out of a checkpoint; names that the loss does not have are passed over.
    fn restore(&mut self, weights: &Weights) {
        tch::no_grad(|| {
            for (name, mut t) in self.parameters() {
                if let Some(Values { shape, data }) = weights.get(&name)
                    && shape.iter().map(|&s| s as i64).eq(t.size())
                {
                    t.copy_(&Tensor::from_slice(data).reshape(t.size()));
                }
            }
        });
    }
}

#[cfg(test)]
mod tests_support {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use tch::{Kind, Tensor};

    pub(super) fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(7)
    }

    /// The gradient through the normalisation against central differences.
    pub(super) fn check_gradient(e: &Tensor, loss: impl Fn(&Tensor) -> Tensor) {
        let loss = |e: &Tensor| loss(&crate::train::run::normalise(e));
        let x = e.copy().set_requires_grad(true);
        loss(&x).backward();
        let gradient = x.grad();
        assert!(
            gradient.abs().sum(Kind::Float).double_value(&[]) > 1e-3,
            "the test must touch a slope"
        );
        const STEP: f64 = 2e-3;
        let [rows, columns] = e.size()[..] else {
            panic!("a matrix")
        };
        for r in 0..rows {
            for c in 0..columns {
                let moved = |by: f64| {
                    let shifted = e.copy();
                    let mut cell = shifted.get(r).get(c);
                    let _ = cell.g_add_scalar_(by);
                    loss(&shifted).double_value(&[])
                };
                let slope = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
                let got = gradient.double_value(&[r, c]);
                assert!(
                    (slope - got).abs() < 2e-2 * (1.0 + slope.abs()),
                    "at {r},{c}: {got} but slope {slope}"
                );
            }
        }
    }
}
