//! What is minimised: one loss a module.
//!
//! Two families. Losses with centres or proxies ([`arcface`], [`softmax`], [`proxy_nca`], [`proxy_anchor`]) compare each photo with
//! one point (or a few) a whale, which they learn: any batch will do, one photo a whale is enough. Losses over pairs ([`triplet`],
//! [`margin`], [`multi_similarity`], [`n_pair`]) compare the photos of a batch with each other, and need several of a whale in it.

pub mod arcface;
mod centres;
pub mod margin;
mod mined;
pub mod multi_similarity;
pub mod n_pair;
mod pairs;
pub mod proxy_anchor;
pub mod proxy_nca;
pub mod softmax;
#[cfg(test)]
mod tests_support;
pub mod triplet;

use super::recipe::LossChoice;
use crate::network::weights::{Values, Weights};
use std::time::Duration;
use tch::{Device, Kind, Tensor};

/// A loss over L2-normalised embeddings and classes.
pub trait Loss {
    /// `embeddings` `[N, D] f32`, L2-normalised; `classes` `[N] i64`. Returns a scalar; zero, with zero gradient, where the
    /// batch gives nothing to learn from. `random` draws what the loss draws, if it does.
    fn loss(
        &self,
        embeddings: &Tensor,
        classes: &Tensor,
        random: &mut rand_chacha::ChaCha8Rng,
    ) -> Tensor;

    /// The loss's own parameters, by name.
    fn parameters(&self) -> Vec<(String, Tensor)>;

    /// Starts class centres or proxies at the classes' means, where the loss has them: `means` `[classes, D] f32` of any length; a
    /// row of zeros is a class of which nothing is known and keeps its start from chance.
    fn start_at(&mut self, _means: &Tensor) {}

    /// The time that mining took since the last call, where the loss mines.
    fn take_mining_time(&self) -> Duration {
        Duration::ZERO
    }

    /// Those parameters as plain numbers, for a checkpoint.
    fn weights(&self) -> Weights {
        self.parameters()
            .iter()
            .map(|(n, t)| (n.clone(), super::forward::values(t)))
            .collect()
    }

    /// Takes parameters out of a checkpoint; names that the loss does not have are passed over.
    fn restore(&mut self, weights: &Weights) {
        tch::no_grad(|| {
            for (name, mut t) in self.parameters() {
                if let Some(Values { shape, data }) = weights.get(&name)
                    && shape.iter().map(|&s| s as i64).eq(t.size())
                {
                    t.copy_(&Tensor::from_slice(data).reshape(t.size()));
                }
            }
        });
    }
}

/// The loss that a recipe asks for, over `classes` classes and embeddings of `dimension` numbers. Its parameters are named
/// `{name}.centres` and so on; where they start from chance, it is drawn from `seed`.
pub fn build(
    choice: &LossChoice,
    classes: usize,
    dimension: usize,
    name: &str,
    device: Device,
    seed: u64,
) -> Box<dyn Loss> {
    let centres = |per_class| {
        centres::Centres::new(
            format!("{name}.centres"),
            classes,
            per_class,
            dimension,
            device,
            seed,
        )
    };
    match choice {
        LossChoice::Arcface(s) => Box::new(arcface::ArcFace::new(s, centres(s.sub_centres))),
        LossChoice::Softmax(s) => Box::new(softmax::Softmax::new(s, centres(1), name)),
        LossChoice::ProxyNca(s) => Box::new(proxy_nca::ProxyNca::new(s, centres(1))),
        LossChoice::ProxyAnchor(s) => Box::new(proxy_anchor::ProxyAnchor::new(s, centres(1))),
        LossChoice::Triplet(s) => Box::new(triplet::Triplet::new(s)),
        LossChoice::Margin(s) => Box::new(margin::Margin::new(s, classes, name, device)),
        LossChoice::MultiSimilarity(s) => {
            Box::new(multi_similarity::MultiSimilarity::new(s.clone()))
        }
        LossChoice::NPair(s) => Box::new(n_pair::NPair::new(s)),
    }
}

/// The loss of a batch that gives nothing to learn from: zero, and so is its gradient.
fn nothing(embeddings: &Tensor) -> Tensor {
    embeddings.sum(Kind::Float) * 0.0
}

