//! The losses: settings, formula and computation of each in one file.
//!
//! Two families. Losses with centres or proxies ([`arcface`], [`softmax`], [`proxy_nca`],
//! [`proxy_anchor`]) compare each photo with one learned point (or a few) per whale: any batch will do,
//! one photo per whale is enough. Losses over pairs ([`triplet`], [`margin`], [`multi_similarity`],
//! [`n_pair`]) compare the photos of a batch with each other and need several of a whale in it.
//!
//! To add a loss: a file like the others, and a line in the registry below. What computes with tensors
//! requires the feature `libtorch`; settings and documentation do not, so that
//! `flukewatch losses` lists them in every build.

pub mod arcface;
mod kind;
pub mod margin;
pub mod multi_similarity;
pub mod n_pair;
pub mod proxy_anchor;
pub mod proxy_nca;
pub mod softmax;
pub mod triplet;

#[cfg(feature = "libtorch")]
mod centres;
#[cfg(feature = "libtorch")]
mod mined;
#[cfg(feature = "libtorch")]
mod pairs;
#[cfg(all(test, feature = "libtorch"))]
mod tests_support;

#[cfg(feature = "libtorch")]
pub(crate) use kind::{Classes, Loss};

use crate::about::{InvalidSetting, registry};
use kind::LossKind;

registry! {
    /// The loss, with its settings: `loss` of a recipe. Settings that a recipe leaves out keep their
    /// defaults: `loss = {kind = "margin"}` is enough.
    LossSettings of LossKind {
        Arcface(arcface::ArcFaceSettings),
        Softmax(softmax::SoftmaxSettings),
        ProxyNca(proxy_nca::ProxyNcaSettings),
        ProxyAnchor(proxy_anchor::ProxyAnchorSettings),
        Triplet(triplet::TripletSettings),
        Margin(margin::MarginSettings),
        MultiSimilarity(multi_similarity::MultiSimilaritySettings),
        NPair(n_pair::NPairSettings),
    }
}

impl LossSettings {
    /// Whether it compares photos of a batch with each other, so that the batch must hold several of a
    /// whale (sampler `pk`). The others compare photos with centres or proxies and take any batch.
    pub fn needs_pairs(&self) -> bool {
        self.kind().needs_pairs()
    }

    /// Checks that all settings are in range.
    ///
    /// # Errors
    /// Names the setting and its range.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        self.kind().check().map_err(|setting| setting.of("loss"))
    }

    #[cfg(feature = "libtorch")]
    pub(crate) fn build(&self, classes: &Classes<'_>) -> Box<dyn Loss> {
        self.kind().build(classes)
    }
}

#[cfg(test)]
mod tests {
    use super::arcface::ArcFaceSettings;
    use super::margin::MarginSettings;
    use super::*;
    use crate::miner::{MinerSettings, SemiHard};

    fn read(text: &str) -> Result<LossSettings, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_kind_alone_has_its_defaults() {
        for choice in LossSettings::all() {
            let kind = choice.about().kind;
            assert_eq!(read(&format!("kind = \"{kind}\"")).unwrap(), choice);
        }
    }

    #[test]
    fn settings_that_are_left_out_keep_their_defaults() {
        let choice =
            read("kind = \"margin\"\nalpha = 0.3\nbeta = 1.1\nlearn_beta = false").unwrap();
        assert_eq!(
            choice,
            LossSettings::Margin(MarginSettings {
                alpha: 0.3,
                beta: 1.1,
                learn_beta: false,
                ..MarginSettings::default()
            })
        );
        let choice = read("kind = \"arcface\"\nscale = 16.0\nmargin = 0.2").unwrap();
        assert_eq!(
            choice,
            LossSettings::Arcface(ArcFaceSettings {
                scale: 16.0,
                margin: 0.2,
                sub_centres: 1
            })
        );
        // A checkpoint keeps its recipe as JSON.
        let json = serde_json::to_string(&choice).unwrap();
        assert_eq!(serde_json::from_str::<LossSettings>(&json).unwrap(), choice);
    }

    #[test]
    fn a_miner_has_its_own_kind() {
        let choice =
            read("kind = \"triplet\"\nminer = {kind = \"semi-hard\", margin = 0.1}").unwrap();
        let LossSettings::Triplet(settings) = &choice else {
            panic!("{choice:?}")
        };
        assert_eq!(
            settings.miner,
            MinerSettings::SemiHard(SemiHard { margin: 0.1 })
        );
    }

    #[test]
    fn unknown_settings_are_rejected() {
        for choice in LossSettings::all() {
            let kind = choice.about().kind;
            let error = read(&format!("kind = \"{kind}\"\nscail = 3.0")).unwrap_err();
            assert!(error.message().contains("scail"), "{error}");
        }
    }

