//! Networks as data: one description from which the trainer runs and the exporter writes, so that the two cannot drift apart.
//!
//! A [`Network`] is a list of [`Node`]s in the order of their computation; each names its parameters as the files of pretrained
//! weights do. [`efficientnet`], [`mobilenet`], [`resnet`] and [`tiny`] build backbones, [`head`] turns their last feature map
//! into an embedding. A backbone may be described with the names of several packages ([`names`]), so that files of each can be
//! read.

pub mod backbone;
pub mod efficientnet;
pub mod head;
pub mod inverted_residual;
pub mod mobilenet;
pub mod names;
pub mod resnet;
pub mod tiny;
pub mod weights;

pub use backbone::Backbone;

use head::Head;
use names::Naming;
use serde::{Deserialize, Serialize};

/// Where a node stands in [`Network::nodes`].
pub type NodeId = usize;

/// How a convolution is padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// As much on every side.
    Symmetric(usize),
    /// TensorFlow's SAME: the output has `ceil(input / stride)` rows; an odd row or column goes to the bottom or right.
    Same,
}

impl Padding {
    /// Rows (or columns) before and after, for an input of `size` of them.
    pub fn around(self, size: usize, kernel: usize, stride: usize) -> (usize, usize) {
        match self {
            Self::Symmetric(p) => (p, p),
            Self::Same => {
                let total = ((size.div_ceil(stride) - 1) * stride + kernel).saturating_sub(size);
                (total / 2, total - total / 2)
            }
        }
    }
}

/// Batch normalisation; parameters `<name>.weight`, `.bias`, `.running_mean`, `.running_var`, each `[channels] f32`.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNorm {
    /// What its parameters' names start with.
    pub name: String,
    /// Channels.
    pub channels: usize,
    /// Added to the variance.
    pub epsilon: f64,
    /// Share of a batch in the running statistics.
    pub momentum: f64,
}

/// A 2-d convolution; weight `<name>.weight`, `[out, in / groups, kernel, kernel] f32`, and where no normalisation follows a bias
/// `<name>.bias`, `[out] f32`.
#[derive(Clone, Debug, PartialEq)]
pub struct Convolution {
    /// What its parameter's name starts with.
    pub name: String,
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Rows and columns of the kernel.
    pub kernel: usize,
    /// Step.
    pub stride: usize,
    /// Groups; `inputs` for a depthwise convolution.
    pub groups: usize,
    /// Border.
    pub padding: Padding,
    /// The normalisation that follows; folded into the convolution at export.
    pub norm: Option<BatchNorm>,
}

/// Activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0)
    Relu,
    /// min(max(x, 0), 6)
    Relu6,
    /// x min(max(x + 3, 0), 6) / 6 (Howard et al. 2019)
    HardSwish,
    /// min(max(x + 3, 0), 6) / 6
    HardSigmoid,
}

/// How a feature map becomes one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The mean over the map.
    Average,
    /// Generalised mean with a learned exponent (Radenović et al., 2018), parameter `pool.p`.
    Gem,
}

/// One step of the computation.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The image, `[N, C, H, W]`.
    Input,
    /// Convolution and normalisation.
    Convolution(Convolution),
    /// Activation.
    Activation(Activation),
    /// Sum of two equal maps: a residual branch and its skip.
    Add,
    /// The mean of each channel, `[N, C, H, W]` to `[N, C, 1, 1]`: what squeeze-and-excitation (Hu et al. 2018) decides on.
    Squeeze,
    /// A map `[N, C, H, W]` times its gate `[N, C, 1, 1]`.
    Gate,
    /// Maximum over `kernel` x `kernel`.
    MaxPool {
        /// Rows and columns.
        kernel: usize,
        /// Step.
        stride: usize,
        /// Border, of minus infinity.
        padding: usize,
    },
    /// `[N, C, H, W]` to `[N, C]`.
    Pool(Pooling),
    /// Normalisation of `[N, C]`.
    Norm(BatchNorm),
    /// Zeroes a share of the features while training.
    Dropout(f64),
    /// `[N, inputs]` to `[N, outputs]`; parameters `<name>.weight` `[outputs, inputs]`, `<name>.bias` `[outputs]`.
    Linear {
        /// What its parameters' names start with.
        name: String,
        /// Features in.
        inputs: usize,
        /// Features out.
        outputs: usize,
    },
}

