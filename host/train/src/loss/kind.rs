//! What a loss is.

use crate::about::{About, InvalidSetting};
use std::fmt;

/// The settings of a loss.
pub(crate) trait LossKind: fmt::Debug {
    /// Formula, source and settings.
    fn about(&self) -> &'static About;

    /// Whether a batch must hold several photos of a class.
    fn needs_pairs(&self) -> bool;

    /// Checks the values; the error names the setting and its range.
    fn check(&self) -> Result<(), InvalidSetting>;

    /// The loss itself.
    #[cfg(feature = "libtorch")]
    fn build(&self, classes: &Classes<'_>) -> Box<dyn Loss>;
}

#[cfg(feature = "libtorch")]
pub(crate) use tensors::{Classes, Loss, LossParameter};

#[cfg(feature = "libtorch")]
mod tensors {
    use crate::torch::tensors::values;
    use flukewatch_network::Role;
    use flukewatch_network::weights::{Values, Weights};
    use rand_chacha::ChaCha8Rng;
    use std::time::Duration;
    use tch::{Device, Kind, Tensor};

    /// What a loss is built for.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Classes<'a> {
        /// Number of classes.
        pub(crate) count: usize,
        /// Length of an embedding.
        pub(crate) dimension: usize,
        /// Prefix of the names of the loss's parameters.
        pub(crate) name: &'a str,
        /// Where the parameters are allocated.
        pub(crate) device: Device,
        /// Random initial parameters are drawn from it.
        pub(crate) seed: u64,
    }

    /// A parameter of a loss.
    pub(crate) struct LossParameter {
        pub(crate) name: String,
        pub(crate) tensor: Tensor,
        /// A weight, as centres are, or a scale, as biases and boundaries are, which must not decay.
        pub(crate) role: Role,
    }

    /// A loss over L2-normalised embeddings and classes.
    pub(crate) trait Loss {
        /// Returns a scalar; zero with zero gradient if the batch has nothing to learn from.
        ///
        /// # Shapes
        /// `embeddings` `[N, D] f32`, L2-normalised; `classes` `[N] i64`.
        fn loss(&self, embeddings: &Tensor, classes: &Tensor, random: &mut ChaCha8Rng) -> Tensor;

        /// The loss's own trained parameters.
        fn parameters(&self) -> Vec<LossParameter> {
            vec![]
        }

        /// Initialises class centres or proxies, if the loss has them, with the classes' means: `means`
        /// `[classes, D] f32` of any length. A row of zeros is an unknown class, which keeps its
        /// random initial value.
        fn init_centres(&mut self, _means: &Tensor) {}

        /// The time that mining took since the last call.
        fn take_mining_time(&self) -> Duration {
            Duration::ZERO
        }

        /// The parameters as plain numbers, for a checkpoint.
        fn weights(&self) -> Weights {
            self.parameters()
                .iter()
                .map(|p| (p.name.clone(), values(&p.tensor)))
                .collect()
        }

        /// Restores parameters from a checkpoint; ignores names that the loss does not have.
        fn restore(&mut self, weights: &Weights) {
            tch::no_grad(|| {
                for p in self.parameters() {
                    let mut t = p.tensor;
                    if let Some(Values { shape, data }) = weights.get(&p.name)
                        && shape.iter().map(|&s| s as i64).eq(t.size())
                    {
                        t.copy_(&Tensor::from_slice(data).reshape(t.size()));
                    }
                }
            });
        }
    }

    /// The loss of a batch that has nothing to learn from: zero, with zero gradient.
    pub(in crate::loss) fn zero(embeddings: &Tensor) -> Tensor {
        embeddings.sum(Kind::Float) * 0.0
    }
}

#[cfg(feature = "libtorch")]
pub(super) use tensors::zero;
