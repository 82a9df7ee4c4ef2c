//! A channels-last depthwise convolution for tract on x86-64.
//!
//! tract moves depthwise convolutions to channels-last where it has a kernel for that: on aarch64,
//! but not on x86-64, where they run pixel by pixel along the image's edge. tract collects kernels
//! from all linked crates, so it finds the ones declared here like its own. On x86-64 these
//! convolutions took a third of the time of a mobile network.
#![allow(
    unsafe_code,
    reason = "tract calls kernels with pointers; vector loads take them, and a function compiled for a CPU \
              feature may only be called where the processor has it; each block says why it is sound"
)]

use std::arch::x86_64::*;
use tract_linalg::isa::{Arch, Isa, IsaReq};
use tract_linalg::routines::{Func, Routine, RoutineFactory};

inventory::submit! {
    Routine {
        func: Func::DepthwiseC,
        arch: Some(Arch::X86_64),
        isa: IsaReq { needs: &[Isa::X86_64Avx2, Isa::X86_64Fma] },
        boost: 0,
        round_trip: false,
        factory: RoutineFactory::DepthwiseCF32 { name: "flukewatch_avx2_depthwise_c_f32", run: avx2 },
    }
}

inventory::submit! {
    Routine {
        func: Func::DepthwiseC,
        arch: Some(Arch::X86_64),
        isa: IsaReq { needs: &[Isa::X86_64Avx512f] },
        boost: 0,
        round_trip: false,
        factory: RoutineFactory::DepthwiseCF32 { name: "flukewatch_avx512_depthwise_c_f32", run: avx512 },
    }
}

/// The pointers and strides of one row of outputs, as described at `DepthwiseCF32` in tract.
#[derive(Clone, Copy)]
struct Row<'a> {
    input: *const f32,
    output: *mut f32,
    kernel: *const f32,
    taps: &'a [usize],
    offsets: &'a [isize],
    bias: *const f32,
    kernel_stride: usize,
    in_stride: isize,
    out_stride: isize,
}

/// All channels of `len` positions: two vectors of channels at a time while there are enough, then
/// one. `$block` computes one block, `$lanes` is its channels per vector, and `$abreast` the
/// positions per block, from the most to 1: the more positions are summed together, the less often
/// a tap's weights are loaded, as long as the sums fit in the registers.
macro_rules! by_blocks {
    ($block:ident, $lanes:expr, [$($abreast:literal),+], $row:ident, $channels:ident, $len:ident) => {{
        let mut c = 0;
        while c + 2 * $lanes <= $channels {
            let mut i = 0;
            $(while $len - i >= $abreast {
                $block::<2, $abreast>($row, c, i, $lanes);
                i += $abreast;
            })+
            c += 2 * $lanes;
        }
        while c < $channels {
            let lanes = ($channels - c).min($lanes);
            let mut i = 0;
            $(while $len - i >= $abreast {
                $block::<1, $abreast>($row, c, i, lanes);
                i += $abreast;
            })+
            c += $lanes;
        }
    }};
}

/// A kernel with the signature that tract expects; it runs `$block` block by block, see
/// [`by_blocks`].
macro_rules! kernel {
    ($name:ident, $block:ident, $lanes:expr, $abreast:tt, $features:literal) => {
        /// # Safety
        /// The pointers must be as tract's `DepthwiseCF32` requires, and the processor must have
        /// the features of the kernel's declaration.
        #[allow(clippy::too_many_arguments, reason = "the signature is tract's")]
        unsafe fn $name(
            input: *const f32,
            output: *mut f32,
            kernel: *const f32,
            taps: &[usize],
            offsets: &[isize],
            bias: *const f32,
            channels: usize,
            kernel_stride: usize,
            len: usize,
            in_stride: isize,
            out_stride: isize,
        ) {
            #[target_feature(enable = $features)]
            unsafe fn all(row: Row<'_>, channels: usize, len: usize) {
                // SAFETY: every block is within `channels` and `len`, which the caller guarantees.
                unsafe { by_blocks!($block, $lanes, $abreast, row, channels, len) }
            }
            let row = Row {
                input,
                output,
                kernel,
                taps,
                offsets,
                bias,
                kernel_stride,
                in_stride,
                out_stride,
            };
            // SAFETY: tract runs a kernel only where the processor has the features of its
            // declaration.
            unsafe { all(row, channels, len) }
        }
    };
}

kernel!(avx2, avx2_block, 8, [4, 2, 1], "avx2,fma");
kernel!(avx512, avx512_block, 16, [8, 4, 2, 1], "avx512f");

