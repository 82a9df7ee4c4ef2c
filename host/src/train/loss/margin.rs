//! The margin loss with distance-weighted sampling (Wu et al., *Sampling Matters in Deep Embedding Learning*, ICCV 2017).
//!
//! For distances `d = ‖a - b‖` of L2-normalised embeddings: a pair of one whale costs `max(0, α + d - β)`, a pair of two whales
//! `max(0, α - d + β)`; the sum is divided by the number of pairs that cost anything. Each pair of one whale brings one other
//! whale's photo for its anchor, drawn with weight `1 / q(d)`, where `q` is the density of distances on the sphere:
//! `ln w = (2 - n) ln d - (n - 3)/2 ln(1 - d²/4)`, d clamped to 0.5 below, nothing drawn beyond 1.4.

use super::Loss;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor};

const NEAREST: f64 = 0.5;
const FARTHEST: f64 = 1.4;

/// The loss and its boundary.
pub struct Margin {
    alpha: f64,
    beta: Tensor,
}

impl Margin {
    /// `beta` is a parameter of the optimiser if `learn_beta`.
    pub fn new(alpha: f64, beta: f64, learn_beta: bool, device: Device) -> Self {
        let beta = Tensor::from_slice(&[beta as f32])
            .to_device(device)
            .set_requires_grad(learn_beta);
        Self { alpha, beta }
    }
}

/// Distances of all pairs, `[N, N]`, with a finite slope at 0.
fn distances(embeddings: &Tensor) -> Tensor {
    let cosines = embeddings.matmul(&embeddings.tr());
    (cosines * -2.0 + 2.0).clamp_min(1e-8).sqrt()
}

/// For each pair of one whale (anchor, positive) one negative for the anchor; anchors without a candidate give no triple.
pub fn distance_weighted(
    distances: &[f32],
    classes: &[i64],
    dimension: usize,
    random: &mut ChaCha8Rng,
) -> Vec<(i64, i64, i64)> {
    let count = classes.len();
    let n = dimension as f64;
    let mut triples = vec![];
    for anchor in 0..count {
        let row = &distances[anchor * count..(anchor + 1) * count];
        let logs: Vec<f64> = (0..count)
            .map(|i| {
                let d = f64::from(row[i]).max(NEAREST);
                if classes[i] == classes[anchor] || d >= FARTHEST {
                    f64::NEG_INFINITY
                } else {
                    (2.0 - n) * d.ln() - (n - 3.0) / 2.0 * (1.0 - d * d / 4.0).ln()
                }
            })
            .collect();
        let peak = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if peak == f64::NEG_INFINITY {
            continue;
        }
        let weights: Vec<f64> = logs.iter().map(|l| (l - peak).exp()).collect();
        let total: f64 = weights.iter().sum();
        for positive in (0..count).filter(|&p| p != anchor && classes[p] == classes[anchor]) {
            let mut left = random.random::<f64>() * total;
            let drawn = weights.iter().position(|w| {
                left -= w;
                left < 0.0
            });
            // Rounding may leave a hair's breadth: then the last candidate.
            if let Some(negative) = drawn.or_else(|| weights.iter().rposition(|w| *w > 0.0)) {
                triples.push((anchor as i64, positive as i64, negative as i64));
            }
        }
    }
    triples
}

impl Loss for Margin {
    fn loss(&self, embeddings: &Tensor, classes: &Tensor, random: &mut ChaCha8Rng) -> Tensor {
        let nothing = || embeddings.sum(Kind::Float) * 0.0 + self.beta.sum(Kind::Float) * 0.0;
        if classes.numel() < 2 {
            return nothing();
        }
        let distances = distances(embeddings);
        let plain = super::super::forward::values(&distances).data;
        let mut labels = vec![0i64; classes.numel()];
        classes
            .to_device(Device::Cpu)
            .copy_data(&mut labels, classes.numel());
        let triples = distance_weighted(&plain, &labels, embeddings.size()[1] as usize, random);
        if triples.is_empty() {
            return nothing();
        }
        let count = labels.len() as i64;
        let pick = |at: Vec<i64>| {
            distances
                .flatten(0, 1)
                .index_select(0, &Tensor::from_slice(&at).to_device(distances.device()))
        };
        let positive = pick(triples.iter().map(|t| t.0 * count + t.1).collect());
        let negative = pick(triples.iter().map(|t| t.0 * count + t.2).collect());
        let pull = (positive - &self.beta + self.alpha).relu();
        let push = (&self.beta - negative + self.alpha).relu();
        let costly = (pull.gt(0.0).sum(Kind::Float) + push.gt(0.0).sum(Kind::Float)).clamp_min(1.0);
        (pull.sum(Kind::Float) + push.sum(Kind::Float)) / costly
    }

