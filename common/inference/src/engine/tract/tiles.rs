//! Selects tract's matrix kernel for small convolutional networks on x86-64.
//!
//! tract selects kernels by costs measured on large matrices. The matrices of a mobile network are
//! small and thin (a depth of 16 to 1152, a side of 50 to 12,800); for these the middle tile was
//! fastest almost everywhere: with AVX-512 on a Zen 4, 32 x 5 took 9.9 ms for the 33 matrices of
//! the shipped model, tract's choice (mostly 16 x 12) 12; with FMA, 24 x 4 took 10.3 and tract's
//! choice 10.6. `cargo xtask bench infer` measures the whole network.

use tract_linalg::isa::{Arch, Isa};
use tract_linalg::mmm_tiers::MmmTier;
use tract_onnx::prelude::DatumType;

/// The priority of the rule, above all of tract's own.
const PRECEDENCE: u8 = 100;

inventory::submit! {
    MmmTier {
        arch: Some(Arch::X86_64),
        precedence: PRECEDENCE,
        name: "flukewatch small convolutions",
        applies: |isa| isa.has(Isa::X86_64Avx2) && isa.has(Isa::X86_64Fma),
        preferred: |isa, accumulator, query, _| {
            // Vectors have separate kernels. tract skips a kernel that this machine or matrix
            // cannot use.
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
    fn the_named_kernel_exists() {
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
