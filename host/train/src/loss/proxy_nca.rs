//! Proxy-NCA (Movshovitz-Attias et al., *No Fuss Distance Metric Learning using Proxies*, ICCV 2017)
//! and ProxyNCA++ (Teh, DeVries and Taylor, ECCV 2020).
//!
//! With one proxy `p_j` per class, and `d` the Euclidean distance of unit vectors:
//! `-ln( e^{-d(x, p_y)² / T} / Σ_j e^{-d(x, p_j)² / T} )`, averaged over the batch. In the first paper
//! the sum excludes the positive proxy and T = 1: the quotient is not a probability, and the loss falls
//! below zero and keeps pushing. Many implementations of it include the positive proxy; ProxyNCA++ does
//! so deliberately, with T = 1/9, and performs better. Both are available by setting. The parameter
//! `centres` is `[classes, D]`.
//!
//! The proxies need a learning rate far above the backbone's (`optimiser.loss_lr`), or they lag behind.

use super::kind::LossKind;
#[cfg(feature = "libtorch")]
use super::{
    centres::Centres,
    kind::{Classes, Loss},
};
use crate::about::{About, InvalidSetting, require, settings};

settings! {
    /// Settings of proxy-NCA.
    ProxyNcaSettings {
        temperature: f64 = 0.11, "T; 1 in the first paper, 1/9 in the second";
        include_positive_proxy: bool = true, "the sum includes the positive proxy (ProxyNCA++); false is the first paper's loss, which may fall below 0";
    }
}

const ABOUT: About = About {
    kind: "proxy-nca",
    formula: "-ln( e^{-d(x, p_y)^2 / T} / sum_j e^{-d(x, p_j)^2 / T} ), j over all proxies or all but y",
    source: "Movshovitz-Attias et al., ICCV 2017; ProxyNCA++, Teh et al., ECCV 2020",
    settings: ProxyNcaSettings::MEANINGS,
};

impl LossKind for ProxyNcaSettings {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn needs_pairs(&self) -> bool {
        false
    }

    fn check(&self) -> Result<(), InvalidSetting> {
        require(
            (0.001..=100.0).contains(&self.temperature),
            "temperature",
            "0.001 to 100",
            self.temperature,
        )
    }

    #[cfg(feature = "libtorch")]
    fn build(&self, classes: &Classes<'_>) -> Box<dyn Loss> {
        Box::new(forward::ProxyNca::new(self, Centres::new(classes, 1)))
    }
}

#[cfg(feature = "libtorch")]
mod forward {
    use super::ProxyNcaSettings;
    use crate::loss::centres::Centres;
    use crate::loss::kind::{Loss, LossParameter, zero};
    use rand_chacha::ChaCha8Rng;
    use tch::{Kind, Reduction, Tensor};

    pub(super) struct ProxyNca {
        proxies: Centres,
        temperature: f64,
        include_positive_proxy: bool,
    }

    impl ProxyNca {
        pub(super) fn new(settings: &ProxyNcaSettings, proxies: Centres) -> Self {
            Self {
                proxies,
                temperature: settings.temperature,
                include_positive_proxy: settings.include_positive_proxy,
            }
        }
    }

    impl Loss for ProxyNca {
        fn loss(&self, embeddings: &Tensor, classes: &Tensor, _: &mut ChaCha8Rng) -> Tensor {
            if classes.numel() == 0 || self.proxies.classes() < 2 {
                return zero(embeddings);
            }
            // -d² = 2 cos - 2.
            let logits = (self.proxies.cosines(embeddings) - 1.0) * (2.0 / self.temperature);
            if self.include_positive_proxy {
                return logits.cross_entropy_loss(
                    classes,
                    None::<&Tensor>,
                    Reduction::Mean,
                    -100,
                    0.0,
                );
            }
            let own_at = classes.unsqueeze(1);
            let own = logits.gather(1, &own_at, false).squeeze_dim(1);
            let others = logits.scatter_value(1, &own_at, f64::NEG_INFINITY);
            (others.logsumexp([1i64].as_slice(), false) - own).mean(Kind::Float)
        }

        fn parameters(&self) -> Vec<LossParameter> {
            vec![self.proxies.parameter()]
        }

        fn init_centres(&mut self, means: &Tensor) {
            self.proxies.init_centres(means);
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::loss::tests_support::{
            check_gradient, check_parameters, circle, rng, scattered,
        };

        /// Proxies at 0°, 90° and 180°, of different lengths, which must not count.
        fn proxy_nca(temperature: f64, include_positive_proxy: bool) -> ProxyNca {
            let proxies = Centres::given(&[1.0, 0.0, 0.0, 0.3, -2.0, 0.0], 2, 1);
            ProxyNca::new(
                &ProxyNcaSettings {
                    temperature,
                    include_positive_proxy,
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
        fn the_gradient_matches_differences_also_of_the_proxies() {
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
            for include_positive_proxy in [false, true] {
                let settings = ProxyNcaSettings {
                    include_positive_proxy,
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
}
