//! AVX2 and AVX-512 VNNI.
#![allow(
    unsafe_code,
    reason = "vector loads take pointers, and a function compiled for a CPU feature may only be called \
              where the processor has it; each block says why it is sound"
)]

use super::{CHUNK, Chunk};
use std::arch::x86_64::*;

/// Whether the processor has AVX2; without it, [`avx2`] is correct but slow.
pub(super) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
}

/// Whether the processor has AVX-512 VNNI; without it, [`avx512_vnni`] is correct but slow.
pub(super) fn has_avx512_vnni() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni")
}

/// See [`super::Kernel::dots`].
pub(super) fn avx2(query: &[Chunk], rows: &[Chunk], out: &mut [i32]) {
    if !has_avx2() {
        return super::scalar(query, rows, out);
    }
    // SAFETY: the processor has AVX2, checked above; the function has no other precondition.
    unsafe { avx2_here(query, rows, out) }
}

/// See [`super::Kernel::dots`].
pub(super) fn avx512_vnni(query: &[Chunk], rows: &[Chunk], out: &mut [i32]) {
    if !has_avx512_vnni() {
        return super::scalar(query, rows, out);
    }
    // SAFETY: the processor has AVX-512 F and VNNI, checked above; the function has no other
    // precondition.
    unsafe { avx512_vnni_here(query, rows, out) }
}

/// How far ahead of the sums memory is prefetched, in bytes. The hardware prefetcher stops at the
/// end of each 4 KiB page.
const AHEAD: usize = 4096;

/// Prefetches the chunk [`AHEAD`] of `here` into the second-level cache: the first has too few
/// slots for the loads in flight, and a search that waits for memory takes a third longer.
#[inline(always)]
fn prefetch(here: &Chunk) {
    let ahead = (&raw const here.0).cast::<i8>().wrapping_add(AHEAD);
    // SAFETY: a hint that allows any address: it has no visible effect and never faults. It belongs
    // to SSE, which every x86-64 has.
    unsafe { _mm_prefetch::<_MM_HINT_T1>(ahead) }
}

/// Rows that are summed in parallel, so that the sums do not depend on each other and the query's
/// codes are loaded once for all.
const ABREAST: usize = 4;

/// Processes four rows at a time, then the rest one by one.
macro_rules! by_fours {
    ($query:ident, $rows:ident, $out:ident, $sums:ident, $($more:expr),*) => {
        let width = $query.len();
        let (fours, rest) = $out.as_chunks_mut::<ABREAST>();
        let (of_fours, of_rest) = $rows.split_at(fours.len() * ABREAST * width);
        for (four, out) in of_fours.chunks_exact(ABREAST * width).zip(fours) {
            let (a, four) = four.split_at(width);
            let (b, four) = four.split_at(width);
            let (c, d) = four.split_at(width);
            *out = $sums($query, [a, b, c, d], $($more),*);
        }
        for (row, out) in of_rest.chunks_exact(width).zip(rest) {
            [*out] = $sums($query, [row], $($more),*);
        }
    };
}

#[target_feature(enable = "avx2")]
fn avx2_here(query: &[Chunk], rows: &[Chunk], out: &mut [i32]) {
    by_fours!(query, rows, out, avx2_sums,);
}

/// AVX2 multiplies unsigned bytes by signed ones, so the query's signs are moved to the row. A pair
/// of products is at most 2 * 127 * 127, which fits i16: nothing saturates.
#[target_feature(enable = "avx2")]
#[inline]
fn avx2_sums<const N: usize>(query: &[Chunk], rows: [&[Chunk]; N]) -> [i32; N] {
    let ones = _mm256_set1_epi16(1);
    let mut sums = [_mm256_setzero_si256(); N];
    for (at, q) in query.iter().enumerate() {
        for (half, q) in halves(q).into_iter().enumerate() {
            let sizes = _mm256_abs_epi8(q);
            for (sum, row) in sums.iter_mut().zip(rows) {
                if half == 0 {
                    prefetch(&row[at]);
                }
                let signed = _mm256_sign_epi8(halves(&row[at])[half], q);
                let pairs = _mm256_maddubs_epi16(sizes, signed);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
            }
        }
    }
    sums.map(|sum| {
        let four = _mm_add_epi32(
            _mm256_castsi256_si128(sum),
            _mm256_extracti128_si256::<1>(sum),
        );
        let two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
        _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<1>(two)))
    })
}

