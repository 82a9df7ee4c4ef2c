//! The numbers of a tensor where they lie, for passes over memory that libtorch has no operation for.

use tch::{Device, Kind, Tensor};

/// Whether a tensor lies on the CPU as 32-bit floats in a row.
pub fn in_a_row(t: &Tensor) -> bool {
    t.device() == Device::Cpu && t.kind() == Kind::Float && t.is_contiguous()
}

/// The numbers of a tensor that lies [`in_a_row`].
///
/// # Panics
/// For another tensor.
#[allow(unsafe_code)]
pub fn of(t: &Tensor) -> &[f32] {
    assert!(in_a_row(t), "the numbers do not lie in a row on the CPU");
    if t.numel() == 0 {
        return &[];
    }
    // SAFETY: the tensor is on the CPU, of 32-bit floats and contiguous, so that its pointer leads to `numel` of them in a row;
    // they live as long as the tensor, which is borrowed. libtorch's operations on the CPU end before they return, so that none
    // writes meanwhile.
    unsafe { std::slice::from_raw_parts(t.data_ptr().cast::<f32>(), t.numel()) }
}

/// The numbers of a tensor that lies [`in_a_row`], to change. The caller sees to it that no other tensor that shares its memory is
/// read or written meanwhile.
///
/// # Panics
/// For another tensor.
#[allow(unsafe_code)]
pub fn of_mut(t: &mut Tensor) -> &mut [f32] {
    assert!(in_a_row(t), "the numbers do not lie in a row on the CPU");
    if t.numel() == 0 {
        return &mut [];
    }
    // SAFETY: as for `of`; that nobody else looks at this memory meanwhile is the caller's part: the optimiser's moments are its
    // own, and a weight is shared with the network alone, which does not run during a step of the optimiser.
    unsafe { std::slice::from_raw_parts_mut(t.data_ptr().cast::<f32>(), t.numel()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_changed_in_place() {
        let mut t = Tensor::from_slice(&[1f32, 2.0, 3.0]);
        of_mut(&mut t)[1] = 5.0;
        assert_eq!(of(&t), [1.0, 5.0, 3.0]);
        assert_eq!(t.double_value(&[1]), 5.0);
        assert!(of(&Tensor::zeros([0], (Kind::Float, Device::Cpu))).is_empty());
        assert!(!in_a_row(
            &Tensor::zeros([2, 3], (Kind::Float, Device::Cpu)).tr()
        ));
        assert!(!in_a_row(&Tensor::zeros([2], (Kind::Double, Device::Cpu))));
    }
}
