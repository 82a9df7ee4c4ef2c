//! Proxy-anchor (Kim, Kim, Cho and Kwak, *Proxy Anchor Loss for Deep Metric Learning*, CVPR 2020).
//!
//! Each proxy is an anchor, and the photos of the batch are its positives and negatives, harder ones
//! with more weight: `1/|P⁺| Σ_{p ∈ P⁺} ln(1 + Σ_{x of p} e^{-α (cos(x, p) - δ)}) +
//! 1/|P| Σ_{p ∈ P} ln(1 + Σ_{x not of p} e^{α (cos(x, p) + δ)})`, P⁺ the proxies with a photo in the
//! batch, P all proxies. The parameter `centres` is `[classes, D]`.
//!
//! The paper's α = 32 and δ = 0.1 work widely, with batches of a hundred photos or more and a learning
//! rate for the proxies 100 times the backbone's. The sums are computed as logarithms: in plain
//! exponentials, as in the authors' code, α above 80 overflows.

use super::kind::LossKind;
#[cfg(feature = "libtorch")]
use super::{
    centres::Centres,
    kind::{Classes, Loss},
};
use crate::about::{About, InvalidSetting, require, require_scale, settings};

settings! {
    /// Settings of proxy-anchor.
    ProxyAnchorSettings {
        scale: f64 = 32.0, "a, the paper's alpha";
        margin: f64 = 0.1, "m, the paper's delta, a cosine";
    }
}

const ABOUT: About = About {
    kind: "proxy-anchor",
    formula: "mean_{p in batch} ln(1 + sum_{x of p} e^{-a (cos(x,p) - m)}) + mean_{all p} ln(1 + sum_{x not of p} e^{a (cos(x,p) + m)})",
    source: "Kim et al., Proxy Anchor Loss for Deep Metric Learning, CVPR 2020",
    settings: ProxyAnchorSettings::MEANINGS,
};

impl LossKind for ProxyAnchorSettings {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn needs_pairs(&self) -> bool {
        false
    }

    fn check(&self) -> Result<(), InvalidSetting> {
        require_scale("scale", self.scale)?;
        require(
            (0.0..=1.0).contains(&self.margin),
            "margin",
            "0 to 1",
            self.margin,
        )
    }

    #[cfg(feature = "libtorch")]
    fn build(&self, classes: &Classes<'_>) -> Box<dyn Loss> {
        Box::new(forward::ProxyAnchor::new(self, Centres::new(classes, 1)))
    }
}

#[cfg(feature = "libtorch")]
mod forward {
    use super::ProxyAnchorSettings;
    use crate::loss::centres::Centres;
    use crate::loss::kind::{Loss, LossParameter, zero};
    use crate::loss::pairs::log_sum;
    use rand_chacha::ChaCha8Rng;
    use tch::{Kind, Tensor};

    pub(super) struct ProxyAnchor {
        proxies: Centres,
        scale: f64,
        margin: f64,
    }

    impl ProxyAnchor {
        pub(super) fn new(settings: &ProxyAnchorSettings, proxies: Centres) -> Self {
            Self {
                proxies,
                scale: settings.scale,
                margin: settings.margin,
            }
        }
    }

    impl Loss for ProxyAnchor {
        fn loss(&self, embeddings: &Tensor, classes: &Tensor, _: &mut ChaCha8Rng) -> Tensor {
            if classes.numel() == 0 {
                return zero(embeddings);
            }
            // A row for each proxy, a column for each photo.
            let cosines = self.proxies.cosines(embeddings).tr();
            let all = Tensor::arange(self.proxies.classes(), (Kind::Int64, classes.device()));
            let own = all.unsqueeze(1).eq_tensor(&classes.unsqueeze(0));
            let pull = log_sum(&((&cosines - self.margin) * -self.scale), &own).softplus();
            let push =
                log_sum(&((&cosines + self.margin) * self.scale), &own.logical_not()).softplus();
            let present = own.any_dim(1, false).sum(Kind::Float);
            pull.sum(Kind::Float) / present + push.mean(Kind::Float)
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
            check_gradient, check_parameters, circle, dot, rng, rows, scattered, unit,
        };
        use crate::torch::tensors::normalise;

