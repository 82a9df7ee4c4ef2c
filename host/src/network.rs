//! Networks as data: one description from which the trainer runs and the exporter writes, so that the two cannot drift apart.
//!
//! A [`Network`] is a list of [`Node`]s in the order of their computation; each names its parameters as the files of pretrained
//! weights do. [`efficientnet`], [`resnet`] and [`tiny`] build backbones, [`head`] turns their last feature map into an embedding.

pub mod efficientnet;
pub mod head;
pub mod resnet;
pub mod tiny;
pub mod weights;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Where a node stands in [`Network::nodes`].
pub type NodeId = usize;

/// The backbones that can be trained and exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backbone {
    /// EfficientNet-Lite0: the boat's.
    EfficientnetLite0,
    /// ResNet-18 with torchvision's names.
    Resnet18,
    /// ResNet-50 with torchvision's names.
    Resnet50,
    /// Four convolutions, to try losses on small pictures within seconds.
    Tiny,
}

impl Backbone {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::EfficientnetLite0,
        Self::Resnet18,
        Self::Resnet50,
        Self::Tiny,
    ];

    /// The name in recipes and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::EfficientnetLite0 => "efficientnet-lite0",
            Self::Resnet18 => "resnet18",
            Self::Resnet50 => "resnet50",
            Self::Tiny => "tiny",
        }
    }
}

impl Backbone {
    /// Mean and deviation of red, green and blue, in grey levels 0..=255, with which its pretrained weights were made.
    pub fn normalisation(self) -> ([f32; 3], [f32; 3]) {
        match self {
            Self::EfficientnetLite0 => ([127.0; 3], [128.0; 3]),
            // torchvision's.
            _ => ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]),
        }
    }
}

impl fmt::Display for Backbone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backbone {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|b| b.name() == s)
            .ok_or_else(|| {
                let names: Vec<_> = Self::ALL.iter().map(|b| b.name()).collect();
                format!("no backbone '{s}': choose {}", names.join(", "))
            })
    }
}

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
}

/// A 2-d convolution without bias; weight `<name>.weight`, `[out, in / groups, kernel, kernel] f32`.
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
    pub norm: BatchNorm,
}

/// Activations that int8 engines fuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0)
    Relu,
    /// min(max(x, 0), 6)
    Relu6,
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
    pub fn new(backbone: Backbone, channels: usize, head: &head::Head) -> Self {
        let mut nodes = Builder::new();
        let features = match backbone {
            Backbone::EfficientnetLite0 => efficientnet::lite0(&mut nodes, channels),
            Backbone::Resnet18 => resnet::resnet18(&mut nodes, channels),
            Backbone::Resnet50 => resnet::resnet50(&mut nodes, channels),
            Backbone::Tiny => tiny::tiny(&mut nodes, channels),
        };
        head.attach(&mut nodes, features);
        Self {
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

    /// Every parameter, in the order of computation.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut all = vec![];
        for node in &self.nodes {
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
                    norm(&c.norm);
                    let shape = vec![c.outputs, c.inputs / c.groups, c.kernel, c.kernel];
                    add(format!("{}.weight", c.name), shape, Role::Weight);
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
                | Op::MaxPool { .. }
                | Op::Pool(_)
                | Op::Dropout(_) => {}
            }
        }
        all
    }

    /// The output's shape of each node for one image of `height` x `width`: `[C, H, W]`, or `[D]` after pooling.
    pub fn shapes(&self, height: usize, width: usize) -> Vec<Vec<usize>> {
        let mut shapes: Vec<Vec<usize>> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let first = node
                .inputs
                .first()
                .map(|&i| shapes[i].clone())
                .unwrap_or_default();
            shapes.push(match &node.op {
                Op::Input => vec![self.channels, height, width],
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
                Op::Pool(_) => vec![first[0]],
                Op::Linear { outputs, .. } => vec![*outputs],
                Op::Activation(_) | Op::Add | Op::Norm(_) | Op::Dropout(_) => first,
            });
        }
        shapes
    }
}

/// Puts nodes one after another.
pub struct Builder {
    nodes: Vec<Node>,
    block: usize,
}

impl Builder {
    fn new() -> Self {
        Self {
            nodes: vec![Node {
                op: Op::Input,
                inputs: vec![],
                block: 0,
            }],
            block: 0,
        }
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
    use crate::network::head::Head;

    fn network(backbone: Backbone) -> Network {
        Network::new(
            backbone,
            1,
            &Head {
                pooling: Pooling::Average,
                dropout: 0.2,
                dimension: 512,
            },
        )
    }

    #[test]
    fn same_padding_puts_the_odd_row_last() {
        assert_eq!(Padding::Same.around(256, 3, 2), (0, 1));
        assert_eq!(Padding::Same.around(256, 5, 2), (1, 2));
        assert_eq!(Padding::Same.around(255, 3, 2), (1, 1));
        assert_eq!(Padding::Same.around(17, 5, 1), (2, 2));
    }

    #[test]
    fn maps_shrink_32_times_and_those_of_the_tiny_one_16() {
        for backbone in Backbone::ALL {
            let n = network(backbone);
            let shapes = n.shapes(128, 256);
            let map = n
                .nodes
                .iter()
                .position(|n| matches!(n.op, Op::Pool(_)))
                .unwrap()
                - 1;
            let expected = match backbone {
                Backbone::Tiny => [8, 16],
                _ => [4, 8],
            };
            assert_eq!(shapes[map][1..], expected, "{backbone}");
            assert_eq!(shapes.last().unwrap(), &[512]);
        }
    }

    #[test]
    fn sizes_are_those_of_the_papers() {
        let trained = |b| {
            network(b)
                .parameters()
                .iter()
                .filter(|p| p.role != Role::Statistic && p.block != HEAD)
                .map(|p| p.shape.iter().product::<usize>())
                .sum::<usize>()
        };
        // The published counts less the classifier, and less two of three colour channels of the stem.
        assert_eq!(
            trained(Backbone::EfficientnetLite0),
            4_652_008 - 1_281_000 - 2 * 32 * 9
        );
        assert_eq!(
            trained(Backbone::Resnet18),
            11_689_512 - 513_000 - 2 * 64 * 49
        );
        assert_eq!(
            trained(Backbone::Resnet50),
            25_557_032 - 2_049_000 - 2 * 64 * 49
        );
        // No paper: four kernels of 3 x 3, and a scale and a shift for each channel.
        assert_eq!(
            trained(Backbone::Tiny),
            9 * (32 + 32 * 64 + 64 * 96 + 96 * 128) + 2 * (32 + 64 + 96 + 128)
        );
    }

    #[test]
    fn names_do_not_repeat() {
        for backbone in Backbone::ALL {
            let names: Vec<_> = network(backbone)
                .parameters()
                .into_iter()
                .map(|p| p.name)
                .collect();
            let distinct: std::collections::HashSet<_> = names.iter().collect();
            assert_eq!(names.len(), distinct.len());
        }
    }
}
