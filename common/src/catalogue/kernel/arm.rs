//! NEON, and the dot products of ARMv8.2.
#![allow(
    unsafe_code,
    reason = "vector loads take pointers, the dot product has no stable intrinsic, and a function \
              compiled for a CPU feature may only be called where the processor has it; each block \
              says why it is sound"
)]

use super::{CHUNK, Chunk};
use std::arch::aarch64::*;
use std::arch::is_aarch64_feature_detected;

/// Whether the processor has NEON; without it, [`neon`] is correct but slow.
pub(super) fn has_neon() -> bool {
    is_aarch64_feature_detected!("neon")
}

/// Whether the processor has dot products; without them, [`sdot`] is correct but slow.
pub(super) fn has_sdot() -> bool {
    has_neon() && is_aarch64_feature_detected!("dotprod")
}

/// See [`super::Kernel::dots`].
pub(super) fn neon(query: &[Chunk], rows: &[Chunk], out: &mut [i32]) {
    if !has_neon() {
        return super::scalar(query, rows, out);
    }
    // SAFETY: the processor has NEON, checked above; the function has no other precondition.
    unsafe { neon_here(query, rows, out) }
}

/// See [`super::Kernel::dots`].
pub(super) fn sdot(query: &[Chunk], rows: &[Chunk], out: &mut [i32]) {
    if !has_sdot() {
        return super::scalar(query, rows, out);
    }
    // SAFETY: the processor has NEON and its dot products, checked above; the function has no other
    // precondition.
    unsafe { sdot_here(query, rows, out) }
}

/// A pair of products is at most 2 * 127 * 127, which fits i16.
#[target_feature(enable = "neon")]
fn neon_here(query: &[Chunk], rows: &[Chunk], out: &mut [i32]) {
    for (row, out) in rows.chunks_exact(query.len()).zip(out) {
        let mut sums = [vdupq_n_s32(0); 4];
        for (q, r) in query.iter().zip(row) {
            for ((sum, q), r) in sums.iter_mut().zip(quarters(q)).zip(quarters(r)) {
                let pairs = vmull_s8(vget_low_s8(q), vget_low_s8(r));
                *sum = vpadalq_s16(*sum, vmlal_high_s8(pairs, q, r));
            }
        }
        *out = total(sums);
    }
}

#[target_feature(enable = "neon,dotprod")]
fn sdot_here(query: &[Chunk], rows: &[Chunk], out: &mut [i32]) {
    for (row, out) in rows.chunks_exact(query.len()).zip(out) {
        let mut sums = [vdupq_n_s32(0); 4];
        for (q, r) in query.iter().zip(row) {
            for ((sum, q), r) in sums.iter_mut().zip(quarters(q)).zip(quarters(r)) {
                // SAFETY: the instruction only uses registers, and the caller guarantees dotprod.
                unsafe {
                    std::arch::asm!(
                        "sdot {sum:v}.4s, {q:v}.16b, {r:v}.16b",
                        sum = inout(vreg) *sum,
                        q = in(vreg) q,
                        r = in(vreg) r,
                        options(pure, nomem, nostack, preserves_flags),
                    );
                }
            }
        }
        *out = total(sums);
    }
}

#[target_feature(enable = "neon")]
#[inline]
fn total(sums: [int32x4_t; 4]) -> i32 {
    let [a, b, c, d] = sums;
    vaddvq_s32(vaddq_s32(vaddq_s32(a, b), vaddq_s32(c, d)))
}

#[target_feature(enable = "neon")]
#[inline]
fn quarters(chunk: &Chunk) -> [int8x16_t; 4] {
    const { assert!(CHUNK == 64) };
    // SAFETY: a referenced chunk is 64 bytes: the loads of 16 bytes from its quarters are within
    // it.
    unsafe {
        let start = chunk.0.as_ptr();
        [
            vld1q_s8(start),
            vld1q_s8(start.add(16)),
            vld1q_s8(start.add(32)),
            vld1q_s8(start.add(48)),
        ]
    }
}
