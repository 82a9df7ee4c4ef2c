//! Networks as data: the trainer runs and the exporter writes the same description, so that the two
//! cannot drift apart.
//!
//! A [`Network`] is a list of [`Node`]s in the order of computation; each names its parameters as
//! files of pretrained weights do. A [`Backbone`] builds the nodes up to the last feature map,
//! [`head`] turns that map into an embedding. A backbone can be described with the names of several
//! packages ([`names`]), so that the files of each can be read.
//!
//! To add a backbone: a file that builds it and describes it in a constant, and a line in
//! `backbone.rs`.

mod backbone;
mod batch_norm;
mod efficientnet;
pub mod head;
mod inverted_residual;
mod mobilenet;
pub mod names;
pub mod quantisation;
mod resnet;
mod spec;
mod tensors;
mod tiny;
pub mod weights;

pub use backbone::Backbone;
pub use batch_norm::{BatchNorm, ChannelAffine};

use head::Head;
use serde::{Deserialize, Serialize};
use spec::Naming;

/// The index of a node in [`Network::nodes`].
pub type NodeId = usize;

/// The padding of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// The same on every side.
    Symmetric(usize),
    /// TensorFlow's SAME: the output has `ceil(input / stride)` rows; an odd row or column is added
    /// at the bottom or right.
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

/// A 2-d convolution; weight `<name>.weight`, `[out, in / groups, kernel, kernel] f32`, and where
/// no normalisation follows a bias `<name>.bias`, `[out] f32`.
#[derive(Clone, Debug, PartialEq)]
pub struct Convolution {
    /// The prefix of its parameters' names.
    pub name: String,
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Stride in both directions.
    pub stride: usize,
    /// Groups; `inputs` for a depthwise convolution.
    pub groups: usize,
    /// Padding of both axes.
    pub padding: Padding,
    /// The normalisation that follows; folded into the convolution at export.
    pub norm: Option<BatchNorm>,
}

/// An activation function.
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

/// How a feature map becomes a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The mean over the map.
    Average,
    /// Generalised mean with a learned exponent (Radenović et al., 2018), parameter `pool.p`.
    Gem,
}

/// An operation of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The image, `[N, C, H, W]`.
    Input,
    /// Convolution with the normalisation that follows it.
    Convolution(Convolution),
    /// Element by element.
    Activation(Activation),
    /// Sum of two maps of one shape: a residual branch, then its skip.
    Add,
    /// The mean of each channel, `[N, C, H, W]` to `[N, C, 1, 1]`: the input of
    /// squeeze-and-excitation (Hu et al. 2018).
    Squeeze,
    /// A map `[N, C, H, W]` times its gate `[N, C, 1, 1]`.
    Gate,
    /// Maximum over `kernel` x `kernel`.
    MaxPool {
        /// Height and width of the window.
        kernel: usize,
        /// Stride in both directions.
        stride: usize,
        /// Padding, with minus infinity.
        padding: usize,
    },
    /// `[N, C, H, W]` to `[N, C]`.
    Pool(Pooling),
    /// Batch normalisation of `[N, C]`.
    Norm(BatchNorm),
    /// Zeroes this fraction of the features during training.
    Dropout(f64),
    /// `[N, inputs]` to `[N, outputs]`; parameters `<name>.weight` `[outputs, inputs]`,
    /// `<name>.bias` `[outputs]`.
    Linear {
        /// The prefix of its parameters' names.
        name: String,
        /// Input features.
        inputs: usize,
        /// Output features.
        outputs: usize,
    },
}

/// An operation and its inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The operation and its settings.
    pub op: Op,
    /// Earlier nodes whose outputs it reads.
    pub inputs: Vec<NodeId>,
    /// Depth for freezing: 0 the stem, 1.. the blocks, [`HEAD`] the embedding head.
    pub block: usize,
}

/// The depth of the embedding head.
pub const HEAD: usize = usize::MAX;

/// What a parameter is: decides its initialisation and how it is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A matrix or kernel; weight decay applies.
    Weight,
    /// A bias, scale or exponent; no weight decay.
    Scale,
    /// Running statistics; not trained by gradients.
    Statistic,
}

/// One parameter of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name in weight files.
    pub name: String,
    /// Row-major shape.
    pub shape: Vec<usize>,
    /// Decides initialisation and weight decay.
    pub role: Role,
    /// Depth; see [`Node::block`].
    pub block: usize,
}

/// A backbone with its embedding head.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Up to the last feature map.
    pub backbone: Backbone,
    /// From the feature map to the embedding.
    pub head: Head,
    /// In the order of computation; the last output is the embedding `[N, D]`, not yet normalised.
    pub nodes: Vec<Node>,
    /// Input channels.
    pub channels: usize,
    /// Numbers in an embedding (D).
    pub dimension: usize,
    /// The embedding is normalised in this many slices of equal weight; 1 to normalise it as a
    /// whole.
    pub slices: usize,
}

impl Network {
    /// `backbone` for images of `channels` channels, with an embedding head.
    pub fn new(backbone: Backbone, channels: usize, head: &Head) -> Self {
        Self::with_names(backbone, channels, head, Naming::Native)
    }

    /// The same with the parameter names and the epsilon of another package.
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

    /// Normalises the embedding in `slices` slices, as divide-and-conquer training leaves it.
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

    /// The output shape of each node for one image of `height` x `width`: `[C, H, W]`, or `[D]`
    /// after pooling.
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

/// The output shape of each node for one image of `[C, H, W]`.
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

/// Builds a network node by node.
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
    /// Starts with the input node.
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

    /// The nodes added so far.
    pub fn into_nodes(self) -> Vec<Node> {
        self.nodes
    }

    /// The last node added.
    pub fn last(&self) -> NodeId {
        self.nodes.len() - 1
    }

    /// Sets the depth of the nodes that follow.
    pub fn enter(&mut self, block: usize) {
        self.block = block;
    }

    /// Adds an operation on earlier nodes.
    pub fn add(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        self.nodes.push(Node {
            op,
            inputs: inputs.to_vec(),
            block: self.block,
        });
        self.last()
    }

    /// Adds an operation on the last node.
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