    #[test]
    fn values_out_of_range_are_rejected() {
        assert!(LossSettings::all().iter().all(|l| l.check().is_ok()));
        for (text, word) in [
            ("kind = \"arcface\"\nscale = 0.0", "loss.scale"),
            ("kind = \"arcface\"\nmargin = 30.0", "radians"),
            ("kind = \"arcface\"\nsub_centres = 0", "sub_centres"),
            ("kind = \"softmax\"\nscale = inf", "loss.scale"),
            ("kind = \"proxy-nca\"\ntemperature = 0.0", "temperature"),
            ("kind = \"proxy-anchor\"\nmargin = nan", "loss.margin"),
            ("kind = \"triplet\"\nmargin = -0.1", "loss.margin"),
            (
                "kind = \"triplet\"\nminer = {kind = \"semi-hard\", margin = 9.0}",
                "loss.miner.margin",
            ),
            ("kind = \"margin\"\nbeta = 2.5", "loss.beta"),
            ("kind = \"margin\"\nnu = -1.0", "loss.nu"),
            (
                "kind = \"margin\"\nlearn_beta = false\nnu = 1.0",
                "learn_beta",
            ),
            (
                "kind = \"margin\"\nlearn_beta = false\nper_class = true",
                "learn_beta",
            ),
            ("kind = \"multi-similarity\"\nalpha = -2.0", "loss.alpha"),
            (
                "kind = \"multi-similarity\"\nepsilon = -0.1",
                "loss.epsilon",
            ),
            ("kind = \"n-pair\"\nscale = 1e9", "loss.scale"),
        ] {
            let error = read(text).unwrap().check().unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}

#[cfg(all(test, feature = "libtorch"))]
mod tensor_tests {
    use super::arcface::ArcFaceSettings;
    use super::margin::MarginSettings;
    use super::tests_support::{circle, rng};
    use super::*;
    use tch::{Device, Kind, Tensor};

    fn built(settings: &LossSettings, seed: u64) -> Box<dyn Loss> {
        settings.build(&Classes {
            count: 3,
            dimension: 2,
            name: "loss.1",
            device: Device::Cpu,
            seed,
        })
    }

    #[test]
    fn empty_and_single_batches_have_a_loss_and_a_finite_gradient() {
        for choice in LossSettings::all() {
            let loss = built(&choice, 3);
            for photos in [0, 1] {
                let e = circle(&[50.0]).narrow(0, 0, photos).set_requires_grad(true);
                let classes = Tensor::from_slice(&[2i64]).narrow(0, 0, photos);
                let got = loss.loss(&e, &classes, &mut rng());
                got.backward();
                let value = got.double_value(&[]);
                let gradient = e.grad();
                assert!(
                    gradient.isfinite().all().int64_value(&[]) == 1,
                    "{choice:?}"
                );
                if photos == 0 || choice.needs_pairs() {
                    assert_eq!(value, 0.0, "{choice:?}");
                    assert_eq!(gradient.abs().sum(Kind::Float).double_value(&[]), 0.0);
                } else {
                    assert!(value.is_finite() && value > 0.0, "{choice:?}");
                }
            }
        }
    }

    #[test]
    fn identical_embeddings_have_a_finite_gradient() {
        for choice in LossSettings::all() {
            let loss = built(&choice, 3);
            let e = circle(&[50.0; 6]).set_requires_grad(true);
            let classes = Tensor::from_slice(&[0i64, 0, 1, 1, 2, 2]);
            let got = loss.loss(&e, &classes, &mut rng());
            got.backward();
            assert!(got.double_value(&[]).is_finite(), "{choice:?}");
            assert!(
                e.grad().isfinite().all().int64_value(&[]) == 1,
                "{choice:?}"
            );
            for parameter in loss.parameters() {
                let (name, gradient) = (parameter.name, parameter.tensor.grad());
                assert!(
                    !gradient.defined() || gradient.isfinite().all().int64_value(&[]) == 1,
                    "{choice:?} {name}"
                );
            }
        }
    }

    #[test]
    fn pair_losses_cost_nothing_without_a_pair() {
        for choice in LossSettings::all().iter().filter(|c| c.needs_pairs()) {
            for classes in [[0i64, 1, 2], [0, 0, 0]] {
                let e = circle(&[0.0, 60.0, 100.0]).set_requires_grad(true);
                let zero = built(choice, 3).loss(&e, &Tensor::from_slice(&classes), &mut rng());
                zero.backward();
                assert_eq!(zero.double_value(&[]), 0.0, "{choice:?}");
                let gradient = e.grad().abs().sum(Kind::Float).double_value(&[]);
                assert_eq!(gradient, 0.0, "{choice:?}");
            }
        }
    }

    #[test]
    fn parameters_bear_the_name_and_come_back_from_a_checkpoint() {
        let mut choices = LossSettings::all();
        choices.push(LossSettings::Arcface(ArcFaceSettings {
            sub_centres: 2,
            ..ArcFaceSettings::default()
        }));
        choices.push(LossSettings::Margin(MarginSettings {
            per_class: true,
            ..MarginSettings::default()
        }));
        for choice in choices {
            let (first, mut second) = (built(&choice, 3), built(&choice, 4));
            tch::no_grad(|| {
                for mut parameter in first.parameters() {
                    let _ = parameter.tensor.g_add_scalar_(0.25);
                }
            });
            let saved = first.weights();
            assert!(saved.keys().all(|n| n.starts_with("loss.1.")), "{choice:?}");
            assert!(saved.is_empty() || saved != second.weights(), "{choice:?}");
            second.restore(&saved);
            assert_eq!(saved, second.weights(), "{choice:?}");
        }
    }

    #[test]
    fn centres_init_centres_the_means() {
        let means = Tensor::from_slice(&[0.0f32, 3.0, 0.0, 0.0, -0.1, 0.0]).reshape([3, 2]);
        for choice in LossSettings::all() {
            let mut loss = built(&choice, 3);
            let before = loss.weights();
            loss.init_centres(&means);
            let after = loss.weights();
            let Some(centres) = after.get("loss.1.centres") else {
                assert_eq!(before, after, "{choice:?}");
                continue;
            };
            let was = &before["loss.1.centres"].data;
            let is = &centres.data;
            let length = |row: &[f32]| row[0].hypot(row[1]);
            // Class 0 points up, class 2 to the left, each with its previous length; class 1 has no
            // mean.
            assert!(is[0].abs() < 1e-6 && (is[1] - length(&was[..2])).abs() < 1e-6);
            assert_eq!(is[2..4], was[2..4]);
            assert!((is[4] + length(&was[4..])).abs() < 1e-6 && is[5].abs() < 1e-6);
        }
    }
}