/// An operation and where its inputs come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What is computed.
    pub op: Op,
    /// Of which earlier nodes.
    pub inputs: Vec<NodeId>,
    /// Depth for freezing: 0 the stem, 1.. the blocks, [`HEAD`] the embedding head.
    pub block: usize,
}

/// The depth of the embedding head.
pub const HEAD: usize = usize::MAX;

/// What a parameter is, which decides how it starts and how it is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A matrix or kernel, with weight decay.
    Weight,
    /// A bias, scale or exponent, without.
    Scale,
    /// Running statistics, not trained by gradients.
    Statistic,
}

/// One parameter of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name in weight files.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// What it is.
    pub role: Role,
    /// Depth, as [`Node::block`].
    pub block: usize,
}

/// A backbone with its embedding head.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Which backbone.
    pub backbone: Backbone,
    /// What stands behind it.
    pub head: Head,
    /// Steps in the order of computation; the last one's output is the embedding `[N, D]`, not yet normalised.
    pub nodes: Vec<Node>,
    /// Channels of the input.
    pub channels: usize,
    /// D.
    pub dimension: usize,
    /// The embedding is normalised in this many slices, each then weighing as much as the others; 1 for as a whole.
    pub slices: usize,
}

impl Network {
    /// `backbone` for images of `channels` channels, with an embedding head.
    pub fn new(backbone: Backbone, channels: usize, head: &Head) -> Self {
        Self::with_names(backbone, channels, head, Naming::Native)
    }

    /// The same with the backbone's parameters named as another package names them, and with that package's epsilon.
    pub fn with_names(backbone: Backbone, channels: usize, head: &Head, naming: Naming) -> Self {
        let mut nodes = Builder::new();
        let features = backbone.build(&mut nodes, channels, naming);
        head.attach(&mut nodes, features);
        Self {
            backbone,
            head: head.clone(),
            nodes: nodes.nodes,
            channels,
            dimension: head.dimension,
            slices: 1,
        }
    }

    /// With its embedding normalised in `slices` slices: what a divided embedding gives.
    pub fn in_slices(self, slices: usize) -> Self {
        Self { slices, ..self }
    }

    /// Every batch normalisation, in the order of computation.
    pub fn norms(&self) -> impl Iterator<Item = &BatchNorm> {
        self.nodes.iter().filter_map(|node| match &node.op {
            Op::Convolution(c) => c.norm.as_ref(),
            Op::Norm(n) => Some(n),
            _ => None,
        })
    }

    /// Every parameter, in the order of computation.
    pub fn parameters(&self) -> Vec<Parameter> {
        parameters_of(&self.nodes)
    }

    /// The output's shape of each node for one image of `height` x `width`: `[C, H, W]`, or `[D]` after pooling.
    pub fn shapes(&self, height: usize, width: usize) -> Vec<Vec<usize>> {
        shapes_of(&self.nodes, [self.channels, height, width])
    }
}

