//! Runs the [`DetectorNetwork`] on libtorch.

use super::network::DetectorNetwork;
use crate::cpu::depthwise::SavedActivations;
use crate::torch::initial::initial;
use crate::torch::operations::{convolve, stateless};
use crate::torch::tensors::{channels_last, tensor, values};
use crate::trainer::average::NamedTensors;
use flukewatch_inference::detector::maps::MAPS;
use flukewatch_network::weights::Weights;
use flukewatch_network::{BatchNorm, Convolution, NodeId, Op, Parameter, Role};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use tch::{Device, Tensor};

/// Initial logit of a cell: a fluke in one of a hundred.
const INITIAL_LOGIT: f32 = -4.6;

/// The network with its parameters as tensors.
pub(super) struct TorchDetector {
    network: DetectorNetwork,
    tensors: BTreeMap<String, Tensor>,
    last_readers: Vec<NodeId>,
}

impl TorchDetector {
    /// With `weights`; parameters without are initialised randomly.
    pub(super) fn new(weights: &Weights, seed: u64, device: Device, trained: bool) -> Self {
        let network = DetectorNetwork::new();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let tensors = network
            .parameters()
            .into_iter()
            .map(|p| {
                let mut drawn = initial(&p, &mut rng);
                if p.name.ends_with("maps.bias") {
                    drawn.data = vec![INITIAL_LOGIT, 0.5, 0.0, 0.5, 0.0];
                } else if p.name.ends_with("maps.weight") {
                    drawn.data.iter_mut().for_each(|v| *v *= 0.1);
                }
                let values = weights.get(&p.name).unwrap_or(&drawn);
                let trained = trained && p.role != Role::Statistic;
                (p.name, tensor(values, device).set_requires_grad(trained))
            })
            .collect();
        let mut last_readers = vec![0; network.nodes.len()];
        for (id, node) in network.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|&i| last_readers[i] = id);
        }
        for &output in &network.outputs {
            last_readers[output] = NodeId::MAX;
        }
        Self {
            network,
            tensors,
            last_readers,
        }
    }

    pub(super) fn trained(&self) -> Vec<(Parameter, Tensor)> {
        let parameters = self.network.parameters().into_iter();
        parameters
            .filter_map(|p| {
                let tensor = self.tensors.get(&p.name)?;
                tensor.requires_grad().then(|| (p, tensor.shallow_clone()))
            })
            .collect()
    }

    /// Every tensor, in a fixed order.
    pub(super) fn tensors(&self) -> NamedTensors {
        let all = self.tensors.iter();
        all.map(|(name, t)| (name.clone(), t.shallow_clone()))
            .collect()
    }

    pub(super) fn weights(&self) -> Weights {
        let all = self.tensors.iter();
        all.map(|(name, t)| (name.clone(), values(t))).collect()
    }

    /// A forward pass in training, with the batch's statistics. `saved` receives what the optimiser
    /// step needs besides the loss.
    ///
    /// # Shapes
    /// `images` `[N, 1, H, W]`; returns maps `[N, 5, cells]`, with the cells of all levels concatenated.
    pub(super) fn forward_train(&self, images: &Tensor, saved: &mut SavedActivations) -> Tensor {
        let images = channels_last(images);
        let mut outputs: Vec<Option<Tensor>> = Vec::with_capacity(self.network.nodes.len());
        for (id, node) in self.network.nodes.iter().enumerate() {
            let input = |i: usize| {
                let output = outputs[node.inputs[i]].as_ref();
                output
                    .expect("an output is kept until its last reader has run")
                    .shallow_clone()
            };
            let output = match &node.op {
                Op::Input => images.shallow_clone(),
                Op::Convolution(c) => self.convolution(c, &input(0), saved),
                op => {
                    let from = node.inputs[0];
                    let in_place = self.last_readers[from] == id;
                    stateless(op, input, in_place).expect("its other operations are stateless")
                }
            };
            for &from in &node.inputs {
                if self.last_readers[from] == id {
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
            .map(|&id| outputs[id].as_ref().expect("outputs are kept"))
            .map(|m| m.contiguous().reshape([count, MAPS as i64, -1]))
            .collect();
        Tensor::cat(&maps, 2)
    }

    fn convolution(&self, c: &Convolution, input: &Tensor, saved: &mut SavedActivations) -> Tensor {
        let weight = &self.tensors[&format!("{}.weight", c.name)];
        let Some(norm) = &c.norm else {
            let bias = &self.tensors[&format!("{}.bias", c.name)];
            return convolve(c, input, weight, Some(bias));
        };
        self.norm(norm, &saved.convolve(c, input, weight))
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
