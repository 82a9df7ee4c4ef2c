//! Single operations of a network in libtorch.

use super::tensors::channels_last;
use flukewatch_network::{Activation, BatchNorm, Convolution, Op};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use tch::{Kind, Tensor};

/// An operation without parameters that is the same in training and evaluation; `None` for others.
/// `input(i)` is its i-th input; it is overwritten in place where this node is its only reader
/// (`in_place`).
pub(crate) fn stateless(
    op: &Op,
    input: impl Fn(usize) -> Tensor,
    in_place: bool,
) -> Option<Tensor> {
    Some(match op {
        Op::Activation(activation) => {
            let mut x = input(0);
            match (activation, in_place) {
                (Activation::Relu, true) => x.relu_(),
                (Activation::Relu, false) => x.relu(),
                (Activation::Relu6, true) => x.relu6_(),
                (Activation::Relu6, false) => x.relu6(),
                // The gradients of these two need their input.
                (Activation::HardSwish, _) => x.hardswish(),
                (Activation::HardSigmoid, _) => x.hardsigmoid(),
            }
        }
        Op::Add => input(0) + input(1),
        Op::Squeeze => input(0).mean_dim([2i64, 3].as_slice(), true, None::<Kind>),
        Op::Gate => input(0) * input(1),
        Op::MaxPool {
            kernel,
            stride,
            padding,
        } => {
            let [k, s, p] = [kernel, stride, padding].map(|&v| v as i64);
            input(0).max_pool2d([k, k], [s, s], [p, p], [1, 1], false)
        }
        _ => return None,
    })
}

/// Weight and bias of a convolution with the following normalisation folded in, by its running
/// statistics.
pub(crate) fn folded(
    c: &Convolution,
    norm: &BatchNorm,
    tensors: &BTreeMap<String, Tensor>,
) -> (Tensor, Tensor) {
    let part = |part: &str| &tensors[&format!("{}.{part}", norm.name)];
    let scale = part("weight") / (part("running_var") + norm.epsilon).sqrt();
    let shift = part("bias") - part("running_mean") * &scale;
    let weight = &tensors[&format!("{}.weight", c.name)] * scale.reshape([-1, 1, 1, 1]);
    (weight, shift)
}

/// A convolution with its own padding, which may be uneven (TensorFlow's is); libtorch's cannot.
pub(crate) fn convolve(
    c: &Convolution,
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
) -> Tensor {
    let size = input.size();
    let (top, bottom) = c.padding.around(size[2] as usize, c.kernel, c.stride);
    let (left, right) = c.padding.around(size[3] as usize, c.kernel, c.stride);
    let (stride, groups) = ([c.stride as i64; 2], c.groups as i64);
    let output = if top == bottom && left == right {
        let padding = [top as i64, left as i64];
        input.conv2d(weight, bias, stride, padding, [1, 1], groups)
    } else {
        let padded = input.constant_pad_nd([left, right, top, bottom].map(|p| p as i64));
        padded.conv2d(weight, bias, stride, [0, 0], [1, 1], groups)
    };
    if c.inputs == 1 {
        // A one-channel map is laid out the same way in both memory formats, and libtorch picks
        // the other one: on grey photos everything after it would run at half the speed.
        channels_last(&output)
    } else {
        output
    }
}

/// Zeroes a `fraction` of the features and scales up the others. The mask comes from our own
/// generator, so that a run is reproducible from its seed.
pub(crate) fn dropout(features: &Tensor, fraction: f64, random: &mut ChaCha8Rng) -> Tensor {
    let kept = (1.0 / (1.0 - fraction)) as f32;
    let mask: Vec<f32> = (0..features.numel())
        .map(|_| {
            if random.random::<f64>() < fraction {
                0.0
            } else {
                kept
            }
        })
        .collect();
    features
        * Tensor::from_slice(&mask)
            .reshape(features.size())
            .to_device(features.device())
}
