//! Single operations of a network in libtorch.

use crate::network::{Activation, BatchNorm, Convolution, Op};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use tch::{Kind, Tensor};

/// An operation without parameters that is the same in training and evaluation; `None` for others. `input(i)` is its i-th input,
/// whose memory may serve again where nobody else reads it (`alone`).
pub(crate) fn simple(op: &Op, input: impl Fn(usize) -> Tensor, alone: bool) -> Option<Tensor> {
    Some(match op {
        Op::Activation(activation) => {
            let mut x = input(0);
            match (activation, alone) {
                (Activation::Relu, true) => x.relu_(),
                (Activation::Relu, false) => x.relu(),
                (Activation::Relu6, true) => x.relu6_(),
                (Activation::Relu6, false) => x.relu6(),
                // The slopes of these two need their input.
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

/// Weight and bias of a convolution with the normalisation that follows it, by the running statistics.
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

/// A convolution with its own padding, which libtorch's cannot always be: TensorFlow's pads unevenly.
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
        // A map of one channel lies the same way in both layouts, and libtorch takes the other: on grey photos, all that follows
        // would run in it, at half the speed.
        channels_last(&output)
    } else {
        output
    }
}

/// `[N, D]` to unit length, row by row.
pub fn normalise(embeddings: &Tensor) -> Tensor {
    embeddings
        / embeddings
            .norm_scalaropt_dim(2.0, [1i64], true)
            .clamp_min(1e-12)
}

/// `[N, C, H, W]` with channels innermost in memory, which convolutions on CPU and CUDA prefer.
pub fn channels_last(t: &Tensor) -> Tensor {
    t.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

/// Zeroes a `share` of the features and scales the others up, drawn from our own generator, so that a run follows from its seed.
pub(crate) fn dropout(features: &Tensor, share: f64, random: &mut ChaCha8Rng) -> Tensor {
    let kept = (1.0 / (1.0 - share)) as f32;
    let mask: Vec<f32> = (0..features.numel())
        .map(|_| {
            if random.random::<f64>() < share {
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