#[cfg(test)]
mod tests {
    use super::tests_support::{circle, rng};
    use super::*;
    use crate::train::recipe::loss::{ArcFaceSettings, MarginSettings};

    fn built(choice: &LossChoice, seed: u64) -> Box<dyn Loss> {
        build(choice, 3, 2, "loss.1", Device::Cpu, seed)
    }

    #[test]
    fn empty_and_single_batches_have_a_loss_and_a_finite_gradient() {
        for choice in LossChoice::all() {
            let loss = built(&choice, 3);
            for photos in [0, 1] {
                let e = circle(&[50.0]).narrow(0, 0, photos).set_requires_grad(true);
                let classes = Tensor::from_slice(&[2i64]).narrow(0, 0, photos);
                let got = loss.loss(&e, &classes, &mut rng());
                got.backward();
                let value = got.double_value(&[]);
                let slope = e.grad();
                assert!(slope.isfinite().all().int64_value(&[]) == 1, "{choice:?}");
                if photos == 0 || choice.needs_pairs() {
                    assert_eq!(value, 0.0, "{choice:?}");
                    assert_eq!(slope.abs().sum(Kind::Float).double_value(&[]), 0.0);
                } else {
                    assert!(value.is_finite() && value > 0.0, "{choice:?}");
                }
            }
        }
    }

    #[test]
    fn identical_embeddings_have_a_finite_gradient() {
        for choice in LossChoice::all() {
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
            for (name, parameter) in loss.parameters() {
                let slope = parameter.grad();
                assert!(
                    !slope.defined() || slope.isfinite().all().int64_value(&[]) == 1,
                    "{choice:?} {name}"
                );
            }
        }
    }

    #[test]
    fn pair_losses_cost_nothing_without_a_pair() {
        for choice in LossChoice::all().iter().filter(|c| c.needs_pairs()) {
            for classes in [[0i64, 1, 2], [0, 0, 0]] {
                let e = circle(&[0.0, 60.0, 100.0]).set_requires_grad(true);
                let zero = built(choice, 3).loss(&e, &Tensor::from_slice(&classes), &mut rng());
                zero.backward();
                assert_eq!(zero.double_value(&[]), 0.0, "{choice:?}");
                let slope = e.grad().abs().sum(Kind::Float).double_value(&[]);
                assert_eq!(slope, 0.0, "{choice:?}");
            }
        }
    }

    #[test]
    fn parameters_bear_the_name_and_come_back_from_a_checkpoint() {
        let mut choices = LossChoice::all();
        choices.push(LossChoice::Arcface(ArcFaceSettings {
            sub_centres: 2,
            ..ArcFaceSettings::default()
        }));
        choices.push(LossChoice::Margin(MarginSettings {
            per_class: true,
            ..MarginSettings::default()
        }));
        for choice in choices {
            let (first, mut second) = (built(&choice, 3), built(&choice, 4));
            tch::no_grad(|| {
                for (_, mut t) in first.parameters() {
                    let _ = t.g_add_scalar_(0.25);
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
    fn centres_start_at_the_means() {
        let means = Tensor::from_slice(&[0.0f32, 3.0, 0.0, 0.0, -0.1, 0.0]).reshape([3, 2]);
        for choice in LossChoice::all() {
            let mut loss = built(&choice, 3);
            let before = loss.weights();
            loss.start_at(&means);
            let after = loss.weights();
            let Some(centres) = after.get("loss.1.centres") else {
                assert_eq!(before, after, "{choice:?}");
                continue;
            };
            let was = &before["loss.1.centres"].data;
            let is = &centres.data;
            let length = |row: &[f32]| row[0].hypot(row[1]);
            // Class 0 points up, class 2 to the left, each as long as before; of class 1 nothing is known.
            assert!(is[0].abs() < 1e-6 && (is[1] - length(&was[..2])).abs() < 1e-6);
            assert_eq!(is[2..4], was[2..4]);
            assert!((is[4] + length(&was[4..])).abs() < 1e-6 && is[5].abs() < 1e-6);
        }
    }
}