    fn parameters(&self) -> Vec<(String, Tensor)> {
        if self.beta.requires_grad() {
            vec![("loss.beta".into(), self.beta.shallow_clone())]
        } else {
            vec![]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::loss::tests_support::{check_gradient, rng};

    /// Points on the circle, by their angle in degrees.
    fn circle(angles: &[f32]) -> Tensor {
        let xy: Vec<f32> = angles
            .iter()
            .flat_map(|a| [a.to_radians().cos(), a.to_radians().sin()])
            .collect();
        Tensor::from_slice(&xy).reshape([-1, 2])
    }

    #[test]
    fn a_number_worked_by_hand() {
        // Two photos of one whale 60° apart (d = 1), one of another 40° beyond the second.
        let e = circle(&[0.0, 60.0, 100.0]);
        let loss = Margin::new(0.2, 1.1, false, Device::Cpu);
        let got = loss
            .loss(&e, &Tensor::from_slice(&[0i64, 0, 1]), &mut rng())
            .double_value(&[]);
        let chord = |degrees: f64| 2.0 * (degrees.to_radians() / 2.0).sin();
        // From 0°, the other whale is beyond 1.4 (1.532): no triple. From 60°: pull 0.2 + 1 - 1.1, push 0.2 - d + 1.1.
        assert!(chord(100.0) > FARTHEST);
        let expected = ((0.2 + 1.0 - 1.1) + (0.2 - chord(40.0) + 1.1)) / 2.0;
        assert!((got - expected).abs() < 1e-5, "{got} {expected}");
    }

    #[test]
    fn near_negatives_in_high_dimension_are_drawn_most() {
        // n = 128, d = 0.6 against d = 1.3: ln w = 126 * ln(1.3/0.6) + 62.5 * ln((1 - 0.4225)/(1 - 0.09)) apart.
        let row = [0.0, 0.9, 0.6, 1.3];
        let distances: Vec<f32> = (0..4).flat_map(|_| row).collect();
        let mut random = rng();
        let drawn: Vec<_> = (0..50)
            .flat_map(|_| distance_weighted(&distances, &[0, 0, 1, 2], 128, &mut random))
            .collect();
        assert!(drawn.iter().filter(|t| t.0 == 0).all(|t| t.2 == 2));
    }

    #[test]
    fn a_batch_without_a_pair_costs_nothing() {
        let loss = Margin::new(0.2, 1.2, true, Device::Cpu);
        for classes in [[0i64, 1, 2], [0, 0, 0]] {
            let e = circle(&[0.0, 60.0, 100.0]).set_requires_grad(true);
            let zero = loss.loss(&e, &Tensor::from_slice(&classes), &mut rng());
            zero.backward();
            assert_eq!(zero.double_value(&[]), 0.0);
            assert_eq!(e.grad().abs().sum(Kind::Float).double_value(&[]), 0.0);
        }
    }

    #[test]
    fn the_gradient_is_the_slope_also_of_beta() {
        let e =
            Tensor::from_slice(&[0.2f32, 0.5, -0.4, 0.7, -0.1, 0.6, 0.3, 0.3, 0.4]).reshape([3, 3]);
        let loss = Margin::new(0.3, 0.9, true, Device::Cpu);
        check_gradient(&e, |e| {
            loss.loss(e, &Tensor::from_slice(&[0i64, 0, 1]), &mut rng())
        });
        let e = crate::train::run::normalise(&e);
        let loss = Margin::new(0.3, 0.9, true, Device::Cpu);
        loss.loss(&e, &Tensor::from_slice(&[0i64, 0, 1]), &mut rng())
            .backward();
        let slope = loss.beta.grad().double_value(&[0]);
        assert!(slope.is_finite());
        let at = |beta| {
            let loss = Margin::new(0.3, beta, false, Device::Cpu);
            loss.loss(&e, &Tensor::from_slice(&[0i64, 0, 1]), &mut rng())
                .double_value(&[])
        };
        assert!(((at(0.901) - at(0.899)) / 0.002 - slope).abs() < 1e-2);
    }
}
