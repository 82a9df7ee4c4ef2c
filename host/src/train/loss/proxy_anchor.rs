//! Proxy-anchor (Kim, Kim, Cho and Kwak, *Proxy Anchor Loss for Deep Metric Learning*, CVPR 2020).
//!
//! Each proxy is an anchor, and the photos of the batch are its positives and negatives, harder ones with more weight:
//! `1/|P⁺| Σ_{p ∈ P⁺} ln(1 + Σ_{x of p} e^{-α (cos(x, p) - δ)}) + 1/|P| Σ_{p ∈ P} ln(1 + Σ_{x not of p} e^{α (cos(x, p) + δ)})`, P⁺ the
//! proxies with a photo in the batch, P all. `[N, D]` and `[N]` to a scalar; the parameter `centres` is `[classes, D]`.
//!
//! The paper's α = 32 and δ = 0.1 serve widely, with batches of a hundred photos or more and a rate for the proxies 100 times the
//! backbone's. The sums are taken by their logarithm: in plain exponentials, as in the authors' code, α above 80 overflows.

use super::centres::Centres;
use super::{Loss, nothing, pairs::log_sum};
use crate::train::recipe::loss::ProxyAnchorSettings;
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

/// The loss and its proxies.
pub struct ProxyAnchor {
    proxies: Centres,
    scale: f64,
    margin: f64,
}

impl ProxyAnchor {
    /// From a recipe's settings.
    pub fn new(settings: &ProxyAnchorSettings, proxies: Centres) -> Self {
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
            return nothing(embeddings);
        }
        // A row for each proxy, a column for each photo.
        let cosines = self.proxies.cosines(embeddings).tr();
        let all = Tensor::arange(self.proxies.classes(), (Kind::Int64, classes.device()));
        let own = all.unsqueeze(1).eq_tensor(&classes.unsqueeze(0));
        let pull = log_sum(&((&cosines - self.margin) * -self.scale), &own).softplus();
        let push = log_sum(&((&cosines + self.margin) * self.scale), &own.logical_not()).softplus();
        let present = own.any_dim(1, false).sum(Kind::Float);
        pull.sum(Kind::Float) / present + push.mean(Kind::Float)
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
    use super::super::tests_support::{
        check_gradient, check_parameters, circle, dot, rng, rows, scattered, unit,
    };
    use super::*;
    use crate::train::forward::normalise;

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
    fn the_gradient_is_the_slope_also_of_the_proxies() {
        let e = scattered(4, 3, 3);
        let classes = Tensor::from_slice(&[0i64, 2, 2, 0]);
        let proxies = [0.9, 0.1, -0.3, 0.2, 0.8, 0.5, -0.4, 0.3, 0.7];
        let loss = proxy_anchor(Centres::given(&proxies, 3, 1), 4.0, 0.1);
        check_gradient(&e, |e| loss.loss(e, &classes, &mut rng()));
        check_parameters(&loss, &e, &classes);
    }
}
