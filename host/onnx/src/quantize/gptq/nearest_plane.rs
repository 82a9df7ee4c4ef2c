//! Rounds a row of weights so that its product with the inputs changes little.

use rayon::prelude::*;

/// A symmetric positive definite matrix `[n, n]` as `L Lᵀ`.
pub(super) struct Cholesky {
    size: usize,
    /// `L`, row by row; zero above the diagonal.
    lower: Vec<f64>,
}

impl Cholesky {
    /// Decomposes a matrix given row by row (only its lower half is read); `None` if it is not
    /// positive definite.
    pub(super) fn of(size: usize, mut matrix: Vec<f64>) -> Option<Self> {
        for column in 0..size {
            let (above, below) = matrix.split_at_mut((column + 1) * size);
            let own = &mut above[column * size..];
            let square = own[column] - dot(&own[..column], &own[..column]);
            if !(square > 0.0 && square.is_finite()) {
                return None;
            }
            let root = square.sqrt();
            own[column] = root;
            own[column + 1..].fill(0.0);
            let own = &own[..column];
            below.par_chunks_exact_mut(size).for_each(|row| {
                row[column] = (row[column] - dot(&row[..column], own)) / root;
            });
        }
        Some(Self {
            size,
            lower: matrix,
        })
    }

    fn row(&self, at: usize) -> &[f64] {
        &self.lower[at * self.size..(at + 1) * self.size]
    }

    /// `x` with `L Lᵀ x = b`, in place of `b`.
    pub(super) fn solve(&self, b: &mut [f64]) {
        for at in 0..self.size {
            let row = self.row(at);
            b[at] = (b[at] - dot(&row[..at], &b[..at])) / row[at];
        }
        for at in (0..self.size).rev() {
            let row = self.row(at);
            b[at] /= row[at];
            let solved = b[at];
            for (value, factor) in b[..at].iter_mut().zip(row) {
                *value -= factor * solved;
            }
        }
    }

    /// The codes, at most `largest`, for which `|Lᵀ (row - scale * codes)|` is small: the
    /// nearest-plane algorithm (Babai, 1986), from the last weight to the first, each compensating
    /// the error of the later ones. Equivalent to GPTQ (Chen et al., 2025), without inverting the
    /// matrix.
    pub(super) fn round(&self, row: &[f64], scale: f64, largest: f64) -> Vec<i8> {
        let mut codes = vec![0; self.size];
        let mut carried = vec![0.0; self.size];
        for at in (0..self.size).rev() {
            let own = self.row(at);
            let target = row[at] + carried[at] / own[at];
            let code = (target / scale).round().clamp(-largest, largest);
            codes[at] = code as i8;
            let missing = row[at] - scale * code;
            for (carried, factor) in carried[..at].iter_mut().zip(own) {
                *carried += factor * missing;
            }
        }
        codes
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Eight independent sums, which the processor computes in parallel.
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_matrix_and_its_solution_by_hand() {
        // [[4, 2], [2, 5]] = [[2, 0], [1, 2]] times its transpose.
        let cholesky = Cholesky::of(2, vec![4.0, 2.0, 2.0, 5.0]).unwrap();
        assert_eq!(cholesky.lower, [2.0, 0.0, 1.0, 2.0]);
        // 4 x + 2 y = 8 and 2 x + 5 y = 12: x = 1, y = 2.
        let mut b = [8.0, 12.0];
        cholesky.solve(&mut b);
        assert_eq!(b, [1.0, 2.0]);
        assert!(Cholesky::of(2, vec![1.0, 2.0, 2.0, 1.0]).is_none());
        assert!(Cholesky::of(1, vec![f64::NAN]).is_none());
    }

    /// Two equal inputs: weights of 0.4 and 0.4 scales round to 0 each, together to 1.
    #[test]
    fn the_next_weight_compensates() {
        let cholesky = Cholesky::of(2, vec![1.01, 1.0, 1.0, 1.01]).unwrap();
        assert_eq!(cholesky.round(&[0.4, 0.4], 1.0, 127.0), [1, 0]);
        // Independent inputs: each weight is rounded to the nearest code.
        let apart = Cholesky::of(2, vec![1.0, 0.0, 0.0, 1.0]).unwrap();
        assert_eq!(apart.round(&[0.4, 0.6], 1.0, 127.0), [0, 1]);
        assert_eq!(apart.round(&[300.0, -300.0], 1.0, 127.0), [127, -127]);
    }

    proptest! {
        /// The error along each axis of the triangular basis is at most half a scale.
        #[test]
        fn the_error_is_bounded(
            inputs in proptest::collection::vec(proptest::collection::vec(-1f64..1.0, 5), 8),
            row in proptest::collection::vec(-20f64..20.0, 5),
        ) {
            let mut gram = vec![0.0; 25];
            for (i, g) in gram.iter_mut().enumerate() {
                *g = inputs.iter().map(|x| x[i / 5] * x[i % 5]).sum::<f64>() + if i % 6 == 0 { 0.01 } else { 0.0 };
            }
            let cholesky = Cholesky::of(5, gram).unwrap();
            let codes = cholesky.round(&row, 1.0, 127.0);
            let off: Vec<f64> = row.iter().zip(&codes).map(|(r, c)| r - f64::from(*c)).collect();
            for at in 0..5 {
                let reach: f64 = (at..5).map(|j| cholesky.lower[j * 5 + at] * off[j]).sum();
                prop_assert!(reach.abs() <= 0.5 * cholesky.lower[at * 5 + at] + 1e-9);
            }
        }
    }
}
