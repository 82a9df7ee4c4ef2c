//! The margin loss (Wu, Manmatha, Smola and Krähenbühl, *Sampling Matters in Deep Embedding Learning*,
//! ICCV 2017).
//!
//! For Euclidean distances `d` of L2-normalised embeddings: a pair of one whale costs
//! `max(0, α + d - β)`, a pair of two whales `max(0, α - d + β)`; the sum over the mined triplets (each
//! has one pair of either kind) is divided by the number of pairs that cost anything. β is that of the
//! anchor's class if each has its own, and `ν` times its mean over the triplets is added: the paper's
//! `ν Σ β`, but as a mean, so that ν does not depend on the batch. The parameter `beta` is `[1]` or, per
//! class, `[classes]`.
//!
//! α = 0.2, β = 1.2 and the distance-weighted miner are the paper's; a learned β finds its own value,
//! provided it is really passed to the optimiser, which some implementations forget. ν = 0 unless β
//! diverges. One β per class helps with many photos per whale, hardly with two or three.

use super::kind::LossKind;
#[cfg(feature = "libtorch")]
use super::kind::{Classes, Loss};
use crate::about::{About, InvalidSetting, require, settings};
use crate::miner::{DistanceWeighted, MinerSettings};

settings! {
    /// Settings of the margin loss.
    MarginSettings {
        alpha: f64 = 0.2, "the required separation, a distance";
        beta: f64 = 1.2, "the boundary between same and other, a distance";
        learn_beta: bool = true, "whether beta is learned, from that initial value";
        per_class: bool = false, "whether each whale has its own beta";
        nu: f64 = 0.0, "weight of beta itself in the loss";
        miner: MinerSettings = MinerSettings::DistanceWeighted(DistanceWeighted {}), "which triplets of the batch";
    }
}

const ABOUT: About = About {
    kind: "margin",
    formula: "max(0, alpha + d_ap - beta) + max(0, alpha + beta - d_an) + nu beta, d the Euclidean distance",
    source: "Wu et al., Sampling Matters in Deep Embedding Learning, ICCV 2017",
    settings: MarginSettings::MEANINGS,
};

impl LossKind for MarginSettings {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn needs_pairs(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), InvalidSetting> {
        require(
            (0.0..=2.0).contains(&self.alpha),
            "alpha",
            "0 to 2",
            self.alpha,
        )?;
        require(
            self.beta > 0.0 && self.beta < 2.0,
            "beta",
            "between 0 and 2 (unit vectors are no farther apart)",
            self.beta,
        )?;
        require(self.nu >= 0.0, "nu", "0 or more", self.nu)?;
        if !self.learn_beta && self.per_class {
            return Err(InvalidSetting::new(
                "per_class",
                self.per_class,
                "false, or learn_beta = true: each whale has a beta to learn",
            ));
        }
        if !self.learn_beta && self.nu > 0.0 {
            return Err(InvalidSetting::new(
                "nu",
                self.nu,
                "0, or learn_beta = true: it is the weight of a learned beta",
            ));
        }
        self.miner.check()
    }

    #[cfg(feature = "libtorch")]
    fn build(&self, classes: &Classes<'_>) -> Box<dyn Loss> {
        Box::new(forward::Margin::new(self, classes))
    }
}

#[cfg(feature = "libtorch")]
mod forward {
    use super::MarginSettings;
    use crate::loss::kind::{Classes, Loss, LossParameter, zero};
    use crate::loss::mined::Mining;
    use flukewatch_network::Role;
    use rand_chacha::ChaCha8Rng;
    use std::time::Duration;
    use tch::{Kind, Tensor};

    pub(super) struct Margin {
        name: String,
        alpha: f64,
        nu: f64,
        per_class: bool,
        beta: Tensor,
        mining: Mining,
    }

    impl Margin {
        pub(super) fn new(settings: &MarginSettings, classes: &Classes<'_>) -> Self {
            let count = if settings.per_class { classes.count } else { 1 };
            Self {
                name: format!("{}.beta", classes.name),
                alpha: settings.alpha,
                nu: settings.nu,
                per_class: settings.per_class,
                beta: Tensor::from_slice(&vec![settings.beta as f32; count])
                    .to_device(classes.device)
                    .set_requires_grad(settings.learn_beta),
                mining: Mining::new(&settings.miner),
            }
        }
    }

    impl Loss for Margin {
        fn loss(&self, embeddings: &Tensor, classes: &Tensor, random: &mut ChaCha8Rng) -> Tensor {
            let Some(mined) = self.mining.mine(embeddings, classes, random) else {
                return zero(embeddings);
            };
            let beta = if self.per_class {
                self.beta.index_select(0, &mined.classes)
            } else {
                self.beta.expand_as(&mined.positive)
            };
            let pull = (mined.positive - &beta + self.alpha).relu();
            let push = (&beta - mined.negative + self.alpha).relu();
            let costly =
                (pull.gt(0.0).sum(Kind::Float) + push.gt(0.0).sum(Kind::Float)).clamp_min(1.0);
            let cost = (pull.sum(Kind::Float) + push.sum(Kind::Float)) / costly;
            if self.nu == 0.0 {
                cost
            } else {
                cost + beta.mean(Kind::Float) * self.nu
            }
        }

