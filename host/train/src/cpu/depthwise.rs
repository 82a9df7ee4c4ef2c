//! Kernel gradients of depthwise convolutions on the CPU.
//!
//! oneDNN has no fast kernel gradient for 5 x 5 kernels on small maps without AVX-512: it computes a
//! matrix product for each channel, a sixth of a training step. Here the map is traversed once, sixteen
//! channels at a time, for all positions of the kernel.

use super::floats;
#[cfg(target_arch = "x86_64")]
use super::lanes::x86::{Avx2, Avx512};
use super::lanes::{LANES, Lanes, Sums};
use crate::torch::operations::convolve;
use flukewatch_network::Convolution;
use rayon::prelude::*;
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

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

/// For each row and column of a kernel.
type KernelSums<const K: usize> = [[Lanes; K]; K];

#[inline(always)]
fn lanes(values: &[f32], at: usize) -> &Lanes {
    let values = values[at..].first_chunk();
    values.expect("a pixel has as many channels as are summed")
}

fn write<const K: usize>(sums: &KernelSums<K>, gradient: &mut [f32]) {
    for (place, lanes) in sums.as_flattened().iter().enumerate() {
        for (lane, sum) in lanes.iter().enumerate() {
            gradient[lane * K * K + place] = *sum;
        }
    }
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
        match self.kernel {
            _ if lanes < LANES => self.sum_each(first, input, of_output, gradient),
            3 => write(&self.sum_lanes::<3>(first, input, of_output), gradient),
            5 => write(&self.sum_lanes::<5>(first, input, of_output), gradient),
            _ => self.sum_each(first, input, of_output, gradient),
        }
    }

    /// Of any kernel and number of channels.
    fn sum_each(&self, first: usize, input: &[f32], of_output: &[f32], gradient: &mut [f32]) {
        let places = self.kernel * self.kernel;
        for (number, gradient) in gradient.iter_mut().enumerate() {
            let (channel, place) = (first + number / places, number % places);
            let (y0, y1) = self.within(0, place / self.kernel);
            let (x0, x1) = self.within(1, place % self.kernel);
            for image in 0..self.images {
                for y in y0..y1 {
                    let row = y * self.stride + place / self.kernel - self.before[0];
                    let mut sum = 0.0;
                    for x in x0..x1 {
                        let column = x * self.stride + place % self.kernel - self.before[1];
                        let from = (image * self.out[0] + y) * self.out[1] + x;
                        let read = (image * self.map[0] + row) * self.map[1] + column;
                        sum += of_output[from * self.channels + channel]
                            * input[read * self.channels + channel];
                    }
                    *gradient += sum;
                }
            }
        }
    }

    /// The sums of [`LANES`] channels for each row and column of the kernel, with the widest vectors of
    /// this processor.
    #[allow(
        unsafe_code,
        reason = "a function compiled for a CPU feature may only be called where the processor has it"
    )]
    fn sum_lanes<const K: usize>(
        &self,
        first: usize,
        input: &[f32],
        of_output: &[f32],
    ) -> KernelSums<K> {
        #[cfg(target_arch = "x86_64")]
        {
            if Avx512::available() {
                // SAFETY: the processor has AVX-512 F, checked above; it requires nothing else.
                return unsafe { self.sum_avx512(first, input, of_output) };
            }
            if Avx2::available() {
                // SAFETY: the processor has AVX2 and FMA, checked above; it requires nothing else.
                return unsafe { self.sum_avx2(first, input, of_output) };
            }
        }
        self.sum_rows::<K, Lanes>(first, input, of_output)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn sum_avx512<const K: usize>(&self, first: usize, x: &[f32], g: &[f32]) -> KernelSums<K> {
        self.sum_rows::<K, Avx512>(first, x, g)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn sum_avx2<const K: usize>(&self, first: usize, x: &[f32], g: &[f32]) -> KernelSums<K> {
        self.sum_rows::<K, Avx2>(first, x, g)
    }

    /// All places of the kernel in one pass over the maps, which are larger than the caches.
    #[inline(always)]
    fn sum_rows<const K: usize, S: Sums>(
        &self,
        first: usize,
        input: &[f32],
        of_output: &[f32],
    ) -> KernelSums<K> {
        let c = self.channels;
        let ranges: [_; K] = std::array::from_fn(|place| self.within(1, place));
        // Where all columns of the kernel read the map.
        let left = ranges.iter().map(|r| r.0).max().unwrap_or(0);
        let right = ranges.iter().map(|r| r.1).min().unwrap_or(0).max(left);
        let mut sums = [[[0f32; LANES]; K]; K];
        for image in 0..self.images {
            for y in 0..self.out[0] {
                let of_row = (image * self.out[0] + y) * self.out[1] * c + first;
                let of_row = &of_output[of_row..];
                for (place, sums) in sums.iter_mut().enumerate() {
                    let row = y * self.stride + place;
                    if row < self.before[0] || row - self.before[0] >= self.map[0] {
                        continue;
                    }
                    let row = (image * self.map[0] + row - self.before[0]) * self.map[1];
                    let row = &input[row * c + first..];
                    let mut line = [S::zero(); K];
                    for x in (0..left).chain(right..self.out[1]) {
                        let of_pixel = lanes(of_row, x * c);
                        for (place, (sum, range)) in line.iter_mut().zip(&ranges).enumerate() {
                            if (range.0..range.1).contains(&x) {
                                let column = x * self.stride + place - self.before[1];
                                *sum = sum.add_product(of_pixel, lanes(row, column * c));
                            }
                        }
                    }
                    for x in left..right {
                        let of_pixel = lanes(of_row, x * c);
                        let from = (x * self.stride - self.before[1]) * c;
                        for (place, sum) in line.iter_mut().enumerate() {
                            *sum = sum.add_product(of_pixel, lanes(row, from + place * c));
                        }
                    }
                    for (sum, line) in sums.iter_mut().zip(line) {
                        line.add_to(sum);
                    }
                }
            }
        }
        sums
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
        check(32, 5, 2, Padding::Same, [12, 24]);
        check(16, 5, 2, Padding::Same, [3, 3]);
        check(16, 3, 2, Padding::Symmetric(1), [8, 9]);
        check(48, 7, 1, Padding::Symmetric(3), [5, 9]);
    }
}
