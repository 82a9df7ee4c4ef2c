//! Runs the [`DetectorNetwork`] on libtorch.

use super::network::DetectorNetwork;
use crate::network::weights::Weights;
use crate::network::{BatchNorm, Convolution, NodeId, Op, Parameter, Role};
use crate::train::forward::depthwise::{Use, serves};
use crate::train::forward::operations::{convolve, simple};
use crate::train::forward::{channels_last, initial, tensor, values};
use flukewatch_common::detector::maps::MAPS;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

/// What the cells say at the start: a fluke in one of a hundred.
const FIRST_LOGIT: f32 = -4.6;

/// The network with its parameters as tensors.
pub(super) struct TorchDetector {
    network: DetectorNetwork,
    tensors: BTreeMap<String, Tensor>,
    last_reader: Vec<NodeId>,
}

impl TorchDetector {
    /// `weights` where they have a parameter, else a start drawn from the seed.
    pub fn new(weights: &Weights, seed: u64, device: Device, learns: bool) -> Self {
        let network = DetectorNetwork::new();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let tensors = network
            .parameters()
            .into_iter()
            .map(|p| {
                let mut started = initial(&p, &mut rng);
                if p.name.ends_with("maps.bias") {
                    started.data = vec![FIRST_LOGIT, 0.5, 0.0, 0.5, 0.0];
                } else if p.name.ends_with("maps.weight") {
                    started.data.iter_mut().for_each(|v| *v *= 0.1);
                }
                let values = weights.get(&p.name).unwrap_or(&started);
                let learns = learns && p.role != Role::Statistic;
                (p.name, tensor(values, device).set_requires_grad(learns))
            })
            .collect();
        let mut last_reader = vec![0; network.nodes.len()];
        for (id, node) in network.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|&i| last_reader[i] = id);
        }
        for &output in &network.outputs {
            last_reader[output] = NodeId::MAX;
        }
        Self {
            network,
            tensors,
            last_reader,
        }
    }

    /// What is trained, and where it lives.
    pub fn trained(&self) -> Vec<(Parameter, Tensor)> {
        let parameters = self.network.parameters().into_iter();
        parameters
            .filter_map(|p| {
                let tensor = self.tensors.get(&p.name)?;
                tensor.requires_grad().then(|| (p, tensor.shallow_clone()))
            })
            .collect()
    }

    /// Moves every number by `share` of the way to another's.
    pub fn follow(&mut self, other: &Self, share: f64) {
        tch::no_grad(|| {
            for (name, mine) in &mut self.tensors {
                if let Some(theirs) = other.tensors.get(name) {
                    let _ = mine.lerp_(theirs, share);
                }
            }
        });
    }

    /// All parameters as plain numbers.
    pub fn weights(&self) -> Weights {
        let all = self.tensors.iter();
        all.map(|(name, t)| (name.clone(), values(t))).collect()
    }

    /// Pictures `[N, 1, H, W]` to maps `[N, 5, cells]`, the cells of all levels one after another. Statistics are the batch's;
    /// `uses` takes the convolutions whose kernels libtorch will find no slope for.
    pub fn learn(&self, images: &Tensor, uses: &mut Vec<Use>) -> Tensor {
        let missing = || Tensor::zeros([0], (Kind::Float, images.device()));
        let images = channels_last(images);
        let mut outputs: Vec<Option<Tensor>> = Vec::with_capacity(self.network.nodes.len());
        for (id, node) in self.network.nodes.iter().enumerate() {
            let input = |i: usize| {
                let from = outputs[node.inputs[i]].as_ref();
                from.map_or_else(missing, Tensor::shallow_clone)
            };
            let output = match &node.op {
                Op::Input => images.shallow_clone(),
                Op::Convolution(c) => self.convolution(c, &input(0), uses),
                op => {
                    let from = node.inputs[0];
                    let alone = self.last_reader[from] == id;
                    simple(op, input, alone).unwrap_or_else(missing)
                }
            };
            for &from in &node.inputs {
                if self.last_reader[from] == id {
                    outputs[from] = None;
                }
            }
            outputs.push(Some(output));
        }
        let count = images.size()[0];
        let maps: Vec<Tensor> = self
            .network
            .outputs
            .iter()
            .filter_map(|&id| outputs[id].as_ref())
            .map(|m| m.contiguous().reshape([count, MAPS as i64, -1]))
            .collect();
        Tensor::cat(&maps, 2)
    }

    fn convolution(&self, c: &Convolution, input: &Tensor, uses: &mut Vec<Use>) -> Tensor {
        let weight = &self.tensors[&format!("{}.weight", c.name)];
        let Some(norm) = &c.norm else {
            let bias = &self.tensors[&format!("{}.bias", c.name)];
            return convolve(c, input, weight, Some(bias));
        };
        let convolved = if serves(c, input, weight) {
            let output = convolve(c, input, &weight.detach(), None);
            uses.push(Use::new(c, input, &output));
            output
        } else {
            convolve(c, input, weight, None)
        };
        self.norm(norm, &convolved)
    }

    fn norm(&self, n: &BatchNorm, input: &Tensor) -> Tensor {
        let part = |part: &str| Some(&self.tensors[&format!("{}.{part}", n.name)]);
        input.batch_norm(
            part("weight"),
            part("bias"),
            part("running_mean"),
            part("running_var"),
            true,
            n.momentum,
            n.epsilon,
            true,
        )
    }
}