/// One block of outputs, in vectors of `$lanes` channels. `$first(n)` is the mask of the first `n`
/// lanes; `$load_some` and `$store_some` access only these.
macro_rules! block {
    ($name:ident, $lanes:expr, $features:literal, $zero:expr, $first:expr, $load:expr, $load_some:expr, $store:expr, $store_some:expr,
     $multiply_add:expr) => {
        /// `V` vectors of channels from `c` on, for `P` positions from `i` on. The first `lanes`
        /// lanes of the last vector are channels; the others are neither read nor written.
        ///
        /// # Safety
        /// `row` must be valid for the channels and positions of the block, and the processor must
        /// have the features of the kernel's declaration.
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn $name<const V: usize, const P: usize>(
            row: Row<'_>,
            c: usize,
            i: usize,
            lanes: usize,
        ) {
            // SAFETY: all addresses are those of the block's channels and positions, which the
            // caller guarantees; other lanes are not accessed.
            unsafe {
                let (all, some) = (lanes == $lanes, $first(lanes));
                let load = |from: *const f32| {
                    if all {
                        $load(from)
                    } else {
                        $load_some(from, some)
                    }
                };
                let input = row.input.offset(i as isize * row.in_stride).add(c);
                let mut sums = [[$zero; V]; P];
                for sums in &mut sums {
                    for (v, sum) in sums.iter_mut().enumerate() {
                        *sum = load(row.bias.add(c + $lanes * v));
                    }
                }
                for (&tap, &offset) in row.taps.iter().zip(row.offsets) {
                    let kernel = row.kernel.add(tap * row.kernel_stride + c);
                    let input = input.offset(offset);
                    for v in 0..V {
                        let weight = load(kernel.add($lanes * v));
                        for (p, sums) in sums.iter_mut().enumerate() {
                            let x = load(input.offset(p as isize * row.in_stride).add($lanes * v));
                            sums[v] = $multiply_add(x, weight, sums[v]);
                        }
                    }
                }
                for (p, sums) in sums.iter().enumerate() {
                    let output = row.output.offset((i + p) as isize * row.out_stride).add(c);
                    for (v, &sum) in sums.iter().enumerate() {
                        if all {
                            $store(output.add($lanes * v), sum);
                        } else {
                            $store_some(output.add($lanes * v), some, sum);
                        }
                    }
                }
            }
        }
    };
}

block!(
    avx2_block,
    8,
    "avx2,fma",
    _mm256_setzero_ps(),
    |lanes| _mm256_cmpgt_epi32(
        _mm256_set1_epi32(lanes as i32),
        _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)
    ),
    _mm256_loadu_ps,
    _mm256_maskload_ps,
    _mm256_storeu_ps,
    _mm256_maskstore_ps,
    _mm256_fmadd_ps
);
block!(
    avx512_block,
    16,
    "avx512f",
    _mm512_setzero_ps(),
    |lanes| (u32::MAX >> (32 - lanes)) as __mmask16,
    _mm512_loadu_ps,
    |from, some| _mm512_maskz_loadu_ps(some, from),
    _mm512_storeu_ps,
    _mm512_mask_storeu_ps,
    _mm512_fmadd_ps
);

#[cfg(test)]
mod tests {
    use super::*;
    use tract_linalg::routines::{DepthwiseCF32, depthwise_c_f32};

    fn numbers(count: usize, seed: f32) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * 0.37 + seed).sin()).collect()
    }

    /// Compares with plain sums, on rows that do and do not fill whole blocks, with gaps that must
    /// stay unchanged.
    fn check(run: DepthwiseCF32, stride: usize) {
        for channels in [1, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 70] {
            for len in [0, 1, 3, 4, 5, 9, 15] {
                let pixel = channels + 5;
                let taps = [0usize, 2, 3, 7, 8];
                // Including a tap to the left of the first position.
                let offsets = taps.map(|t| (t as isize - 2) * pixel as isize);
                let first = 2 * pixel;
                let input = numbers(first + (len * stride + 10) * pixel, 0.1);
                let kernel = numbers(9 * pixel, 0.2);
                let bias = numbers(channels, 0.3);
                let mut output = vec![-7f32; (len + 1) * pixel];
                // SAFETY: input, kernel and bias cover all taps, positions and channels, and output
                // holds all positions.
                unsafe {
                    run(
                        input.as_ptr().add(first),
                        output.as_mut_ptr(),
                        kernel.as_ptr(),
                        &taps,
                        &offsets,
                        bias.as_ptr(),
                        channels,
                        pixel,
                        len,
                        (stride * pixel) as isize,
                        pixel as isize,
                    );
                }
                for (at, &got) in output.iter().enumerate() {
                    let (i, c) = (at / pixel, at % pixel);
                    if i >= len || c >= channels {
                        assert_eq!(got, -7.0, "wrote to {at} outside of {channels} x {len}");
                        continue;
                    }
                    let sum: f32 = std::iter::zip(taps, offsets)
                        .map(|(tap, offset)| {
                            let from = first + i * stride * pixel + c;
                            kernel[tap * pixel + c] * input[from.wrapping_add_signed(offset)]
                        })
                        .sum();
                    let expected = bias[c] + sum;
                    assert!(
                        (got - expected).abs() < 1e-5,
                        "{channels} channels, {len} positions: {got} instead of {expected} at {i}, {c}"
                    );
                }
            }
        }
    }

    #[test]
    fn avx2_sums_the_taps() {
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            check(avx2, 1);
            check(avx2, 2);
        }
    }

    #[test]
    fn avx512_sums_the_taps() {
        if is_x86_feature_detected!("avx512f") {
            check(avx512, 1);
            check(avx512, 2);
        }
    }

    #[test]
    fn tract_uses_the_kernel() {
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            assert!(depthwise_c_f32().is_some());
        }
    }
}
