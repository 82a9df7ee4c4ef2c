//! A network as an engine runs it: batch norms folded into the layer before them, no dropout.

use flukewatch_network::weights::{Values, Weights};
use flukewatch_network::{Activation, Convolution, Node, NodeId, Op, Pooling};

/// One operation; inputs are indices of earlier steps.
pub(super) struct Step {
    pub(super) kind: Kind,
    pub(super) inputs: Vec<usize>,
    /// The node of the network whose output this is.
    pub(super) node: NodeId,
}

pub(super) enum Kind {
    Input,
    Convolution {
        /// `[out, in / groups, k, k]`
        weight: Values,
        /// `[out]`
        bias: Values,
        stride: usize,
        groups: usize,
        /// Rows and columns added: top, left, bottom, right.
        pads: [usize; 4],
    },
    Activation(Activation),
    Add,
    /// The mean of each channel, `[1, C, 1, 1]`.
    Squeeze,
    /// A map times its gate.
    Gate,
    MaxPool {
        kernel: usize,
        stride: usize,
        padding: usize,
    },
    /// Map to vector by the mean, or by a generalised mean with this exponent.
    Pool(Option<f32>),
    /// `scale x + shift` of the pooled features, in float, so that the layer after it reads
    /// features of one size.
    Affine {
        scale: Values,
        shift: Values,
    },
    Linear {
        /// `[out, in]`
        weight: Values,
        /// `[out]`
        bias: Values,
    },
}

pub(super) struct Folded {
    /// In the order of computation; the output of the last one, normalised to length 1, is the
    /// embedding.
    pub(super) steps: Vec<Step>,
    /// `[C, H, W]` of the image.
    pub(super) input: [usize; 3],
    pub(super) dimension: usize,
    /// See [`flukewatch_network::Network::slices`].
    pub(super) slices: usize,
}

/// The steps that compute `nodes`, whose output shapes are `shapes`; `weights` holds all of their
/// parameters.
pub(super) fn fold_nodes(nodes: &[Node], shapes: &[Vec<usize>], weights: &Weights) -> Vec<Step> {
    let mut steps: Vec<Step> = vec![];
    let mut step_of: Vec<usize> = vec![0; nodes.len()];
    for (id, node) in nodes.iter().enumerate() {
        let kind = match &node.op {
            Op::Dropout(_) => {
                step_of[id] = step_of[node.inputs[0]];
                continue;
            }
            Op::Norm(norm) => {
                let affine = norm.affine(weights);
                let values = |data| Values {
                    shape: vec![norm.channels],
                    data,
                };
                Kind::Affine {
                    scale: values(affine.scale),
                    shift: values(affine.shift),
                }
            }
            Op::Input => Kind::Input,
            Op::Convolution(c) => convolution(c, weights, &shapes[node.inputs[0]]),
            Op::Activation(a) => Kind::Activation(*a),
            Op::Add => Kind::Add,
            Op::Squeeze => Kind::Squeeze,
            Op::Gate => Kind::Gate,
            &Op::MaxPool {
                kernel,
                stride,
                padding,
            } => Kind::MaxPool {
                kernel,
                stride,
                padding,
            },
            Op::Pool(Pooling::Average) => Kind::Pool(None),
            Op::Pool(Pooling::Gem) => Kind::Pool(weights["pool.p"].data.first().copied()),
            Op::Linear { name, .. } => Kind::Linear {
                weight: weights[&format!("{name}.weight")].clone(),
                bias: weights[&format!("{name}.bias")].clone(),
            },
        };
        step_of[id] = steps.len();
        steps.push(Step {
            kind,
            inputs: node.inputs.iter().map(|&i| step_of[i]).collect(),
            node: id,
        });
    }
    steps
}

fn convolution(c: &Convolution, weights: &Weights, input: &[usize]) -> Kind {
    let mut weight = weights[&format!("{}.weight", c.name)].clone();
    let bias = if let Some(norm) = &c.norm {
        let mut bias = vec![0.0; c.outputs];
        norm.affine(weights).fold_into(&mut weight.data, &mut bias);
        Values {
            shape: vec![c.outputs],
            data: bias,
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
    }
}
