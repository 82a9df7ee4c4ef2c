//! The blocks at the beginning that do not learn: their statistics are fixed, so that normalisation is part of their convolutions,
//! and no slope is asked of them, so that a batch can go through in pieces that fit the processor's cache.

use super::operations::{convolve, folded, simple};
use super::{alone, frozen};
use crate::network::{Network, NodeId, Op};
use std::collections::BTreeMap;
use tch::{Kind, Tensor};

/// Photos that go through at once on a CPU: the largest map of EfficientNet-Lite0 at 96 x 192 is then 7 MB.
const AT_ONCE: i64 = 4;

/// The first nodes of a network, ready to be run.
pub(super) struct Still {
    nodes: usize,
    /// Weight and bias of each convolution, with its normalisation.
    convolutions: BTreeMap<NodeId, (Tensor, Option<Tensor>)>,
}

impl Still {
    /// The frozen blocks of `network`, if it has any and what learns reads nothing of them but their last map.
    pub(super) fn of(
        network: &Network,
        frozen_blocks: Option<usize>,
        tensors: &BTreeMap<String, Tensor>,
        last_reader: &[NodeId],
    ) -> Option<Self> {
        let nodes = network
            .nodes
            .iter()
            .position(|n| !frozen(frozen_blocks, n.block))?;
        let read_later = (0..nodes).filter(|&id| last_reader[id] >= nodes);
        if nodes < 2 || read_later.ne(std::iter::once(nodes - 1)) {
            return None;
        }
        let mut convolutions = BTreeMap::new();
        for (id, node) in network.nodes[..nodes].iter().enumerate() {
            if let Op::Convolution(c) = &node.op {
                let (weight, bias) = match &c.norm {
                    Some(norm) => {
                        let (weight, bias) = folded(c, norm, tensors);
                        (weight, Some(bias))
                    }
                    None => {
                        let part = |part: &str| tensors[&format!("{}.{part}", c.name)].copy();
                        (part("weight"), Some(part("bias")))
                    }
                };
                convolutions.insert(id, (weight, bias));
            }
        }
        Some(Self {
            nodes,
            convolutions,
        })
    }

    /// How many nodes it stands for.
    pub(super) fn nodes(&self) -> usize {
        self.nodes
    }

    /// Images `[N, C, H, W] f32`, channels last, to the map of the last of its nodes.
    pub(super) fn run(&self, network: &Network, images: &Tensor, last_reader: &[NodeId]) -> Tensor {
        if images.device().is_cuda() {
            return tch::no_grad(|| self.piece(network, images, last_reader));
        }
        let pieces = tch::no_grad(|| -> Vec<Tensor> {
            images
                .split(AT_ONCE, 0)
                .iter()
                .map(|piece| self.piece(network, piece, last_reader))
                .collect()
        });
        Tensor::cat(&pieces, 0)
    }

    fn piece(&self, network: &Network, images: &Tensor, last_reader: &[NodeId]) -> Tensor {
        let missing = || Tensor::zeros([0], (Kind::Float, images.device()));
        let mut outputs: Vec<Option<Tensor>> = Vec::with_capacity(self.nodes);
        for (id, node) in network.nodes[..self.nodes].iter().enumerate() {
            let input = |i: usize| {
                outputs[node.inputs[i]]
                    .as_ref()
                    .map_or_else(missing, Tensor::shallow_clone)
            };
            let output = match (&node.op, self.convolutions.get(&id)) {
                (Op::Input, _) => images.shallow_clone(),
                (Op::Convolution(c), Some((weight, bias))) => {
                    convolve(c, &input(0), weight, bias.as_ref())
                }
                (op, _) => {
                    let alone = alone(network, last_reader, id);
                    simple(op, input, alone).unwrap_or_else(missing)
                }
            };
            for &from in &node.inputs {
                if last_reader[from] == id {
                    outputs[from] = None;
                }
            }
            outputs.push(Some(output));
        }
        outputs.pop().flatten().unwrap_or_else(missing)
    }
}
