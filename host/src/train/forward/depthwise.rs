//! The slope of a depthwise kernel, on the CPU.
//!
//! oneDNN has no fast one for kernels of 5 x 5 on small maps without AVX-512: it takes a matrix product for each channel, and a
//! sixth of a training step. Here the map goes through once for each place of the kernel, sixteen channels side by side.

use crate::network::Convolution;
use crate::train::numbers;
use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

/// Channels that are summed side by side: as many floats as a cache line has.
const LANES: usize = 16;

/// A depthwise convolution of a forward pass, whose kernel's slope is still to be found.
pub struct Use {
    /// The kernel's name.
    pub name: String,
    /// What came out, whose slope libtorch finds.
    pub output: Tensor,
    convolution: Convolution,
    input: Tensor,
}

/// Whether the slope of this convolution's kernel is better found here, for an `input` that slopes go through.
pub(crate) fn serves(c: &Convolution, input: &Tensor, weight: &Tensor) -> bool {
    let depthwise = c.groups == c.inputs && c.inputs == c.outputs && c.inputs > 1;
    // A normalisation follows, so that nothing changes the output in place.
    let kept = c.norm.is_some() && input.requires_grad() && weight.requires_grad();
    depthwise && kept && input.device() == Device::Cpu && input.kind() == Kind::Float
}

impl Use {
    /// Of `input` `[N, C, H, W]`, with what came out of it.
    pub(crate) fn new(c: &Convolution, input: &Tensor, output: &Tensor) -> Self {
        Self {
            name: format!("{}.weight", c.name),
            output: output.shallow_clone(),
            convolution: c.clone(),
            input: input.detach(),
        }
    }

    /// The kernel's slope `[C, 1, K, K]`, from that of the output.
    pub fn slope(&self, of_output: &Tensor) -> Tensor {
        let c = &self.convolution;
        let size = |t: &Tensor| {
            let s = t.size();
            [s[0], s[2], s[3]].map(|v| v as usize)
        };
        let ([images, rows, columns], [_, out_rows, out_columns]) =
            (size(&self.input), size(of_output));
        let walk = Walk {
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
        let (input, of_output) = (channels_inside(&self.input), channels_inside(of_output));
        let (input, of_output) = (numbers::of(&input), numbers::of(&of_output));
        let places = c.kernel * c.kernel;
        let mut slope = vec![0f32; c.inputs * places];
        slope
            .par_chunks_mut(LANES * places)
            .enumerate()
            .for_each(|(block, slope)| walk.sum(block * LANES, input, of_output, slope));
        let kernel = c.kernel as i64;
        Tensor::from_slice(&slope).reshape([c.inputs as i64, 1, kernel, kernel])
    }
}

/// `[N, C, H, W]` as `[N, H, W, C]` in a row; without a copy where it lies so already, as maps do.
fn channels_inside(t: &Tensor) -> Tensor {
    t.detach().permute([0, 2, 3, 1]).contiguous()
}

/// The geometry of a depthwise convolution.
struct Walk {
    channels: usize,
    kernel: usize,
    images: usize,
    map: [usize; 2],
    out: [usize; 2],
    stride: usize,
    /// Rows and columns of zeros before the map.
    before: [usize; 2],
}

impl Walk {
    /// The slope `[lanes, K x K]` of the channels from `first` on.
    fn sum(&self, first: usize, input: &[f32], of_output: &[f32], slope: &mut [f32]) {
        let places = self.kernel * self.kernel;
        let lanes = slope.len() / places;
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
                slope[lane * places + place] = *sum;
            }
        }
    }

    /// The places of the output, along an axis, that a place of the kernel reads the map for and not its border.
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
    use super::super::operations::{channels_last, convolve};
    use super::*;
    use crate::network::{BatchNorm, Padding};

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
        assert!(serves(&c, &input, &weight));
        let output = convolve(&c, &input, &weight, None);
        let of_output = wave(&output.size(), 0.53);
        let loss = (&output * &of_output).sum(Kind::Float);
        let expected = &Tensor::run_backward(&[loss], &[&weight], false, false)[0];
        let got = Use::new(&c, &input, &output).slope(&of_output);
        assert_eq!(got.size(), expected.size());
        let off = (&got - expected).abs().max().double_value(&[]);
        assert!(off < 1e-3, "{off} with {c:?}");
    }

    #[test]
    fn it_is_libtorchs() {
        check(16, 3, 1, Padding::Same, [6, 7]);
        check(20, 5, 1, Padding::Same, [3, 6]);
        check(33, 5, 2, Padding::Same, [12, 24]);
        check(8, 3, 2, Padding::Same, [7, 9]);
        check(8, 3, 2, Padding::Symmetric(1), [8, 9]);
        check(16, 5, 1, Padding::Symmetric(2), [2, 1]);
    }
}