/// Every parameter of these nodes, in their order.
pub fn parameters_of(nodes: &[Node]) -> Vec<Parameter> {
    let mut all = vec![];
    for node in nodes {
        let mut add = |name: String, shape: Vec<usize>, role| {
            all.push(Parameter {
                name,
                shape,
                role,
                block: node.block,
            });
        };
        let mut norm = |n: &BatchNorm| {
            for (part, role) in [
                ("weight", Role::Scale),
                ("bias", Role::Scale),
                ("running_mean", Role::Statistic),
                ("running_var", Role::Statistic),
            ] {
                add(format!("{}.{part}", n.name), vec![n.channels], role);
            }
        };
        match &node.op {
            Op::Convolution(c) => {
                if let Some(n) = &c.norm {
                    norm(n);
                }
                let shape = vec![c.outputs, c.inputs / c.groups, c.kernel, c.kernel];
                add(format!("{}.weight", c.name), shape, Role::Weight);
                if c.norm.is_none() {
                    add(format!("{}.bias", c.name), vec![c.outputs], Role::Scale);
                }
            }
            Op::Norm(n) => norm(n),
            Op::Pool(Pooling::Gem) => add("pool.p".into(), vec![1], Role::Scale),
            Op::Linear {
                name,
                inputs,
                outputs,
            } => {
                add(
                    format!("{name}.weight"),
                    vec![*outputs, *inputs],
                    Role::Weight,
                );
                add(format!("{name}.bias"), vec![*outputs], Role::Scale);
            }
            Op::Input
            | Op::Activation(_)
            | Op::Add
            | Op::Squeeze
            | Op::Gate
            | Op::MaxPool { .. }
            | Op::Pool(_)
            | Op::Dropout(_) => {}
        }
    }
    all
}

/// The output's shape of each of these nodes for one image of `[C, H, W]`.
pub fn shapes_of(nodes: &[Node], image: [usize; 3]) -> Vec<Vec<usize>> {
    let mut shapes: Vec<Vec<usize>> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let first = node
            .inputs
            .first()
            .map(|&i| shapes[i].clone())
            .unwrap_or_default();
        shapes.push(match &node.op {
            Op::Input => image.to_vec(),
            Op::Convolution(c) => {
                let out = |size: usize| {
                    let (before, after) = c.padding.around(size, c.kernel, c.stride);
                    (size + before + after - c.kernel) / c.stride + 1
                };
                vec![c.outputs, out(first[1]), out(first[2])]
            }
            Op::MaxPool {
                kernel,
                stride,
                padding,
            } => {
                let out = |size: usize| (size + 2 * padding - kernel) / stride + 1;
                vec![first[0], out(first[1]), out(first[2])]
            }
            Op::Squeeze => vec![first[0], 1, 1],
            Op::Pool(_) => vec![first[0]],
            Op::Linear { outputs, .. } => vec![*outputs],
            Op::Activation(_) | Op::Add | Op::Gate | Op::Norm(_) | Op::Dropout(_) => first,
        });
    }
    shapes
}

/// Puts nodes one after another.
pub struct Builder {
    nodes: Vec<Node>,
    block: usize,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// With the image alone.
    pub fn new() -> Self {
        Self {
            nodes: vec![Node {
                op: Op::Input,
                inputs: vec![],
                block: 0,
            }],
            block: 0,
        }
    }

    /// All that were put.
    pub fn into_nodes(self) -> Vec<Node> {
        self.nodes
    }

    /// The node added last.
    pub fn last(&self) -> NodeId {
        self.nodes.len() - 1
    }

    /// Nodes from here on belong to this depth.
    pub fn enter(&mut self, block: usize) {
        self.block = block;
    }

    /// Adds a step on earlier nodes.
    pub fn add(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        self.nodes.push(Node {
            op,
            inputs: inputs.to_vec(),
            block: self.block,
        });
        self.last()
    }

    /// Adds a step on the last node.
    pub fn then(&mut self, op: Op) -> NodeId {
        let last = self.last();
        self.add(op, &[last])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_puts_the_odd_row_last() {
        assert_eq!(Padding::Same.around(256, 3, 2), (0, 1));
        assert_eq!(Padding::Same.around(256, 5, 2), (1, 2));
        assert_eq!(Padding::Same.around(255, 3, 2), (1, 1));
        assert_eq!(Padding::Same.around(17, 5, 1), (2, 2));
    }
}
