//! The memory of a tensor as a slice, for passes that libtorch has no operation for.

use tch::{Device, Kind, Tensor};

/// Whether a tensor is on the CPU, of 32-bit floats, and contiguous.
pub(super) fn is_plain(t: &Tensor) -> bool {
    t.device() == Device::Cpu && t.kind() == Kind::Float && t.is_contiguous()
}

/// Panics unless the tensor [`is_plain`].
#[allow(unsafe_code)]
pub(super) fn of(t: &Tensor) -> &[f32] {
    assert!(is_plain(t), "expected contiguous 32-bit floats on the CPU");
    if t.numel() == 0 {
        return &[];
    }
    // SAFETY: the tensor is on the CPU, of 32-bit floats and contiguous, so its pointer leads to
    // `numel` consecutive floats that live as long as the borrowed tensor. CPU operations of libtorch
    // have finished when they return, so nothing writes meanwhile.
    unsafe { std::slice::from_raw_parts(t.data_ptr().cast::<f32>(), t.numel()) }
}

/// Panics unless the tensor [`is_plain`]. The caller ensures that no other tensor that shares this
/// memory is read or written meanwhile.
#[allow(unsafe_code)]
pub(super) fn of_mut(t: &mut Tensor) -> &mut [f32] {
    assert!(is_plain(t), "expected contiguous 32-bit floats on the CPU");
    if t.numel() == 0 {
        return &mut [];
    }
    // SAFETY: as for `of`. Exclusive access is up to the caller: the optimiser owns its moments, and
    // shares weights with the network only, which does not run during an optimiser step.
    unsafe { std::slice::from_raw_parts_mut(t.data_ptr().cast::<f32>(), t.numel()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_is_read_and_changed_in_place() {
        let mut t = Tensor::from_slice(&[1f32, 2.0, 3.0]);
        of_mut(&mut t)[1] = 5.0;
        assert_eq!(of(&t), [1.0, 5.0, 3.0]);
        assert_eq!(t.double_value(&[1]), 5.0);
        assert!(of(&Tensor::zeros([0], (Kind::Float, Device::Cpu))).is_empty());
        assert!(!is_plain(
            &Tensor::zeros([2, 3], (Kind::Float, Device::Cpu)).tr()
        ));
        assert!(!is_plain(&Tensor::zeros([2], (Kind::Double, Device::Cpu))));
    }
}
