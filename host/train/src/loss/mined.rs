//! The triplets that a miner picks, as differentiable distances.

use crate::miner::{Batch, MinerSettings, Triplet};
use crate::torch::tensors::values;
use rand_chacha::ChaCha8Rng;
use std::cell::Cell;
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};

/// Classes and distances of T triplets of a batch.
pub(super) struct Mined {
    /// The anchors' classes, `[T] i64`.
    pub(super) classes: Tensor,
    /// From anchor to positive, `[T] f32`, Euclidean.
    pub(super) positive: Tensor,
    /// From anchor to negative, `[T] f32`, Euclidean.
    pub(super) negative: Tensor,
}

/// A miner and the time it took.
pub(super) struct Mining {
    miner: MinerSettings,
    spent: Cell<Duration>,
}

impl Mining {
    pub(super) fn new(miner: &MinerSettings) -> Self {
        Self {
            miner: miner.clone(),
            spent: Cell::new(Duration::ZERO),
        }
    }

    /// Since the last call.
    pub(super) fn take_time(&self) -> Duration {
        self.spent.take()
    }

    /// `None` if the miner picks nothing.
    ///
    /// # Shapes
    /// `embeddings` `[N, D] f32`, L2-normalised; `classes` `[N] i64`.
    pub(super) fn mine(
        &self,
        embeddings: &Tensor,
        classes: &Tensor,
        random: &mut ChaCha8Rng,
    ) -> Option<Mined> {
        let mut plain = vec![0i64; classes.numel()];
        classes
            .to_device(Device::Cpu)
            .copy_data(&mut plain, classes.numel());
        let dimension = embeddings.size()[1] as usize;
        let started = Instant::now();
        let distances = values(&all_distances(embeddings)).data;
        let batch = Batch {
            distances: &distances,
            classes: &plain,
            dimension,
        };
        let triplets = self.miner.triplets(&batch, random);
        self.spent.set(self.spent.get() + started.elapsed());
        (!triplets.is_empty()).then(|| picked(&triplets, embeddings, classes))
    }
}

fn picked(triplets: &[Triplet], embeddings: &Tensor, classes: &Tensor) -> Mined {
    let positions = |of: &dyn Fn(usize) -> usize| {
        let at: Vec<i64> = (0..triplets.len()).map(|t| of(t) as i64).collect();
        Tensor::from_slice(&at).to_device(embeddings.device())
    };
    let anchors = positions(&|t| triplets[t].anchor);
    let anchor = embeddings.index_select(0, &anchors);
    let distance_to = |positions: &Tensor| {
        let difference = &anchor - embeddings.index_select(0, positions);
        distance(&difference)
    };
    Mined {
        classes: classes.index_select(0, &anchors.to_device(classes.device())),
        positive: distance_to(&positions(&|t| triplets[t].positive)),
        negative: distance_to(&positions(&|t| triplets[t].negative)),
    }
}

/// For the miner: `[N, N]`, without a gradient.
fn all_distances(embeddings: &Tensor) -> Tensor {
    let e = embeddings.detach();
    (e.matmul(&e.tr()) * -2.0 + 2.0).clamp_min(0.0).sqrt()
}

/// Lengths `[T]` of differences `[T, D]`. Not `√(2 - 2 cos)`, whose rounding error is as large as a
/// distance of 3e-4 and whose gradient there is noise. Where two photos coincide, the root has no
/// gradient; here it is zero.
fn distance(difference: &Tensor) -> Tensor {
    difference
        .square()
        .sum_dim_intlist([1i64].as_slice(), false, Kind::Float)
        .clamp_min(1e-12)
        .sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::tests_support::{circle, rng};
    use crate::miner::Hard;

    #[test]
    fn distances_of_the_picked() {
        // Anchors at 0° and 60° have each other and, at 120° and 60° from them, another whale: chords 2 sin(θ/2).
        let e = circle(&[0.0, 60.0, 120.0]).set_requires_grad(true);
        let mining = Mining::new(&MinerSettings::Hard(Hard {}));
        let classes = Tensor::from_slice(&[5i64, 5, 1]);
        let mined = mining.mine(&e, &classes, &mut rng()).unwrap();
        let plain = |t: &Tensor| -> Vec<f32> { Vec::try_from(t).unwrap() };
        assert_eq!(Vec::<i64>::try_from(&mined.classes).unwrap(), [5, 5]);
        for (got, expected) in plain(&mined.positive)
            .iter()
            .chain(&plain(&mined.negative))
            .zip([1.0, 1.0, 3f32.sqrt(), 1.0])
        {
            assert!((got - expected).abs() < 1e-6, "{got} {expected}");
        }
    }

    #[test]
    fn coinciding_points_have_no_gradient_and_near_points_a_true_one() {
        // A difference of 1e-4 along x has the gradient (1, 0).
        let difference = Tensor::from_slice(&[0.0f32, 0.0, 1e-4, 0.0])
            .view([2, 2])
            .set_requires_grad(true);
        distance(&difference).sum(Kind::Float).backward();
        let gradient: Vec<f32> = Vec::try_from(difference.grad().flatten(0, 1)).unwrap();
        assert_eq!((gradient[0], gradient[1], gradient[3]), (0.0, 0.0, 0.0));
        assert!((gradient[2] - 1.0).abs() < 1e-4, "{}", gradient[2]);
    }
}