        fn take_mining_time(&self) -> Duration {
            self.mining.take_time()
        }

        fn parameters(&self) -> Vec<LossParameter> {
            if self.beta.requires_grad() {
                vec![LossParameter {
                    name: self.name.clone(),
                    tensor: self.beta.shallow_clone(),
                    role: Role::Scale,
                }]
            } else {
                vec![]
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::loss::tests_support::{check_gradient, check_parameters, circle, rng};
        use crate::miner::{Hard, MinerSettings};
        use tch::Device;

        fn margin(settings: MarginSettings) -> Margin {
            let classes = Classes {
                count: 3,
                dimension: 3,
                name: "loss",
                device: Device::Cpu,
                seed: 1,
            };
            Margin::new(&settings, &classes)
        }

        fn chord(degrees: f64) -> f64 {
            2.0 * (degrees.to_radians() / 2.0).sin()
        }

        #[test]
        fn a_number_worked_by_hand() {
            // Two photos of one whale 60° apart (d = 1), one of another 40° beyond the second (d = 0.684).
            let loss = margin(MarginSettings {
                beta: 1.1,
                ..MarginSettings::default()
            });
            let got = loss
                .loss(
                    &circle(&[0.0, 60.0, 100.0]),
                    &Tensor::from_slice(&[0i64, 0, 1]),
                    &mut rng(),
                )
                .double_value(&[]);
            // From 0°, the other whale is beyond 1.4 (1.532): no triple. From 60°: pull 0.2 + 1 - 1.1, push 0.2 - d + 1.1.
            let expected = ((0.2 + 1.0 - 1.1) + (0.2 - chord(40.0) + 1.1)) / 2.0;
            assert!((got - expected).abs() < 1e-5, "{got} {expected}");
        }

        #[test]
        fn a_boundary_for_each_class_and_its_price_by_hand() {
            let loss = margin(MarginSettings {
                per_class: true,
                nu: 0.5,
                miner: MinerSettings::Hard(Hard {}),
                ..MarginSettings::default()
            });
            assert_eq!(loss.beta.size(), [3]);
            tch::no_grad(|| {
                let _ = loss.beta.get(0).fill_(0.9);
                let _ = loss.beta.get(2).fill_(0.7);
            });
            // Whale 0 at 0° and 60°, whale 2 at 100° and 150°: triplets (0°, 60°, 100°), (60°, 0°, 100°), (100°, 150°, 60°),
            // (150°, 100°, 60°).
            let e = circle(&[0.0, 60.0, 100.0, 150.0]);
            let got = loss
                .loss(&e, &Tensor::from_slice(&[0i64, 0, 2, 2]), &mut rng())
                .double_value(&[]);
            // Pull: 0.2 + 1 - 0.9 twice, 0.2 + 0.845 - 0.7 twice. Push: 0.9 + 0.2 - 1.532 < 0, 0.9 + 0.2 - 0.684, 0.7 + 0.2 - 0.684,
            // 0.7 + 0.2 - 1.414 < 0. Six pairs cost; the price of β is 0.5 · (0.9 + 0.9 + 0.7 + 0.7) / 4 = 0.4.
            let pull = 2.0 * (0.2 + 1.0 - 0.9) + 2.0 * (0.2 + chord(50.0) - 0.7);
            let push = (1.1 - chord(40.0)) + (0.9 - chord(40.0));
            let expected = (pull + push) / 6.0 + 0.4;
            assert!((got - expected).abs() < 1e-5, "{got} {expected}");
        }

        #[test]
        fn beta_is_a_parameter_only_if_learned() {
            assert_eq!(margin(MarginSettings::default()).parameters().len(), 1);
            let fixed = margin(MarginSettings {
                learn_beta: false,
                ..MarginSettings::default()
            });
            assert!(fixed.parameters().is_empty());
        }

        #[test]
        fn the_gradient_matches_differences_also_of_beta() {
            // Every anchor's nearest negative is nearer than α + β = 1.5, only whale 2's photos are farther apart than β - α = 0.9.
            let e = [
                [1.0f32, 0.1, 0.0],
                [0.9, 0.3, 0.2],
                [-0.2, 1.0, 0.1],
                [0.3, 0.8, -0.6],
                [0.0, -0.5, 1.0],
                [-0.7, 0.2, 0.6],
            ];
            let e = Tensor::from_slice(&e.concat()).reshape([6, 3]);
            let classes = Tensor::from_slice(&[0i64, 0, 1, 1, 2, 2]);
            for (per_class, nu) in [(false, 0.0), (true, 0.0), (true, 0.3)] {
                let loss = margin(MarginSettings {
                    alpha: 0.3,
                    per_class,
                    nu,
                    miner: MinerSettings::Hard(Hard {}),
                    ..MarginSettings::default()
                });
                check_gradient(&e, |e| loss.loss(e, &classes, &mut rng()));
                check_parameters(&loss, &e, &classes);
            }
        }
    }
}
