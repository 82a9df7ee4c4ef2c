//! Kernel gradients of depthwise convolutions on the CPU.
//!
//! oneDNN has no fast kernel gradient for 5 x 5 kernels on small maps without AVX-512: it computes a
//! matrix product for each channel, a sixth of a training step. Here the map is traversed once for
//! each position of the kernel, sixteen channels at a time.

use super::floats;
use crate::torch::operations::convolve;
use flukewatch_network::Convolution;
use rayon::prelude::*;
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

/// Channels that are summed at a time: as many floats as a cache line holds.
const LANES: usize = 16;

/// The activations that a forward pass saves for kernel gradients which are computed outside libtorch's
/// autograd. Handed from the forward pass to the optimiser step.
#[derive(Default)]
pub struct SavedActivations(Vec<Saved>);

/// A depthwise convolution of a forward pass.
struct Saved {
    kernel: String,
    convolution: Convolution,
    input: Tensor,
    /// Its gradient comes from autograd.
    output: Tensor,
}

impl SavedActivations {
    /// A convolution without bias; its activations are saved if its kernel gradient is faster here.
    pub(crate) fn convolve(&mut self, c: &Convolution, input: &Tensor, weight: &Tensor) -> Tensor {
        if !supports(c, input, weight) {
            return convolve(c, input, weight, None);
        }
        let output = convolve(c, input, &weight.detach(), None);
        self.0.push(Saved {
            kernel: format!("{}.weight", c.name),
            convolution: c.clone(),
            input: input.detach(),
            output: output.shallow_clone(),
        });
        output
    }

    /// The outputs whose gradients [`Self::kernel_gradients`] needs.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = &Tensor> {
        self.0.iter().map(|saved| &saved.output)
    }

    /// Kernel gradients by parameter name, from the gradients of the outputs, in order.
    pub(crate) fn kernel_gradients(self, of_outputs: Vec<Tensor>) -> BTreeMap<String, Tensor> {
        std::iter::zip(self.0, of_outputs)
            .filter(|(_, of_output)| of_output.defined())
            .map(|(saved, of_output)| {
                let gradient = kernel_gradient(&saved.convolution, &saved.input, &of_output);
                (saved.kernel, gradient)
            })
            .collect()
    }
}

fn supports(c: &Convolution, input: &Tensor, weight: &Tensor) -> bool {
    let depthwise = c.groups == c.inputs && c.inputs == c.outputs && c.inputs > 1;
    // A normalisation follows, so nothing changes the output in place.
    let saved = c.norm.is_some() && input.requires_grad() && weight.requires_grad();
    depthwise && saved && input.device() == Device::Cpu && input.kind() == Kind::Float
}

/// # Shapes
/// `input` `[N, C, H, W]`, `of_output` `[N, C, H', W']`; returns `[C, 1, K, K]`.
fn kernel_gradient(c: &Convolution, input: &Tensor, of_output: &Tensor) -> Tensor {
    let size = |t: &Tensor| {
        let s = t.size();
        [s[0], s[2], s[3]].map(|v| v as usize)
    };
    let ([images, rows, columns], [_, out_rows, out_columns]) = (size(input), size(of_output));
    let geometry = Geometry {
        channels: c.inputs,
        kernel: c.kernel,
        images,
        map: [rows, columns],
        out: [out_rows, out_columns],
        stride: c.stride,
        before: [
            c.padding.around(rows, c.kernel, c.stride).0,
            c.padding.around(columns, c.kernel, c.stride).0,
        ],
    };
    let (input, of_output) = (channels_inside(input), channels_inside(of_output));
    let (input, of_output) = (floats::of(&input), floats::of(&of_output));
    let places = c.kernel * c.kernel;
    let mut gradient = vec![0f32; c.inputs * places];
    gradient
        .par_chunks_mut(LANES * places)
        .enumerate()
        .for_each(|(block, gradient)| geometry.sum(block * LANES, input, of_output, gradient));
    let kernel = c.kernel as i64;
    Tensor::from_slice(&gradient).reshape([c.inputs as i64, 1, kernel, kernel])
}

/// `[N, C, H, W]` as contiguous `[N, H, W, C]`; no copy where it is laid out so already, as maps are.
fn channels_inside(t: &Tensor) -> Tensor {
    t.detach().permute([0, 2, 3, 1]).contiguous()
}