#[target_feature(enable = "avx2")]
#[inline]
fn halves(chunk: &Chunk) -> [__m256i; 2] {
    const { assert!(CHUNK == 64) };
    let start: *const __m256i = (&raw const chunk.0).cast();
    // SAFETY: a referenced chunk is 64 bytes, aligned to 64: both loads of 32 bytes are within it,
    // aligned to 32.
    unsafe { [_mm256_load_si256(start), _mm256_load_si256(start.add(1))] }
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn avx512_vnni_here(query: &[Chunk], rows: &[Chunk], out: &mut [i32]) {
    // The amount that the shift of the rows adds to each sum.
    let shift = 128 * query.iter().flat_map(|c| c.0).map(i32::from).sum::<i32>();
    by_fours!(query, rows, out, avx512_vnni_sums, shift);
}

/// VNNI also multiplies unsigned bytes by signed ones: the row's codes are shifted by 128, and 128
/// times the sum of the query's codes is subtracted at the end. With the largest dimension, 65,536,
/// and at most 255 * 127 per product the sums stay below 2^31.
#[target_feature(enable = "avx512f,avx512vnni")]
#[inline]
fn avx512_vnni_sums<const N: usize>(query: &[Chunk], rows: [&[Chunk]; N], shift: i32) -> [i32; N] {
    let top_bits = _mm512_set1_epi8(i8::MIN);
    let mut sums = [_mm512_setzero_si512(); N];
    for (at, q) in query.iter().enumerate() {
        let q = whole(q);
        for (sum, row) in sums.iter_mut().zip(rows) {
            prefetch(&row[at]);
            let shifted = _mm512_xor_si512(whole(&row[at]), top_bits);
            *sum = _mm512_dpbusd_epi32(*sum, shifted, q);
        }
    }
    totals(sums).map(|sum| sum.wrapping_sub(shift))
}

/// The sum of each vector's sixteen numbers. Four vectors are transposed first, which takes a third
/// of the operations of four separate sums.
#[target_feature(enable = "avx512f")]
#[inline]
fn totals<const N: usize>(sums: [__m512i; N]) -> [i32; N] {
    let mut totals = [0; N];
    let (fours, rest) = sums.as_chunks::<ABREAST>();
    let (of_fours, of_rest) = totals.as_chunks_mut::<ABREAST>();
    for ([a, b, c, d], out) in fours.iter().zip(of_fours) {
        let pair =
            |a, b| _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (ab, cd) = (pair(*a, *b), pair(*c, *d));
        let columns =
            _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
        let half = _mm256_add_epi32(
            _mm512_castsi512_si256(columns),
            _mm512_extracti64x4_epi64::<1>(columns),
        );
        let quarter = _mm_add_epi32(
            _mm256_castsi256_si128(half),
            _mm256_extracti128_si256::<1>(half),
        );
        *out = [
            _mm_cvtsi128_si32(quarter),
            _mm_extract_epi32::<1>(quarter),
            _mm_extract_epi32::<2>(quarter),
            _mm_extract_epi32::<3>(quarter),
        ];
    }
    for (sum, out) in rest.iter().zip(of_rest) {
        *out = _mm512_reduce_add_epi32(*sum);
    }
    totals
}

#[target_feature(enable = "avx512f")]
#[inline]
fn whole(chunk: &Chunk) -> __m512i {
    // SAFETY: a referenced chunk is 64 bytes, aligned to 64.
    unsafe { _mm512_load_si512((&raw const chunk.0).cast()) }
}
