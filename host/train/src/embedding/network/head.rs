//! The embedding layer in K slices with separate parameters, so that a learner can train its slice only.

use super::fake_quantise::{self, FakeQuantise, Ranges};
use crate::torch::tensors::{normalise, values};
use flukewatch_network::weights::{Values, Weights};
use flukewatch_network::{HEAD, Network, NodeId, Op, Parameter, Role};
use std::collections::BTreeMap;
use tch::Tensor;

/// A part of the embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmbeddingPart {
    /// One learner's slice, `[N, D / K]`, of length 1.
    Learner(usize),
    /// All of it, `[N, D]`, of length 1.
    Whole,
    /// The slices, each of length 1, concatenated and divided by √K: `[N, D]`, whose dot products are the
    /// mean cosine of the slices.
    Slices,
}

/// A parameter that is trained.
pub(in crate::embedding) struct TrainedParameter {
    pub(in crate::embedding) parameter: Parameter,
    /// The slice of the embedding that it belongs to; `None` for what all learners share.
    pub(in crate::embedding) slice: Option<usize>,
    pub(in crate::embedding) tensor: Tensor,
}

/// A linear layer cut into slices of its outputs.
pub(super) struct SlicedHead {
    name: String,
    input: NodeId,
    /// `[D / K, F]` and `[D / K]`, for each slice.
    slices: Vec<(Tensor, Tensor)>,
}

const PARTS: [&str; 2] = ["weight", "bias"];

impl SlicedHead {
    /// Removes the last layer's tensors from `tensors` and splits them.
    pub(super) fn take(
        network: &Network,
        tensors: &mut BTreeMap<String, Tensor>,
        learners: usize,
    ) -> Self {
        let last = network.nodes.last().expect("a network has nodes");
        let (name, input) = match &last.op {
            Op::Linear { name, .. } => (name.clone(), last.inputs[0]),
            other => unreachable!("a network ends with its embedding layer, not {other:?}"),
        };
        let mut split = |part: &str| -> Vec<Tensor> {
            let whole = tensors
                .remove(&format!("{name}.{part}"))
                .expect("every parameter of the network has a tensor");
            let trained = whole.requires_grad();
            whole
                .chunk(learners as i64, 0)
                .into_iter()
                .map(|slice| slice.detach().copy().set_requires_grad(trained))
                .collect()
        };
        let (weights, biases) = (split("weight"), split("bias"));
        Self {
            slices: weights.into_iter().zip(biases).collect(),
            name,
            input,
        }
    }

    /// Features `[N, F]` to embeddings.
    pub(super) fn embed(
        &self,
        features: &Tensor,
        part: EmbeddingPart,
        quantise: Option<(&FakeQuantise, Ranges)>,
    ) -> Tensor {
        let features = match quantise {
            Some((quantise, ranges)) => quantise.activation(features, self.input, ranges),
            None => features.shallow_clone(),
        };
        let slice = |(weight, bias): &(Tensor, Tensor)| match quantise {
            Some(_) => features.linear(&fake_quantise::weight(weight), Some(bias)),
            None => features.linear(weight, Some(bias)),
        };
        let all = || -> Vec<Tensor> { self.slices.iter().map(slice).collect() };
        match part {
            EmbeddingPart::Learner(k) => normalise(&slice(&self.slices[k])),
            EmbeddingPart::Whole => normalise(&Tensor::cat(&all(), 1)),
            EmbeddingPart::Slices => {
                let slices: Vec<Tensor> = all().iter().map(normalise).collect();
                Tensor::cat(&slices, 1) / (self.slices.len() as f64).sqrt()
            }
        }
    }

    pub(super) fn trained(&self) -> Vec<TrainedParameter> {
        let mut all = vec![];
        for (k, (weight, bias)) in self.slices.iter().enumerate() {
            for (part, tensor) in PARTS.into_iter().zip([weight, bias]) {
                if !tensor.requires_grad() {
                    continue;
                }
                let role = if part == "weight" {
                    Role::Weight
                } else {
                    Role::Scale
                };
                let shape = tensor.size().iter().map(|&s| s as usize).collect();
                all.push(TrainedParameter {
                    parameter: Parameter {
                        name: self.slice_name(part, k),
                        shape,
                        role,
                        block: HEAD,
                    },
                    slice: Some(k),
                    tensor: tensor.shallow_clone(),
                });
            }
        }
        all
    }

    pub(super) fn tensors(&self) -> Vec<(String, Tensor)> {
        let mut all = vec![];
        for (k, (weight, bias)) in self.slices.iter().enumerate() {
            for (part, tensor) in PARTS.into_iter().zip([weight, bias]) {
                all.push((self.slice_name(part, k), tensor.shallow_clone()));
            }
        }
        all
    }

    pub(super) fn weights(&self) -> Weights {
        let joined = |part: &str, slices: Vec<&Tensor>| -> (String, Values) {
            (
                format!("{}.{part}", self.name),
                values(&Tensor::cat(&slices, 0)),
            )
        };
        [
            joined("weight", self.slices.iter().map(|s| &s.0).collect()),
            joined("bias", self.slices.iter().map(|s| &s.1).collect()),
        ]
        .into_iter()
        .collect()
    }

    fn slice_name(&self, part: &str, k: usize) -> String {
        if self.slices.len() == 1 {
            format!("{}.{part}", self.name)
        } else {
            format!("{}.{part}.{k}", self.name)
        }
    }
}
