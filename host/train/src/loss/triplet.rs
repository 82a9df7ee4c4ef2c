//! The triplet loss (Schroff, Kalenichenko and Philbin, *FaceNet*, CVPR 2015; on distances, and in its
//! logistic form, as in Hermans, Beyer and Leibe, *In Defense of the Triplet Loss*, 2017).
//!
//! For Euclidean distances of L2-normalised embeddings: `max(0, d_ap - d_an + m)`, averaged over the
//! triplets that cost anything, so that those already learned do not dilute the others; or, if soft,
//! `ln(1 + e^{d_ap - d_an + m})`, averaged over all. No parameters.
//!
//! m = 0.1 to 0.3 with the semi-hard miner of the same m is the usual start; the hard miner needs an
//! embedding that is half trained, or the soft form with m = 0. Distances are not squared: with squares
//! the gradient is proportional to the distance, and the nearest negatives, which need it most, are
//! hardly pushed.

use super::kind::LossKind;
#[cfg(feature = "libtorch")]
use super::kind::{Classes, Loss};
use crate::about::{About, InvalidSetting, require, settings};
use crate::miner::{MinerSettings, SemiHard};

settings! {
    /// Settings of the triplet loss.
    TripletSettings {
        margin: f64 = 0.2, "m, a distance";
        soft: bool = false, "the logistic form, which never stops pulling; the paper uses m = 0 with it";
        miner: MinerSettings = MinerSettings::SemiHard(SemiHard::default()), "which triplets of the batch";
    }
}

const ABOUT: About = About {
    kind: "triplet",
    formula: "max(0, d_ap - d_an + m), or ln(1 + e^{d_ap - d_an + m}) if soft, d the Euclidean distance",
    source: "Schroff et al., FaceNet, CVPR 2015; soft: Hermans et al., 2017",
    settings: TripletSettings::MEANINGS,
};

impl LossKind for TripletSettings {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn needs_pairs(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), InvalidSetting> {
        require(
            (0.0..=2.0).contains(&self.margin),
            "margin",
            "0 to 2 (unit vectors are no farther apart)",
            self.margin,
        )?;
        self.miner.check()
    }

    #[cfg(feature = "libtorch")]
    fn build(&self, _: &Classes<'_>) -> Box<dyn Loss> {
        Box::new(forward::Triplet::new(self))
    }
}

#[cfg(feature = "libtorch")]
mod forward {
    use super::TripletSettings;
    use crate::loss::kind::{Loss, zero};
    use crate::loss::mined::Mining;
    use rand_chacha::ChaCha8Rng;
    use std::time::Duration;
    use tch::{Kind, Tensor};

    pub(super) struct Triplet {
        margin: f64,
        soft: bool,
        mining: Mining,
    }

    impl Triplet {
        pub(super) fn new(settings: &TripletSettings) -> Self {
            Self {
                margin: settings.margin,
                soft: settings.soft,
                mining: Mining::new(&settings.miner),
            }
        }
    }

    impl Loss for Triplet {
        fn loss(&self, embeddings: &Tensor, classes: &Tensor, random: &mut ChaCha8Rng) -> Tensor {
            let Some(mined) = self.mining.mine(embeddings, classes, random) else {
                return zero(embeddings);
            };
            let lacking = mined.positive - mined.negative + self.margin;
            if self.soft {
                return lacking.softplus().mean(Kind::Float);
            }
            let cost = lacking.relu();
            let costly = cost.gt(0.0).sum(Kind::Float).clamp_min(1.0);
            cost.sum(Kind::Float) / costly
        }

        fn take_mining_time(&self) -> Duration {
            self.mining.take_time()
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::loss::tests_support::{check_gradient, circle, rng, scattered};
        use crate::miner::{Hard, MinerSettings};
        use crate::torch::tensors::normalise;

        fn hard(margin: f64, soft: bool) -> Triplet {
            Triplet::new(&TripletSettings {
                margin,
                soft,
                miner: MinerSettings::Hard(Hard {}),
            })
        }

        /// Photos of one whale at 0° and 60°, one of another at 100°. Chords: 60° is 1, 40° is 0.684, 100° is 1.532.
        fn batch() -> (Tensor, Tensor) {
            (
                circle(&[0.0, 60.0, 100.0]),
                Tensor::from_slice(&[0i64, 0, 1]),
            )
        }

        #[test]
        fn numbers_worked_by_hand() {
            let (e, classes) = batch();
            let value = |loss: &Triplet| loss.loss(&e, &classes, &mut rng()).double_value(&[]);
            let chord = |degrees: f64| 2.0 * (degrees.to_radians() / 2.0).sin();
            // m = 0.2. From 0°: 1 - 1.532 + 0.2 < 0, costs nothing. From 60°: 1 - 0.684 + 0.2 = 0.516, the only one that costs.
            let expected = 1.0 - chord(40.0) + 0.2;
            assert!((value(&hard(0.2, false)) - expected).abs() < 1e-5);
            // Soft, m = 0: (ln(1 + e^{1 - 1.532}) + ln(1 + e^{1 - 0.684})) / 2.
            let soft = |x: f64| (1.0 + x.exp()).ln();
            let expected = (soft(1.0 - chord(100.0)) + soft(1.0 - chord(40.0))) / 2.0;
            assert!((value(&hard(0.0, true)) - expected).abs() < 1e-5);
        }

        #[test]
        fn what_is_learned_costs_zero() {
            let e = circle(&[0.0, 1.0, 180.0]).set_requires_grad(true);
            let classes = Tensor::from_slice(&[0i64, 0, 1]);
            let zero = hard(0.2, false).loss(&e, &classes, &mut rng());
            zero.backward();
            assert_eq!(zero.double_value(&[]), 0.0);
            assert_eq!(e.grad().abs().sum(Kind::Float).double_value(&[]), 0.0);
        }

        #[test]
        fn the_gradient_matches_differences() {
            let classes = Tensor::from_slice(&[0i64, 0, 1, 1, 2]);
            for soft in [false, true] {
                check_gradient(&scattered(5, 3, 2), |e| {
                    hard(0.5, soft).loss(e, &classes, &mut rng())
                });
            }
        }

        #[test]
        fn the_same_in_plain_loops() {
            let e = normalise(&scattered(9, 4, 6));
            let labels = [0i64, 0, 0, 1, 1, 1, 2, 2, 3];
            let rows = crate::loss::tests_support::rows(&e);
            let d = |i: usize, j: usize| -> f64 {
                let square = rows[i].iter().zip(&rows[j]).map(|(x, y)| (x - y).powi(2));
                square.sum::<f64>().sqrt()
            };
            let (mut sum, mut costly) = (0.0, 0.0);
            for a in 0..9 {
                let (mut far, mut near) = (f64::NEG_INFINITY, f64::INFINITY);
                for i in (0..9).filter(|&i| i != a) {
                    if labels[i] == labels[a] {
                        far = far.max(d(a, i));
                    } else {
                        near = near.min(d(a, i));
                    }
                }
                let cost = far - near + 0.3;
                if cost > 0.0 {
                    sum += cost;
                    costly += 1.0;
                }
            }
            let got = hard(0.3, false)
                .loss(&e, &Tensor::from_slice(&labels), &mut rng())
                .double_value(&[]);
            assert!(costly > 2.0 && (got - sum / costly).abs() < 1e-5, "{got}");
        }
    }
}
