//! The frozen blocks at the beginning. Their statistics are fixed, so normalisation is folded into their
//! convolutions, and they need no gradient, so a batch can pass through in pieces that fit the
//! processor's cache.

use super::graph::{frozen, in_place};
use crate::torch::operations::{convolve, folded, stateless};
use flukewatch_network::{Network, NodeId, Op};
use std::collections::BTreeMap;
use tch::Tensor;

/// Photos per piece on a CPU: the largest map of EfficientNet-Lite0 at 96 x 192 is then 7 MB.
const PIECE: i64 = 4;

/// The first nodes of a network, ready to run.
pub(super) struct FrozenPrefix {
    nodes: usize,
    /// Weight and bias of each convolution, with its normalisation.
    convolutions: BTreeMap<NodeId, (Tensor, Option<Tensor>)>,
}

impl FrozenPrefix {
    /// The frozen blocks, if there are any and the rest of the network reads only their last map.
    pub(super) fn of(
        network: &Network,
        frozen_blocks: Option<usize>,
        tensors: &BTreeMap<String, Tensor>,
        last_readers: &[NodeId],
    ) -> Option<Self> {
        let nodes = network
            .nodes
            .iter()
            .position(|n| !frozen(frozen_blocks, n.block))?;
        let read_later = (0..nodes).filter(|&id| last_readers[id] >= nodes);
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

    /// Number of nodes that it replaces.
    pub(super) fn nodes(&self) -> usize {
        self.nodes
    }

    /// Images `[N, C, H, W] f32`, channels last, to the map of its last node.
    pub(super) fn run(
        &self,
        network: &Network,
        images: &Tensor,
        last_readers: &[NodeId],
    ) -> Tensor {
        if images.device().is_cuda() {
            return tch::no_grad(|| self.piece(network, images, last_readers));
        }
        let pieces = tch::no_grad(|| -> Vec<Tensor> {
            images
                .split(PIECE, 0)
                .iter()
                .map(|piece| self.piece(network, piece, last_readers))
                .collect()
        });
        Tensor::cat(&pieces, 0)
    }

    fn piece(&self, network: &Network, images: &Tensor, last_readers: &[NodeId]) -> Tensor {
        let mut outputs: Vec<Option<Tensor>> = Vec::with_capacity(self.nodes);
        for (id, node) in network.nodes[..self.nodes].iter().enumerate() {
            let input = |i: usize| {
                let output = outputs[node.inputs[i]].as_ref();
                output
                    .expect("an output is kept until its last reader has run")
                    .shallow_clone()
            };
            let output = match (&node.op, self.convolutions.get(&id)) {
                (Op::Input, _) => images.shallow_clone(),
                (Op::Convolution(c), Some((weight, bias))) => {
                    convolve(c, &input(0), weight, bias.as_ref())
                }
                (op, _) => stateless(op, input, in_place(&network.nodes, last_readers, id))
                    .expect("blocks hold convolutions and stateless operations only"),
            };
            for &from in &node.inputs {
                if last_readers[from] == id {
                    outputs[from] = None;
                }
            }
            outputs.push(Some(output));
        }
        outputs
            .pop()
            .flatten()
            .expect("a frozen prefix has at least two nodes")
    }
}
