//! The embedding layer, in K slices with parameters of their own, so that a learner can move its slice and nothing else.

use super::rounding::{self, Rounding};
use super::{Trained, normalise, values};
use crate::network::weights::{Values, Weights};
use crate::network::{HEAD, Network, NodeId, Op, Parameter, Role};
use std::collections::BTreeMap;
use tch::Tensor;

/// Which part of the embedding is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// One learner's slice, `[N, D / K]`, of length 1.
    Learner(usize),
    /// All of it, `[N, D]`, of length 1.
    Whole,
    /// Every slice of length 1, side by side, divided by √K: `[N, D]`, whose dot products are the mean cosine of the slices.
    Slices,
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
    /// Takes the last layer's tensors out of `tensors` and cuts them.
    pub fn take(
        network: &Network,
        tensors: &mut BTreeMap<String, Tensor>,
        learners: usize,
    ) -> Self {
        let (name, input) = match network.nodes.last() {
            Some(node) => match &node.op {
                Op::Linear { name, .. } => (name.clone(), node.inputs[0]),
                // Every network is made by `Network::new`, which ends with the head's linear layer.
                other => unreachable!("a network ends with its embedding layer, not {other:?}"),
            },
            None => unreachable!("a network has nodes"),
        };
        let mut cut = |part: &str| -> Vec<Tensor> {
            let Some(whole) = tensors.remove(&format!("{name}.{part}")) else {
                return vec![];
            };
            let learns = whole.requires_grad();
            whole
                .chunk(learners as i64, 0)
                .into_iter()
                .map(|slice| slice.detach().copy().set_requires_grad(learns))
                .collect()
        };
        let (weights, biases) = (cut("weight"), cut("bias"));
        Self {
            slices: weights.into_iter().zip(biases).collect(),
            name,
            input,
        }
    }

    /// Features `[N, F]` to embeddings.
    pub fn embed(&self, features: &Tensor, part: Part, rounding: Option<&Rounding>) -> Tensor {
        let features = match rounding {
            Some(rounding) => rounding.activation(features, self.input),
            None => features.shallow_clone(),
        };
        let slice = |(weight, bias): &(Tensor, Tensor)| match rounding {
            Some(_) => features.linear(&rounding::weight(weight), Some(bias)),
            None => features.linear(weight, Some(bias)),
        };
        let all = || -> Vec<Tensor> { self.slices.iter().map(slice).collect() };
        match part {
            Part::Learner(k) => normalise(&slice(&self.slices[k])),
            Part::Whole => normalise(&Tensor::cat(&all(), 1)),
            Part::Slices => {
                let slices: Vec<Tensor> = all().iter().map(normalise).collect();
                Tensor::cat(&slices, 1) / (self.slices.len() as f64).sqrt()
            }
        }
    }

    pub fn trained(&self) -> Vec<Trained> {
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
                all.push(Trained {
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

    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        let mut all = vec![];
        for (k, (weight, bias)) in self.slices.iter().enumerate() {
            for (part, tensor) in PARTS.into_iter().zip([weight, bias]) {
                all.push((self.slice_name(part, k), tensor.shallow_clone()));
            }
        }
        all
    }

    pub fn weights(&self) -> Weights {
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
