//! The pairs of a batch, as masks.

use tch::{Kind, Tensor};

/// Stands for `e^x = 0`. Not -∞: the gradient of an all-masked row would be -∞ + ∞.
const NONE: f64 = -1e9;

/// `classes` `[N] i64` to two masks `[N, N] bool`: pairs of two photos of one class, and pairs of two
/// classes. A photo does not pair with itself, by position: it does pair with a copy.
pub(super) fn masks(classes: &Tensor) -> (Tensor, Tensor) {
    let same = classes.unsqueeze(1).eq_tensor(&classes.unsqueeze(0));
    let itself = Tensor::eye(classes.numel() as i64, (Kind::Bool, classes.device()));
    (same.logical_and(&itself.logical_not()), same.logical_not())
}

/// `ln Σ e^x` over the marked numbers of each row: `[R, C]` to `[R]`; about -1e9 for a row without a
/// mark. Its `.softplus()` is `ln(1 + Σ e^x)`, which is 0 there, without overflow anywhere.
pub(super) fn log_sum(x: &Tensor, marked: &Tensor) -> Tensor {
    x.masked_fill(&marked.logical_not(), NONE)
        .logsumexp([1i64].as_slice(), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_by_hand() {
        let (same, other) = masks(&Tensor::from_slice(&[4i64, 4, 9]));
        let plain = |t: &Tensor| -> Vec<bool> { Vec::try_from(t.flatten(0, 1)).unwrap() };
        let [t, f] = [true, false];
        assert_eq!(plain(&same), [f, t, f, t, f, f, f, f, f]);
        assert_eq!(plain(&other), [f, f, t, f, f, t, t, t, f]);
    }

    #[test]
    fn sums_of_marked_numbers() {
        // ln(1 + e^1 + e^2) of the first row; nothing of the second; 200 alone, where e^200 overflows f32, of the third.
        let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 200.0, 1.0])
            .view([3, 2])
            .set_requires_grad(true);
        let marked = Tensor::from_slice(&[true, true, false, false, true, false]).view([3, 2]);
        let sums = log_sum(&x, &marked).softplus();
        sums.sum(Kind::Float).backward();
        let expected = (1.0 + 1f64.exp() + 2f64.exp()).ln();
        assert!((sums.double_value(&[0]) - expected).abs() < 1e-6);
        assert_eq!(sums.double_value(&[1]), 0.0);
        assert_eq!(sums.double_value(&[2]), 200.0);
        let gradient: Vec<f32> = Vec::try_from(x.grad().flatten(0, 1)).unwrap();
        assert_eq!(gradient[2..], [0.0, 0.0, 1.0, 0.0]);
    }
}
