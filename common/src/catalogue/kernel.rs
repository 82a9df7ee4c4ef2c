//! Dot products of one row of int8 codes with many rows: the only part of the search that reads all
//! rows.
//!
//! All kernels give the same integers. The kernel is selected at run time by the processor's
//! features, so that one program runs on every machine. Crates were considered first: numkong
//! (formerly simsimd) has such kernels, in C, one call per row, and its 2,000 kernels take longer
//! to compile than all of Flukewatch except the inference engine; the others are slower or
//! unmaintained.

#[cfg(target_arch = "aarch64")]
mod arm;
#[cfg(target_arch = "x86_64")]
mod x86;

/// The number of codes in a [`Chunk`].
pub(crate) const CHUNK: usize = 64;

/// 64 codes, each in -127..=127, on one cache line. A row is one or more chunks, the last one
/// padded with zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub(crate) struct Chunk(pub(crate) [i8; CHUNK]);

// -128 is excluded because its absolute value is not an i8, which the AVX2 kernel needs.
/// The largest absolute value of a code.
pub(crate) const LARGEST: i8 = 127;

/// The number of chunks in a row of `dimension` codes.
pub(crate) fn chunks(dimension: usize) -> usize {
    dimension.div_ceil(CHUNK).max(1)
}

/// An implementation of the dot products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// Plain Rust, for any processor.
    Scalar,
    /// AVX2: x86-64 since 2013.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 VNNI: Intel servers since 2019, AMD since 2022.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    /// NEON: any 64-bit ARM.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// SDOT: 64-bit ARM with dot products, e.g. Jetson Xavier and Orin, Raspberry Pi 5.
    #[cfg(target_arch = "aarch64")]
    Sdot,
}

impl Kernel {
    /// The kernels that this processor can run, fastest first.
    pub(crate) fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let special = [
            x86::has_avx512_vnni().then_some(Self::Avx512Vnni),
            x86::has_avx2().then_some(Self::Avx2),
        ];
        #[cfg(target_arch = "aarch64")]
        let special = [
            arm::has_sdot().then_some(Self::Sdot),
            arm::has_neon().then_some(Self::Neon),
        ];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let special: [Option<Self>; 0] = [];
        special.into_iter().flatten().chain([Self::Scalar])
    }

    /// The fastest kernel that this processor can run.
    pub(crate) fn best() -> Self {
        Self::available().next().unwrap_or(Self::Scalar)
    }

    /// The name of the kernel, for display.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => "AVX-512 VNNI",
            #[cfg(target_arch = "aarch64")]
            Self::Neon => "NEON",
            #[cfg(target_arch = "aarch64")]
            Self::Sdot => "SDOT",
        }
    }

    /// Sets `out[i]` to the dot product of `query` and the i-th row in `rows`, which holds
    /// `out.len()` rows, each as long as `query`.
    ///
    /// # Panics
    /// When `rows` holds another number of rows.
    pub(crate) fn dots(self, query: &[Chunk], rows: &[Chunk], out: &mut [i32]) {
        assert_eq!(rows.len(), query.len() * out.len(), "one row per output");
        if query.is_empty() {
            return out.fill(0);
        }
        match self {
            Self::Scalar => scalar(query, rows, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => x86::avx2(query, rows, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => x86::avx512_vnni(query, rows, out),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => arm::neon(query, rows, out),
            #[cfg(target_arch = "aarch64")]
            Self::Sdot => arm::sdot(query, rows, out),
        }
    }
}

/// The plain Rust kernel, the reference of the others.
fn scalar(query: &[Chunk], rows: &[Chunk], out: &mut [i32]) {
    for (row, out) in rows.chunks_exact(query.len()).zip(out) {
        *out = row
            .iter()
            .flat_map(|c| c.0)
            .zip(query.iter().flat_map(|c| c.0))
            .map(|(r, q)| i32::from(r) * i32::from(q))
            .sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chunk() -> impl Strategy<Value = Chunk> {
        let spread = proptest::collection::vec(-LARGEST..=LARGEST, CHUNK);
        // Extreme codes as well: the largest sums reveal saturation and overflow.
        let swings = proptest::collection::vec(any::<bool>(), CHUNK).prop_map(|signs| {
            signs
                .iter()
                .map(|&s| if s { LARGEST } else { -LARGEST })
                .collect()
        });
        let codes = prop_oneof![
            spread,
            swings,
            Just(vec![LARGEST; CHUNK]),
            Just(vec![-LARGEST; CHUNK]),
            Just(vec![0; CHUNK])
        ];
        codes.prop_map(|codes: Vec<i8>| Chunk(std::array::from_fn(|i| codes[i])))
    }

    proptest! {
        #[test]
        fn every_kernel_of_this_machine_gives_the_scalar_sums(
            (query, rows) in (1usize..5, 0usize..11).prop_flat_map(|(width, rows)| (
                proptest::collection::vec(chunk(), width),
                proptest::collection::vec(chunk(), width * rows),
            )),
        ) {
            let count = rows.len() / query.len();
            let mut expected = vec![0; count];
            scalar(&query, &rows, &mut expected);
            for kernel in Kernel::available() {
                let mut got = vec![-1; count];
                kernel.dots(&query, &rows, &mut got);
                prop_assert_eq!(&got, &expected, "{}", kernel.name());
            }
        }
    }

    #[test]
    fn the_longest_rows_do_not_overflow() {
        let width = chunks(65_536);
        let query = vec![Chunk([LARGEST; CHUNK]); width];
        for kernel in Kernel::available() {
            for code in [LARGEST, -LARGEST] {
                let mut got = [0];
                kernel.dots(&query, &vec![Chunk([code; CHUNK]); width], &mut got);
                assert_eq!(got, [65_536 * 127 * i32::from(code)], "{}", kernel.name());
            }
        }
    }

    #[test]
    fn the_best_kernel_is_one_that_runs() {
        assert!(Kernel::available().any(|k| k == Kernel::best()));
        assert!(Kernel::available().any(|k| k == Kernel::Scalar));
        println!(
            "search kernels: {:?}",
            Kernel::available().collect::<Vec<_>>()
        );
    }
}
