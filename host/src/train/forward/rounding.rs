//! Training that knows of int8 (Jacob et al., CVPR 2018): weights and activations are rounded as the exported model rounds them,
//! and slopes pass through the rounding as if it were not there (the straight-through estimator; beyond the range they are zero).

use super::{tensor, values};
use crate::export::quantise::{FLOAT_BLOCKS, TRAINED_RANGE};
use crate::network::weights::Weights;
use crate::network::{Node, NodeId, Op};
use std::cell::RefCell;
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

/// Share of a range that a step keeps; the rest comes from the batch at hand.
const KEPT: f64 = 0.99;

/// The ranges of the activations that are rounded: the largest absolute value, averaged over batches.
pub struct Rounding {
    ranges: RefCell<BTreeMap<NodeId, Tensor>>,
    zero: Tensor,
}

impl Rounding {
    /// Of a network of so many nodes, with the ranges that an earlier part of the training has seen, if any.
    pub(super) fn new(nodes: usize, seen: &Weights, device: Device) -> Self {
        let ranges = (0..nodes)
            .filter_map(|id| {
                let range = seen.get(&format!("{TRAINED_RANGE}{id}"))?;
                Some((id, tensor(range, device)))
            })
            .collect();
        Self {
            ranges: RefCell::new(ranges),
            zero: Tensor::zeros([1], (Kind::Int, device)),
        }
    }

    /// Whether the exported model rounds this node's inputs and weights.
    pub(super) fn covers(&self, node: &Node) -> bool {
        node.block > FLOAT_BLOCKS
            && match &node.op {
                // Those without a normalisation are of squeeze and excitation, which stays in float.
                Op::Convolution(c) => c.norm.is_some(),
                Op::Linear { .. } | Op::Add => true,
                _ => false,
            }
    }

    /// The output of node `from`, rounded; its range follows what it sees.
    pub(super) fn activation(&self, x: &Tensor, from: NodeId) -> Tensor {
        let kind = x.kind();
        let seen = x.detach().abs().max().to_kind(Kind::Float).reshape([1]);
        let mut ranges = self.ranges.borrow_mut();
        let range = match ranges.get(&from) {
            Some(range) => range * KEPT + seen * (1.0 - KEPT),
            None => seen,
        };
        let scale = (&range / 127.0).clamp_min(1e-8);
        ranges.insert(from, range);
        x.to_kind(Kind::Float)
            .fake_quantize_per_tensor_affine_tensor_qparams(&scale, &self.zero, -127, 127)
            .to_kind(kind)
    }

    pub(super) fn weights(&self) -> Weights {
        self.ranges
            .borrow()
            .iter()
            .map(|(id, t)| (format!("{TRAINED_RANGE}{id}"), values(t)))
            .collect()
    }
}

/// A weight `[out, ..]` rounded with one scale a row, as in [`crate::export::quantise`].
pub(super) fn weight(w: &Tensor) -> Tensor {
    let rows = w.size()[0];
    let peaks = w.detach().abs().reshape([rows, -1]).amax([1i64], false);
    let scale = (peaks / 127.0).clamp_min(1e-12);
    let zero = Tensor::zeros([rows], (Kind::Int, w.device()));
    w.fake_quantize_per_channel_affine(&scale, &zero, 0, -127, 127)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::quantise::quantised_rows;
    use crate::network::weights::Values;

    #[test]
    fn weights_are_rounded_as_the_exported_ones() {
        let plain = Values {
            shape: vec![2, 3],
            data: vec![0.3, -1.0, 0.111, 0.02, 0.05, -0.013],
        };
        let rounded = values(&weight(&tensor(&plain, Device::Cpu)));
        let (scales, steps) = quantised_rows(&plain, None);
        for (i, (got, step)) in rounded.data.iter().zip(&steps).enumerate() {
            let expected = f32::from(*step) * scales[i / 3];
            assert!((got - expected).abs() < 1e-7, "{got} {expected}");
        }
    }

    #[test]
    fn slopes_pass_through_inside_the_range_only() {
        let seen = Weights::from([(
            format!("{TRAINED_RANGE}0"),
            Values {
                shape: vec![1],
                data: vec![1.0],
            },
        )]);
        let rounding = Rounding::new(1, &seen, Device::Cpu);
        let x = Tensor::from_slice(&[0.4f32, -0.2, 5.0]).set_requires_grad(true);
        let y = rounding.activation(&x, 0);
        // The range moves a hundredth of the way from 1 to 5: 1.04; a step is 1.04 / 127.
        let step = 1.04 / 127.0;
        assert!((y.double_value(&[0]) - (0.4f64 / step).round() * step).abs() < 1e-6);
        assert!((y.double_value(&[2]) - 1.04).abs() < 1e-6);
        y.sum(Kind::Float).backward();
        let slopes: Vec<f32> = Vec::try_from(x.grad()).unwrap();
        assert_eq!(slopes, [1.0, 1.0, 0.0]);
    }
}
