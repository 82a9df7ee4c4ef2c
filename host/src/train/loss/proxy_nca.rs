//! Proxy-NCA (Movshovitz-Attias et al., *No Fuss Distance Metric Learning using Proxies*, ICCV 2017) and ProxyNCA++ (Teh, DeVries
//! and Taylor, ECCV 2020).
//!
//! With one proxy `p_j` a class, and `d` the Euclidean distance of unit vectors: `-ln( e^{-d(x, p_y)² / T} / Σ_j e^{-d(x, p_j)² / T} )`,
//! averaged over the batch. In the first paper the sum leaves the own proxy out and T = 1: the quotient is no probability, and the
//! loss falls below zero and goes on pushing. Many codes that bear the first paper's name put the own proxy in; ProxyNCA++ does it
//! on purpose, with T = 1/9, and is better for it. Both are here, by their setting. `[N, D]` and `[N]` to a scalar; the parameter
//! `centres` is `[classes, D]`.
//!
//! The proxies want a rate far above the backbone's (`optimiser.loss_rate`), or they lag behind it.

use super::centres::Centres;
use super::{Loss, nothing};
use crate::train::recipe::loss::ProxyNcaSettings;
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Reduction, Tensor};

/// The loss and its proxies.
pub struct ProxyNca {
    proxies: Centres,
    temperature: f64,
    own_in_sum: bool,
}

impl ProxyNca {
    /// From a recipe's settings.
    pub fn new(settings: &ProxyNcaSettings, proxies: Centres) -> Self {
        Self {
            proxies,
            temperature: settings.temperature,
            own_in_sum: settings.own_in_sum,
        }
    }
}

impl Loss for ProxyNca {
    fn loss(&self, embeddings: &Tensor, classes: &Tensor, _: &mut ChaCha8Rng) -> Tensor {
        if classes.numel() == 0 || self.proxies.classes() < 2 {
            return nothing(embeddings);
        }
        // -d² = 2 cos - 2.
        let logits = (self.proxies.cosines(embeddings) - 1.0) * (2.0 / self.temperature);
        if self.own_in_sum {
            return logits.cross_entropy_loss(classes, None::<&Tensor>, Reduction::Mean, -100, 0.0);
        }
        let own_at = classes.unsqueeze(1);
        let own = logits.gather(1, &own_at, false).squeeze_dim(1);
        let others = logits.scatter_value(1, &own_at, f64::NEG_INFINITY);
        (others.logsumexp([1i64].as_slice(), false) - own).mean(Kind::Float)
    }

    fn parameters(&self) -> Vec<(String, Tensor)> {
        vec![self.proxies.parameter()]
    }

    fn start_at(&mut self, means: &Tensor) {
        self.proxies.start_at(means);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests_support::{check_gradient, check_parameters, circle, rng, scattered};
    use super::*;

    /// Proxies at 0°, 90° and 180°, of different lengths, which must not count.
    fn proxy_nca(temperature: f64, own_in_sum: bool) -> ProxyNca {
        let proxies = Centres::given(&[1.0, 0.0, 0.0, 0.3, -2.0, 0.0], 2, 1);
        ProxyNca::new(
            &ProxyNcaSettings {
                temperature,
                own_in_sum,
            },
            proxies,
        )
    }

    #[test]
    fn numbers_worked_by_hand() {
        // A photo of whale 0 at 60°: d² = 2 - 2 cos is 1 to 0°, 2 - √3 = 0.268 to 90°, 3 to 180°.
        let (e, classes) = (circle(&[60.0]), Tensor::from_slice(&[0i64]));
        let value = |t, own| {
            proxy_nca(t, own)
                .loss(&e, &classes, &mut rng())
                .double_value(&[])
        };
        let term = |square: f64, t: f64| (-square / t).exp();
        let near = 2.0 - 3f64.sqrt();
        let expected = -(term(1.0, 1.0) / (term(near, 1.0) + term(3.0, 1.0))).ln();
        assert!((value(1.0, false) - expected).abs() < 1e-5);
        let (own, others) = (term(1.0, 0.25), term(near, 0.25) + term(3.0, 0.25));
        let expected = -(own / (own + others)).ln();
        assert!((value(0.25, true) - expected).abs() < 1e-5);
    }

    #[test]
    fn only_the_first_papers_loss_falls_below_zero() {
        // At its own proxy, the other at 180°: e^{-0} / e^{-4} without the own one, 1 / (1 + e^{-4} + ...) with it.
        let (e, classes) = (circle(&[180.0]), Tensor::from_slice(&[2i64]));
        let value = |own| {
            proxy_nca(1.0, own)
                .loss(&e, &classes, &mut rng())
                .double_value(&[])
        };
        assert!(value(false) < 0.0 && value(true) > 0.0);
    }

    #[test]
    fn the_gradient_is_the_slope_also_of_the_proxies() {
        let e = scattered(4, 2, 3);
        let classes = Tensor::from_slice(&[0i64, 2, 1, 0]);
        for own in [false, true] {
            let loss = proxy_nca(0.5, own);
            check_gradient(&e, |e| loss.loss(e, &classes, &mut rng()));
            check_parameters(&loss, &e, &classes);
        }
    }

    #[test]
    fn a_single_class_costs_nothing() {
        for own_in_sum in [false, true] {
            let settings = ProxyNcaSettings {
                own_in_sum,
                ..ProxyNcaSettings::default()
            };
            let loss = ProxyNca::new(&settings, Centres::given(&[1.0, 0.0], 2, 1));
            let e = circle(&[60.0]).set_requires_grad(true);
            let zero = loss.loss(&e, &Tensor::from_slice(&[0i64]), &mut rng());
            zero.backward();
            assert_eq!(zero.double_value(&[]), 0.0);
        }
    }
}
