//! ArcFace (Deng et al., CVPR 2019): softmax over the cosines to one centre a class, with a margin on the angle to the own one.
//!
//! `L = -log( e^{s cos(θ_y + m)} / (e^{s cos(θ_y + m)} + Σ_{j≠y} e^{s cos θ_j}) )`, averaged over the batch. Where `θ_y + m`
//! would pass π, the cosine is continued as `cos θ_y - m sin m`, as in the authors' code, so that it keeps falling.

use super::Loss;
use crate::network::weights::Values;
use crate::train::forward::tensor;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Reduction, Tensor};

/// The loss and its class centres `[classes, D]`.
pub struct ArcFace {
    centres: Tensor,
    scale: f64,
    margin: f64,
}

impl ArcFace {
    /// `scale` is s, `margin` is m in radians; centres start in random directions drawn from `seed`.
    pub fn new(
        classes: usize,
        dimension: usize,
        scale: f64,
        margin: f64,
        device: Device,
        seed: u64,
    ) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0xA2C_FACE);
        let data = (0..classes * dimension)
            .map(|_| rng.random_range(-0.1..0.1f32))
            .collect();
        let centres = tensor(
            &Values {
                shape: vec![classes, dimension],
                data,
            },
            device,
        )
        .set_requires_grad(true);
        Self {
            centres,
            scale,
            margin,
        }
    }
}

impl Loss for ArcFace {
    fn loss(&self, embeddings: &Tensor, classes: &Tensor, _: &mut ChaCha8Rng) -> Tensor {
        if classes.numel() == 0 {
            return embeddings.sum(Kind::Float) * 0.0;
        }
        let norm = self
            .centres
            .norm_scalaropt_dim(2.0, [1i64], true)
            .clamp_min(1e-12);
        let cosines = embeddings
            .matmul(&(&self.centres / norm).tr())
            .clamp(-1.0, 1.0);
        let own_at = classes.unsqueeze(1);
        let own = cosines.gather(1, &own_at, false);
        let (sin_m, cos_m) = self.margin.sin_cos();
        // The square root has no finite slope at 0, where an embedding meets its centre.
        let sine = (own.square().neg() + 1.0).clamp_min(1e-7).sqrt();
        let turned = &own * cos_m - sine * sin_m;
        let continued = &own - self.margin * sin_m;
        let with_margin = turned.where_self(&own.gt(-cos_m), &continued);
        let logits = cosines.scatter(1, &own_at, &with_margin) * self.scale;
        logits.cross_entropy_loss(classes, None::<&Tensor>, Reduction::Mean, -100, 0.0)
    }

    fn parameters(&self) -> Vec<(String, Tensor)> {
        vec![("loss.centres".into(), self.centres.shallow_clone())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::loss::tests_support::{check_gradient, rng};

    fn with_centres(centres: &[f32], dimension: i64, scale: f64, margin: f64) -> ArcFace {
        let centres = Tensor::from_slice(centres)
            .reshape([-1, dimension])
            .set_requires_grad(true);
        ArcFace {
            centres,
            scale,
            margin,
        }
    }

    #[test]
    fn a_number_worked_by_hand() {
        // One embedding at 60° from its own centre and 30° from the other: cos(60° + m), s = 2, m = 30°.
        let loss = with_centres(&[1.0, 0.0, 0.0, 1.0], 2, 2.0, 30f64.to_radians());
        let (sin, cos) = 60f32.to_radians().sin_cos();
        let e = Tensor::from_slice(&[cos, sin]).reshape([1, 2]);
        let got = loss
            .loss(&e, &Tensor::from_slice(&[0i64]), &mut rng())
            .double_value(&[]);
        let (own, other) = (
            90f64.to_radians().cos() * 2.0,
            30f64.to_radians().cos() * 2.0,
        );
        let expected = -(own.exp() / (own.exp() + other.exp())).ln();
        assert!((got - expected).abs() < 1e-5, "{got} {expected}");
    }

    #[test]
    fn past_a_half_turn_the_cosine_keeps_falling() {
        let loss = with_centres(&[1.0, 0.0, 0.0, 1.0], 2, 4.0, 0.5);
        let at = |degrees: f32| {
            let (sin, cos) = degrees.to_radians().sin_cos();
            let e = Tensor::from_slice(&[cos, sin]).reshape([1, 2]);
            loss.loss(&e, &Tensor::from_slice(&[0i64]), &mut rng())
                .double_value(&[])
        };
        assert!(at(-179.0) > at(-170.0) && at(-170.0) > at(-155.0));
    }

    #[test]
    fn the_gradient_is_the_slope() {
        let loss = with_centres(
            &[0.9, 0.1, -0.3, 0.2, 0.8, 0.5, -0.4, 0.3, 0.7],
            3,
            8.0,
            0.3,
        );
        let e = Tensor::from_slice(&[0.2f32, 0.5, -0.4, 0.7, -0.1, 0.6]).reshape([2, 3]);
        check_gradient(&e, |e| {
            loss.loss(e, &Tensor::from_slice(&[0i64, 2]), &mut rng())
        });
    }

    #[test]
    fn an_embedding_at_its_centre_has_a_finite_gradient() {
        let loss = with_centres(&[1.0, 0.0, 0.0, 1.0], 2, 32.0, 0.3);
        let e = Tensor::from_slice(&[1.0f32, 0.0])
            .reshape([1, 2])
            .set_requires_grad(true);
        loss.loss(&e, &Tensor::from_slice(&[0i64]), &mut rng())
            .backward();
        assert!(e.grad().isfinite().all().int64_value(&[]) == 1);
    }

    #[test]
    fn an_empty_batch_costs_nothing() {
        let loss = with_centres(&[1.0, 0.0], 2, 32.0, 0.3);
        let e = Tensor::zeros([0, 2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let zero = loss.loss(&e, &Tensor::from_slice::<i64>(&[]), &mut rng());
        zero.backward();
        assert_eq!(zero.double_value(&[]), 0.0);
    }
}