        fn proxy_anchor(proxies: Centres, scale: f64, margin: f64) -> ProxyAnchor {
            ProxyAnchor::new(&ProxyAnchorSettings { scale, margin }, proxies)
        }

        #[test]
        fn a_number_worked_by_hand() {
            // Proxies at 0° and 90°; one photo of whale 0 at 60° (cosines 1/2 and √3/2), α = 2, δ = 0.1.
            let loss = proxy_anchor(Centres::given(&[3.0, 0.0, 0.0, 0.2], 2, 1), 2.0, 0.1);
            let got = loss
                .loss(&circle(&[60.0]), &Tensor::from_slice(&[0i64]), &mut rng())
                .double_value(&[]);
            // One proxy has a positive: ln(1 + e^{-2 (0.5 - 0.1)}) / 1. Of two, the second has a negative: ln(1 + e^{2 (0.866 + 0.1)}) / 2.
            let expected = (1.0 + (-0.8f64).exp()).ln()
                + (1.0 + (2.0 * (3f64.sqrt() / 2.0 + 0.1)).exp()).ln() / 2.0;
            assert!((got - expected).abs() < 1e-5, "{got} {expected}");
        }

        #[test]
        fn the_same_in_plain_loops() {
            let (e, proxies) = (normalise(&scattered(7, 4, 1)), scattered(5, 4, 2));
            let labels = [0i64, 0, 3, 1, 3, 3, 0];
            let (x, p) = (rows(&e), unit(rows(&proxies)));
            let (mut pull, mut push, mut present) = (0.0, 0.0, 0.0);
            for (class, proxy) in p.iter().enumerate() {
                let (mut own, mut others) = (0.0, 0.0);
                for (photo, label) in x.iter().zip(labels) {
                    let cosine = dot(photo, proxy);
                    if label == class as i64 {
                        own += (-16.0 * (cosine - 0.1)).exp();
                    } else {
                        others += (16.0 * (cosine + 0.1)).exp();
                    }
                }
                if own > 0.0 {
                    pull += (1.0f64 + own).ln();
                    present += 1.0;
                }
                push += (1.0f64 + others).ln();
            }
            let expected = pull / present + push / 5.0;
            let flat: Vec<f32> = Vec::try_from(proxies.flatten(0, 1)).unwrap();
            let got = proxy_anchor(Centres::given(&flat, 4, 1), 16.0, 0.1)
                .loss(&e, &Tensor::from_slice(&labels), &mut rng())
                .double_value(&[]);
            assert!((got - expected).abs() < 1e-4 * expected, "{got} {expected}");
        }

        #[test]
        fn a_large_scale_does_not_overflow() {
            let loss = proxy_anchor(Centres::given(&[1.0, 0.0, 0.0, 1.0], 2, 1), 500.0, 0.1);
            let e = circle(&[90.0, 90.0]).set_requires_grad(true);
            let got = loss.loss(&e, &Tensor::from_slice(&[0i64, 0]), &mut rng());
            got.backward();
            assert!(got.double_value(&[]).is_finite());
            assert!(e.grad().isfinite().all().int64_value(&[]) == 1);
        }

        #[test]
        fn the_gradient_matches_differences_also_of_the_proxies() {
            let e = scattered(4, 3, 3);
            let classes = Tensor::from_slice(&[0i64, 2, 2, 0]);
            let proxies = [0.9, 0.1, -0.3, 0.2, 0.8, 0.5, -0.4, 0.3, 0.7];
            let loss = proxy_anchor(Centres::given(&proxies, 3, 1), 4.0, 0.1);
            check_gradient(&e, |e| loss.loss(e, &classes, &mut rng()));
            check_parameters(&loss, &e, &classes);
        }
    }
}