/// The geometry of a depthwise convolution.
struct Geometry {
    channels: usize,
    kernel: usize,
    images: usize,
    map: [usize; 2],
    out: [usize; 2],
    stride: usize,
    /// Rows and columns of padding before the map.
    before: [usize; 2],
}

impl Geometry {
    /// The gradient `[lanes, K x K]` of the channels starting at `first`.
    fn sum(&self, first: usize, input: &[f32], of_output: &[f32], gradient: &mut [f32]) {
        let places = self.kernel * self.kernel;
        let lanes = gradient.len() / places;
        let [rows, columns] = self.map;
        let [out_rows, out_columns] = self.out;
        let c = self.channels;
        for place in 0..places {
            let (y0, y1) = self.within(0, place / self.kernel);
            let (x0, x1) = self.within(1, place % self.kernel);
            if x0 == x1 {
                continue;
            }
            let mut sums = [0f32; LANES];
            for image in 0..self.images {
                for y in y0..y1 {
                    let row = y * self.stride + place / self.kernel - self.before[0];
                    let column = x0 * self.stride + place % self.kernel - self.before[1];
                    let mut from = ((image * out_rows + y) * out_columns + x0) * c + first;
                    let mut read = ((image * rows + row) * columns + column) * c + first;
                    for _ in x0..x1 {
                        if lanes == LANES {
                            let (g, x) = (&of_output[from..][..LANES], &input[read..][..LANES]);
                            for ((sum, g), x) in sums.iter_mut().zip(g).zip(x) {
                                *sum += g * x;
                            }
                        } else {
                            let (g, x) = (&of_output[from..][..lanes], &input[read..][..lanes]);
                            for ((sum, g), x) in sums.iter_mut().zip(g).zip(x) {
                                *sum += g * x;
                            }
                        }
                        from += c;
                        read += self.stride * c;
                    }
                }
            }
            for (lane, sum) in sums[..lanes].iter().enumerate() {
                gradient[lane * places + place] = *sum;
            }
        }
    }

    /// The range of the output, along an axis, for which a kernel position reads the map and not padding.
    fn within(&self, axis: usize, place: usize) -> (usize, usize) {
        let before = self.before[axis];
        // at * stride + place - before in 0..map
        let first = before.saturating_sub(place).div_ceil(self.stride);
        let end = (self.map[axis] + before)
            .saturating_sub(place)
            .div_ceil(self.stride)
            .min(self.out[axis]);
        (first.min(end), end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torch::tensors::channels_last;
    use flukewatch_network::{BatchNorm, Padding};

    fn check(channels: usize, kernel: usize, stride: usize, padding: Padding, [h, w]: [i64; 2]) {
        let c = Convolution {
            name: "c".into(),
            inputs: channels,
            outputs: channels,
            kernel,
            stride,
            groups: channels,
            padding,
            norm: Some(BatchNorm {
                name: "n".into(),
                channels,
                epsilon: 1e-3,
                momentum: 0.1,
            }),
        };
        let wave = |shape: &[i64], step: f64| {
            let count = shape.iter().product::<i64>();
            (Tensor::arange(count, (Kind::Float, Device::Cpu)) * step)
                .sin()
                .reshape(shape)
        };
        let (n, k, kernel) = (3, channels as i64, kernel as i64);
        let input = channels_last(&wave(&[n, k, h, w], 0.37)).set_requires_grad(true);
        let weight = wave(&[k, 1, kernel, kernel], 0.91).set_requires_grad(true);
        assert!(supports(&c, &input, &weight));
        let output = convolve(&c, &input, &weight, None);
        let of_output = wave(&output.size(), 0.53);
        let loss = (&output * &of_output).sum(Kind::Float);
        let expected = &Tensor::run_backward(&[loss], &[&weight], false, false)[0];
        let got = kernel_gradient(&c, &input, &of_output);
        assert_eq!(got.size(), expected.size());
        let off = (&got - expected).abs().max().double_value(&[]);
        assert!(off < 1e-3, "{off} with {c:?}");
    }

    #[test]
    fn it_equals_libtorchs() {
        check(16, 3, 1, Padding::Same, [6, 7]);
        check(20, 5, 1, Padding::Same, [3, 6]);
        check(33, 5, 2, Padding::Same, [12, 24]);
        check(8, 3, 2, Padding::Same, [7, 9]);
        check(8, 3, 2, Padding::Symmetric(1), [8, 9]);
        check(16, 5, 1, Padding::Symmetric(2), [2, 1]);
    }
}
