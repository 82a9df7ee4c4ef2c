//! The N-pair loss (Sohn, *Improved Deep Metric Learning with Multi-class N-pair Loss Objective*,
//! NIPS 2016).
//!
//! Each pair (a, p) of one whale is compared with all other whales at once:
//! `ln(1 + Σ_n e^{s (cos_an - cos_ap)})`, averaged over the pairs. The paper takes one pair per class and
//! the other classes' positives as negatives; here every pair and every photo of another whale is used.
//! No parameters.
//!
//! The paper keeps the length of the embeddings and penalises it; ours have length 1, and s takes its
//! place: 10 to 20, more where the batch is small.

use super::kind::LossKind;
#[cfg(feature = "libtorch")]
use super::kind::{Classes, Loss};
use crate::about::{About, InvalidSetting, require_scale, settings};

settings! {
    /// Settings of the N-pair loss.
    NPairSettings {
        scale: f64 = 16.0, "s, which the paper leaves to the embeddings' length";
    }
}

const ABOUT: About = About {
    kind: "n-pair",
    formula: "ln(1 + sum_n e^{s (cos_an - cos_ap)}), n over every photo of another whale in the batch",
    source: "Sohn, Improved Deep Metric Learning with Multi-class N-pair Loss Objective, NIPS 2016",
    settings: NPairSettings::MEANINGS,
};

impl LossKind for NPairSettings {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn needs_pairs(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), InvalidSetting> {
        require_scale("scale", self.scale)
    }

    #[cfg(feature = "libtorch")]
    fn build(&self, _: &Classes<'_>) -> Box<dyn Loss> {
        Box::new(forward::NPair::new(self))
    }
}

#[cfg(feature = "libtorch")]
mod forward {
    use super::NPairSettings;
    use crate::loss::kind::{Loss, zero};
    use crate::loss::pairs::{log_sum, masks};
    use rand_chacha::ChaCha8Rng;
    use tch::{Kind, Tensor};

    pub(super) struct NPair {
        scale: f64,
    }

    impl NPair {
        pub(super) fn new(settings: &NPairSettings) -> Self {
            Self {
                scale: settings.scale,
            }
        }
    }

    impl Loss for NPair {
        fn loss(&self, embeddings: &Tensor, classes: &Tensor, _: &mut ChaCha8Rng) -> Tensor {
            if classes.numel() < 2 {
                return zero(embeddings);
            }
            let scaled = embeddings.matmul(&embeddings.tr()) * self.scale;
            let (positive, negative) = masks(classes);
            let others = log_sum(&scaled, &negative).unsqueeze(1);
            let pairs = positive.logical_and(&negative.any_dim(1, true));
            let cost = (others - scaled).softplus() * pairs.to_kind(Kind::Float);
            cost.sum(Kind::Float) / pairs.sum(Kind::Float).clamp_min(1.0)
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::loss::tests_support::{check_gradient, circle, dot, rng, rows, scattered};
        use crate::torch::tensors::normalise;

        fn n_pair(scale: f64) -> NPair {
            NPair::new(&NPairSettings { scale })
        }

        #[test]
        fn a_number_worked_by_hand() {
            // One whale at 0° and 60°, others at 90° and 180°, s = 2: from 0° cosines 0.5, 0, -1; from 60° 0.5, 0.866, -0.5.
            let got = n_pair(2.0)
                .loss(
                    &circle(&[0.0, 60.0, 90.0, 180.0]),
                    &Tensor::from_slice(&[0i64, 0, 1, 2]),
                    &mut rng(),
                )
                .double_value(&[]);
            let term = |cosine: f64| (2.0 * (cosine - 0.5)).exp();
            let expected = ((1.0 + term(0.0) + term(-1.0)).ln()
                + (1.0 + term(3f64.sqrt() / 2.0) + term(-0.5)).ln())
                / 2.0;
            assert!((got - expected).abs() < 1e-5, "{got} {expected}");
        }

        #[test]
        fn the_same_in_plain_loops() {
            let e = normalise(&scattered(9, 4, 5));
            let labels = [0i64, 0, 0, 1, 1, 2, 2, 2, 3];
            let x = rows(&e);
            let (mut sum, mut pairs) = (0.0, 0.0);
            for a in 0..9 {
                for p in (0..9).filter(|&p| p != a && labels[p] == labels[a]) {
                    let others: f64 = (0..9)
                        .filter(|&n| labels[n] != labels[a])
                        .map(|n| (16.0 * (dot(&x[a], &x[n]) - dot(&x[a], &x[p]))).exp())
                        .sum();
                    sum += (1.0 + others).ln();
                    pairs += 1.0;
                }
            }
            let got = n_pair(16.0)
                .loss(&e, &Tensor::from_slice(&labels), &mut rng())
                .double_value(&[]);
            let expected: f64 = sum / pairs;
            assert!((got - expected).abs() < 1e-4 * expected, "{got} {expected}");
        }

        #[test]
        fn the_gradient_matches_differences() {
            let classes = Tensor::from_slice(&[0i64, 0, 1, 1, 2]);
            check_gradient(&scattered(5, 3, 2), |e| {
                n_pair(4.0).loss(e, &classes, &mut rng())
            });
        }
    }
}
