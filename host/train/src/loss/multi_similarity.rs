//! The multi-similarity loss with its own mining (Wang et al., *Multi-Similarity Loss with General Pair
//! Weighting for Deep Metric Learning*, CVPR 2019).
//!
//! With cosines `S`, an anchor keeps the negatives with `S_an > min_p S_ap - ε` and the positives with
//! `S_ap < max_n S_an + ε`, and costs
//! `1/α ln(1 + Σ_p e^{-α (S_ap - λ)}) + 1/β ln(1 + Σ_n e^{β (S_an - λ)})` over those; the sum is divided
//! by N. An anchor without a positive or without a negative costs nothing. No parameters.
//!
//! α = 2, β = 50, λ = 0.5, ε = 0.1: the authors' code has λ = 0.5 (and β = 40), where the paper's text
//! has λ = 1. Their code recognises the anchor itself by a cosine near 1, and so drops near-copies of
//! it, which are the best positives; here it is recognised by its position.

use super::kind::LossKind;
#[cfg(feature = "libtorch")]
use super::kind::{Classes, Loss};
use crate::about::{About, InvalidSetting, require, require_scale, settings};

settings! {
    /// Settings of the multi-similarity loss.
    MultiSimilaritySettings {
        alpha: f64 = 2.0, "weight of positives' similarity";
        beta: f64 = 50.0, "weight of negatives' similarity";
        lambda: f64 = 0.5, "the cosine between same and other";
        epsilon: f64 = 0.1, "how much easier than the hardest opposite a pair may be, a cosine";
    }
}

const ABOUT: About = About {
    kind: "multi-similarity",
    formula: "ln(1 + sum_p e^{-alpha (S_ap - lambda)}) / alpha + ln(1 + sum_n e^{beta (S_an - lambda)}) / beta, over pairs with S_an > min S_ap - epsilon, S_ap < max S_an + epsilon",
    source: "Wang et al., Multi-Similarity Loss with General Pair Weighting, CVPR 2019",
    settings: MultiSimilaritySettings::MEANINGS,
};

impl LossKind for MultiSimilaritySettings {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn needs_pairs(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), InvalidSetting> {
        require_scale("alpha", self.alpha)?;
        require_scale("beta", self.beta)?;
        require(
            (-1.0..=1.0).contains(&self.lambda),
            "lambda",
            "-1 to 1",
            self.lambda,
        )?;
        require(
            (0.0..=2.0).contains(&self.epsilon),
            "epsilon",
            "0 to 2",
            self.epsilon,
        )
    }

    #[cfg(feature = "libtorch")]
    fn build(&self, _: &Classes<'_>) -> Box<dyn Loss> {
        Box::new(forward::MultiSimilarity::new(self.clone()))
    }
}

#[cfg(feature = "libtorch")]
mod forward {
    use super::MultiSimilaritySettings;
    use crate::loss::kind::{Loss, zero};
    use crate::loss::pairs::{log_sum, masks};
    use rand_chacha::ChaCha8Rng;
    use tch::{Kind, Tensor};

    pub(super) struct MultiSimilarity {
        settings: MultiSimilaritySettings,
    }

    impl MultiSimilarity {
        pub(super) fn new(settings: MultiSimilaritySettings) -> Self {
            Self { settings }
        }
    }

