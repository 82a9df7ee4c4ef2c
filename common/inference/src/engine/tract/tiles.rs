//! Which of tract's matrix kernels runs a small convolutional network on x86-64.
//!
//! tract weighs its kernels by costs measured on large matrices. The matrices of a mobile network are small and thin (a depth of 16 to 1152,
//! a side of 50 to 12,800), and there the middle tile was the fastest almost everywhere that each kernel was tried: with AVX-512 on a
//! Zen 4, 32 x 5 took 9.9 ms for the 33 matrices of the shipped model, where tract's choice (mostly 16 x 12) took 12; with FMA, 24 x 4
//! took 10.3 and tract's choice 10.6. `cargo xtask bench infer` measures the whole.

use tract_linalg::isa::{Arch, Isa};
use tract_linalg::mmm_tiers::MmmTier;
use tract_onnx::prelude::DatumType;

/// Above all of tract's own.
const PRECEDENCE: u8 = 100;

inventory::submit! {
    MmmTier {
        arch: Some(Arch::X86_64),
        precedence: PRECEDENCE,
        name: "flukewatch small convolutions",
        applies: |isa| isa.has(Isa::X86_64Avx2) && isa.has(Isa::X86_64Fma),
        preferred: |isa, accumulator, query, _| {
            // A vector has kernels of its own. A kernel that this machine or matrix cannot use is passed over by tract.
            let matrix = accumulator == DatumType::F32 && query.n != Some(1) && query.m != Some(1);
            matrix.then_some(if isa.has(Isa::X86_64Avx512f) {
                "avx512_mmm_f32_32x5"
            } else {
                "fma_mmm_f32_24x4"
            })
        },
    }
}

#[cfg(test)]
mod tests {
    use tract_linalg::MmmDispatch;
    use tract_linalg::isa::{Isa, native};
    use tract_linalg::mmm::{Query, suitable_named};
    use tract_onnx::prelude::DatumType;

    #[test]
    fn the_kernel_that_is_named_is_there() {
        let isa = native();
        if !isa.has(Isa::X86_64Avx2) || !isa.has(Isa::X86_64Fma) {
            return;
        }
        let dispatch = MmmDispatch::for_isa(isa);
        let query = Query::plain(DatumType::F32, Some(800), Some(40), Some(240));
        let suitable = dispatch.suitable(&query);
        let first = dispatch.tiers()[0];
        assert_eq!(first.precedence, super::PRECEDENCE);
        let name = (first.preferred)(&isa, DatumType::F32, &query, &suitable).unwrap();
        assert!(suitable_named(&suitable, name).is_some(), "no {name}");
    }
}
