//! Normalisation folded into the convolution before it, dropout left out: what remains is what an engine runs.

use crate::network::weights::{Values, Weights, WeightsError, select};
use crate::network::{Activation, BatchNorm, Convolution, Network, Node, NodeId, Op, Pooling};
use std::path::Path;

/// A step of the folded network; inputs are positions of earlier steps.
#[derive(Clone, Debug)]
pub struct Step {
    /// What is computed.
    pub kind: Kind,
    /// Of which earlier steps.
    pub inputs: Vec<usize>,
    /// Depth, as in [`crate::network::Node`].
    pub block: usize,
    /// The node of the network whose output this is.
    pub node: NodeId,
}

/// What a step computes.
#[derive(Clone, Debug)]
pub enum Kind {
    /// The image.
    Input,
    /// Convolution with bias.
    Convolution {
        /// `[out, in / groups, k, k]`
        weight: Values,
        /// `[out]`
        bias: Values,
        /// Step.
        stride: usize,
        /// Groups.
        groups: usize,
        /// Rows and columns added: top, left, bottom, right.
        pads: [usize; 4],
        /// A layer of squeeze-and-excitation: its input is one number a channel.
        excitation: bool,
    },
    /// Activation.
    Activation(Activation),
    /// Sum.
    Add,
    /// The mean of each channel, `[1, C, 1, 1]`.
    Squeeze,
    /// A map times its gate.
    Gate,
    /// Maximum.
    MaxPool {
        /// Rows and columns.
        kernel: usize,
        /// Step.
        stride: usize,
        /// Border.
        padding: usize,
    },
    /// Map to vector; the exponent of a generalised mean.
    Pool(Option<f32>),
    /// `scale x + shift`, a number a feature: the normalisation of the pooled features, in float, so that the matrix after it
    /// sees features of one size.
    Affine {
        /// `[features]`
        scale: Values,
        /// `[features]`
        shift: Values,
    },
    /// Matrix and bias.
    Linear {
        /// `[out, in]`
        weight: Values,
        /// `[out]`
        bias: Values,
    },
}

/// A network that an engine can run.
#[derive(Clone, Debug)]
pub struct Folded {
    /// In the order of computation; the last one's output, L2-normalised, is the embedding.
    pub steps: Vec<Step>,
    /// `[C, H, W]` of the image.
    pub input: [usize; 3],
    /// D.
    pub dimension: usize,
    /// As in [`Network::slices`].
    pub slices: usize,
}

/// Folds a network for images of `height` x `width`.
///
/// # Errors
/// When a weight is missing or of another shape.
pub fn fold(
    network: &Network,
    weights: &Weights,
    height: usize,
    width: usize,
) -> Result<Folded, WeightsError> {
    let weights = select(network, weights, Path::new("the trained weights"), |_| true)?;
    Ok(Folded {
        steps: steps_of(&network.nodes, &network.shapes(height, width), &weights),
        input: [network.channels, height, width],
        dimension: network.dimension,
        slices: network.slices,
    })
}

/// The steps that nodes become; `shapes` are those of their outputs, and `weights` has all of their parameters.
pub fn steps_of(nodes: &[Node], shapes: &[Vec<usize>], weights: &Weights) -> Vec<Step> {
    let mut steps: Vec<Step> = vec![];
    let mut place: Vec<usize> = vec![0; nodes.len()];
    for (id, node) in nodes.iter().enumerate() {
        let before = |i: usize| -> NodeId { node.inputs[i] };
        let kind = match &node.op {
            Op::Dropout(_) => {
                place[id] = place[before(0)];
                continue;
            }
            Op::Norm(norm) => {
                let (scale, shift) = scale_and_shift(norm, weights);
                let values = |data| Values {
                    shape: vec![norm.channels],
                    data,
                };
                Kind::Affine {
                    scale: values(scale),
                    shift: values(shift),
                }
            }
            Op::Input => Kind::Input,
            Op::Convolution(c) => convolution(c, weights, &shapes[before(0)]),
            Op::Activation(a) => Kind::Activation(*a),
            Op::Add => Kind::Add,
            Op::Squeeze => Kind::Squeeze,
            Op::Gate => Kind::Gate,
            Op::MaxPool {
                kernel,
                stride,
                padding,
            } => Kind::MaxPool {
                kernel: *kernel,
                stride: *stride,
                padding: *padding,
            },
            Op::Pool(Pooling::Average) => Kind::Pool(None),
            Op::Pool(Pooling::Gem) => Kind::Pool(weights["pool.p"].data.first().copied()),
            Op::Linear { name, .. } => Kind::Linear {
                weight: weights[&format!("{name}.weight")].clone(),
                bias: weights[&format!("{name}.bias")].clone(),
            },
        };
        steps.push(Step {
            kind,
            inputs: node.inputs.iter().map(|&i| place[i]).collect(),
            block: node.block,
            node: id,
        });
        place[id] = steps.len() - 1;
    }
    steps
}

/// `y = scale x + shift`, a number a channel.
fn scale_and_shift(norm: &BatchNorm, weights: &Weights) -> (Vec<f32>, Vec<f32>) {
    let part = |part: &str| &weights[&format!("{}.{part}", norm.name)].data;
    let (gamma, beta, mean, variance) = (
        part("weight"),
        part("bias"),
        part("running_mean"),
        part("running_var"),
    );
    let scale: Vec<f32> = gamma
        .iter()
        .zip(variance)
        .map(|(g, v)| (f64::from(*g) / (f64::from(*v) + norm.epsilon).sqrt()) as f32)
        .collect();
    let shift = beta
        .iter()
        .zip(mean)
        .zip(&scale)
        .map(|((b, m), s)| b - m * s)
        .collect();
    (scale, shift)
}

fn convolution(c: &Convolution, weights: &Weights, input: &[usize]) -> Kind {
    let mut weight = weights[&format!("{}.weight", c.name)].clone();
    let bias = if let Some(norm) = &c.norm {
        let (scale, shift) = scale_and_shift(norm, weights);
        let per_channel = weight.data.len() / c.outputs;
        for (kernel, s) in weight.data.chunks_exact_mut(per_channel).zip(&scale) {
            kernel.iter_mut().for_each(|w| *w *= s);
        }
        Values {
            shape: vec![c.outputs],
            data: shift,
        }
    } else {
        weights[&format!("{}.bias", c.name)].clone()
    };
    let (top, bottom) = c.padding.around(input[1], c.kernel, c.stride);
    let (left, right) = c.padding.around(input[2], c.kernel, c.stride);
    Kind::Convolution {
        weight,
        bias,
        stride: c.stride,
        groups: c.groups,
        pads: [top, left, bottom, right],
        // All others are normalised.
        excitation: c.norm.is_none(),
    }
}