    impl Loss for MultiSimilarity {
        fn loss(&self, embeddings: &Tensor, classes: &Tensor, _: &mut ChaCha8Rng) -> Tensor {
            if classes.numel() < 2 {
                return zero(embeddings);
            }
            let s = &self.settings;
            let cosines = embeddings.matmul(&embeddings.tr());
            let (positive, negative) = masks(classes);
            let plain = cosines.detach();
            let of_each = [1i64].as_slice();
            // Infinite where there is none, so that the anchor keeps nothing of the other kind either.
            let least_positive = plain
                .masked_fill(&positive.logical_not(), f64::INFINITY)
                .amin(of_each, true);
            let most_negative = plain
                .masked_fill(&negative.logical_not(), f64::NEG_INFINITY)
                .amax(of_each, true);
            let kept_negative =
                negative.logical_and(&plain.gt_tensor(&(least_positive - s.epsilon)));
            let kept_positive =
                positive.logical_and(&plain.lt_tensor(&(most_negative + s.epsilon)));
            let pull = log_sum(&((&cosines - s.lambda) * -s.alpha), &kept_positive).softplus();
            let push = log_sum(&((&cosines - s.lambda) * s.beta), &kept_negative).softplus();
            (pull / s.alpha + push / s.beta).mean(Kind::Float)
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::loss::tests_support::{check_gradient, circle, dot, rng, rows, scattered};
        use crate::torch::tensors::normalise;

        fn multi_similarity(beta: f64, epsilon: f64) -> MultiSimilarity {
            MultiSimilarity::new(MultiSimilaritySettings {
                beta,
                epsilon,
                ..MultiSimilaritySettings::default()
            })
        }

        #[test]
        fn a_number_worked_by_hand() {
            // One whale at 0° and 60°, another at 90°, a third at 180°. α = 2, β = 10, λ = 0.5, ε = 0.1.
            // Anchor 0°: positive cos 60° = 0.5; negatives cos 90° = 0 and -1, neither above 0.4: nothing kept, nor is the positive, as
            // 0.5 is not below 0 + 0.1. Anchor 60°: positive 0.5 < cos 30° + 0.1 is kept, the negative 0.866 > 0.4 too, cos 120° = -0.5
            // not. The others have no positive. N = 4.
            let e = circle(&[0.0, 60.0, 90.0, 180.0]);
            let got = multi_similarity(10.0, 0.1)
                .loss(&e, &Tensor::from_slice(&[0i64, 0, 1, 2]), &mut rng())
                .double_value(&[]);
            let pull = (1.0 + 0f64.exp()).ln() / 2.0;
            let push = (1.0 + (10.0 * (3f64.sqrt() / 2.0 - 0.5)).exp()).ln() / 10.0;
            let expected = (pull + push) / 4.0;
            assert!((got - expected).abs() < 1e-5, "{got} {expected}");
        }

        #[test]
        fn a_copy_is_a_positive() {
            // Two equal photos (cosine 1) with a negative as near: ln(1 + e^{-2 · 0.5}) / 2 each for the pull, and for the push
            // ln(1 + e^{10 · 0.5}) / 10; the lone third has no positive.
            let e = circle(&[0.0, 0.0, 0.0]);
            let got = multi_similarity(10.0, 0.1)
                .loss(&e, &Tensor::from_slice(&[0i64, 0, 1]), &mut rng())
                .double_value(&[]);
            let each = (1.0 + (-1f64).exp()).ln() / 2.0 + (1.0 + 5f64.exp()).ln() / 10.0;
            assert!((got - 2.0 * each / 3.0).abs() < 1e-5, "{got}");
        }

        #[test]
        fn the_same_in_plain_loops() {
            let e = normalise(&scattered(10, 3, 8));
            let labels = [0i64, 0, 0, 1, 1, 1, 2, 2, 2, 3];
            let x = rows(&e);
            let mut sum = 0.0;
            for a in 0..10 {
                let of = |same: bool| -> Vec<f64> {
                    (0..10)
                        .filter(|&i| i != a && (labels[i] == labels[a]) == same)
                        .map(|i| dot(&x[a], &x[i]))
                        .collect()
                };
                let (positive, negative) = (of(true), of(false));
                let least = positive.iter().copied().fold(f64::INFINITY, f64::min);
                let most = negative.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let pull: f64 = positive
                    .iter()
                    .filter(|s| **s < most + 0.1)
                    .map(|s| (-2.0 * (s - 0.5)).exp())
                    .sum();
                let push: f64 = negative
                    .iter()
                    .filter(|s| **s > least - 0.1)
                    .map(|s| (50.0 * (s - 0.5)).exp())
                    .sum();
                sum += (1.0 + pull).ln() / 2.0 + (1.0 + push).ln() / 50.0;
            }
            let got = multi_similarity(50.0, 0.1)
                .loss(&e, &Tensor::from_slice(&labels), &mut rng())
                .double_value(&[]);
            assert!((got - sum / 10.0).abs() < 1e-5, "{got} {}", sum / 10.0);
        }

        #[test]
        fn the_gradient_matches_differences() {
            let classes = Tensor::from_slice(&[0i64, 0, 1, 1, 2]);
            check_gradient(&scattered(5, 3, 2), |e| {
                multi_similarity(10.0, 0.3).loss(e, &classes, &mut rng())
            });
        }
    }
}
