//! Sixteen floats at a time, in the widest vectors of the processor.
#![allow(
    unsafe_code,
    reason = "vector loads take pointers, and functions compiled for a CPU feature may only be called \
              where the processor has it; each block says why it is sound"
)]

/// As many floats as a cache line holds.
pub(super) const LANES: usize = 16;

/// The values in memory.
pub(super) type Lanes = [f32; LANES];

/// Sums of [`LANES`] values in registers.
pub(super) trait Sums: Copy {
    /// Zeros.
    fn zero() -> Self;
    /// With `a * b` added.
    fn add_product(self, a: &Lanes, b: &Lanes) -> Self;
    /// Adds the sums to `total`.
    fn add_to(self, total: &mut Lanes);
}

/// On any processor.
impl Sums for Lanes {
    #[inline(always)]
    fn zero() -> Self {
        [0.0; LANES]
    }

    #[inline(always)]
    fn add_product(mut self, a: &Lanes, b: &Lanes) -> Self {
        for ((sum, a), b) in self.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
        self
    }

    #[inline(always)]
    fn add_to(self, total: &mut Lanes) {
        total.iter_mut().zip(self).for_each(|(t, s)| *t += s);
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use super::{Lanes, Sums};
    use std::arch::x86_64::*;

    /// With AVX-512 F.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx512(__m512);

    impl Avx512 {
        /// Whether the processor has what this needs. Values are made only where it has.
        pub(in super::super) fn available() -> bool {
            is_x86_feature_detected!("avx512f")
        }
    }

    impl Sums for Avx512 {
        #[inline(always)]
        fn zero() -> Self {
            // SAFETY: used only where AVX-512 F is available.
            Self(unsafe { _mm512_setzero_ps() })
        }

        #[inline(always)]
        fn add_product(self, a: &Lanes, b: &Lanes) -> Self {
            // SAFETY: used only where AVX-512 F is available; the loads read the sixteen floats of the
            // arrays, at any alignment.
            Self(unsafe {
                let (a, b) = (_mm512_loadu_ps(a.as_ptr()), _mm512_loadu_ps(b.as_ptr()));
                _mm512_fmadd_ps(a, b, self.0)
            })
        }

        #[inline(always)]
        fn add_to(self, total: &mut Lanes) {
            // SAFETY: used only where AVX-512 F is available; load and store are of the array's sixteen
            // floats, at any alignment.
            unsafe {
                let sum = _mm512_add_ps(_mm512_loadu_ps(total.as_ptr()), self.0);
                _mm512_storeu_ps(total.as_mut_ptr(), sum);
            }
        }
    }

    /// With AVX2 and FMA.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx2([__m256; 2]);

    impl Avx2 {
        /// Whether the processor has what this needs. Values are made only where it has.
        pub(in super::super) fn available() -> bool {
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
        }
    }

    impl Sums for Avx2 {
        #[inline(always)]
        fn zero() -> Self {
            // SAFETY: used only where AVX2 is available.
            Self([unsafe { _mm256_setzero_ps() }; 2])
        }

        #[inline(always)]
        fn add_product(self, a: &Lanes, b: &Lanes) -> Self {
            let ([a, c], [b, d]) = (halves(a), halves(b));
            let [low, high] = self.0;
            // SAFETY: used only where AVX2 and FMA are available; each load reads eight floats of an
            // array, at any alignment.
            Self(unsafe {
                [
                    _mm256_fmadd_ps(
                        _mm256_loadu_ps(a.as_ptr()),
                        _mm256_loadu_ps(b.as_ptr()),
                        low,
                    ),
                    _mm256_fmadd_ps(
                        _mm256_loadu_ps(c.as_ptr()),
                        _mm256_loadu_ps(d.as_ptr()),
                        high,
                    ),
                ]
            })
        }

        #[inline(always)]
        fn add_to(self, total: &mut Lanes) {
            for (half, sum) in total.as_chunks_mut::<8>().0.iter_mut().zip(self.0) {
                // SAFETY: used only where AVX2 is available; load and store are of the half's eight
                // floats, at any alignment.
                unsafe {
                    let sum = _mm256_add_ps(_mm256_loadu_ps(half.as_ptr()), sum);
                    _mm256_storeu_ps(half.as_mut_ptr(), sum);
                }
            }
        }
    }

    #[inline(always)]
    fn halves(lanes: &Lanes) -> [&[f32; 8]; 2] {
        let (halves, _) = lanes.as_chunks::<8>();
        [&halves[0], &halves[1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<S: Sums>() {
        let a: Lanes = std::array::from_fn(|i| i as f32 - 3.5);
        let b: Lanes = std::array::from_fn(|i| (i * i) as f32 / 8.0);
        let mut total = [1.0; LANES];
        S::zero()
            .add_product(&a, &b)
            .add_product(&b, &b)
            .add_to(&mut total);
        for (i, total) in total.iter().enumerate() {
            assert_eq!(*total, 1.0 + a[i] * b[i] + b[i] * b[i]);
        }
    }

    #[test]
    fn every_kind_of_vector_sums_the_same() {
        check::<Lanes>();
        #[cfg(target_arch = "x86_64")]
        {
            if x86::Avx512::available() {
                check::<x86::Avx512>();
            }
            if x86::Avx2::available() {
                check::<x86::Avx2>();
            }
        }
    }
}
