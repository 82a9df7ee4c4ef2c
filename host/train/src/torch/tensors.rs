//! Tensors to and from plain numbers, and their layout.

use flukewatch_network::weights::Values;
use tch::{Device, Kind, Tensor};

pub(crate) fn tensor(values: &Values, device: Device) -> Tensor {
    let shape: Vec<i64> = values.shape.iter().map(|&s| s as i64).collect();
    Tensor::from_slice(&values.data)
        .reshape(shape)
        .to_device(device)
}

pub(crate) fn values(t: &Tensor) -> Values {
    let shape: Vec<usize> = t.size().iter().map(|&s| s as usize).collect();
    let count = shape.iter().product();
    let mut data = vec![0f32; count];
    t.detach()
        .to_device(Device::Cpu)
        .to_kind(Kind::Float)
        .contiguous()
        .copy_data(&mut data, count);
    Values { shape, data }
}

/// Row-major numbers to `[N, C, H, W]`.
pub(crate) fn images(numbers: &[f32], [c, h, w]: [i64; 3]) -> Tensor {
    Tensor::from_slice(numbers).reshape([-1, c, h, w])
}

/// L2-normalises each row of `[N, D]`.
pub(crate) fn normalise(embeddings: &Tensor) -> Tensor {
    embeddings
        / embeddings
            .norm_scalaropt_dim(2.0, [1i64], true)
            .clamp_min(1e-12)
}

/// `[N, C, H, W]` with channels innermost in memory, which convolutions on CPU and CUDA prefer.
pub(crate) fn channels_last(t: &Tensor) -> Tensor {
    t.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}
