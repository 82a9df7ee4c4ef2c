//! Quantisation-aware training (Jacob et al., CVPR 2018): weights and activations are quantised and
//! dequantised as in the exported model. Gradients pass as if they were not (the straight-through
//! estimator); beyond the range they are zero.

use crate::torch::tensors::{tensor, values};
use flukewatch_network::quantisation::{is_quantised, learned_range};
use flukewatch_network::weights::Weights;
use flukewatch_network::{Node, NodeId};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use tch::{Device, Kind, Tensor};

/// Fraction of a range that a step keeps; the rest comes from the current batch.
const DECAY: f64 = 0.99;

/// The ranges of quantised activations: the largest absolute value, averaged over batches. Copies share
/// them.
#[derive(Clone)]
pub(super) struct FakeQuantise {
    ranges: Rc<RefCell<BTreeMap<NodeId, Tensor>>>,
    zero: Rc<Tensor>,
}

/// What a pass does with the ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ranges {
    /// Training: each batch moves them.
    Update,
    /// Evaluation, as in the exported model.
    Keep,
}

impl FakeQuantise {
    /// For a network of `nodes` nodes, with the ranges of an earlier part of the training, if any.
    pub(super) fn new(nodes: usize, seen: &Weights, device: Device) -> Self {
        let ranges = (0..nodes)
            .filter_map(|id| {
                let range = seen.get(&learned_range(id))?;
                Some((id, tensor(range, device)))
            })
            .collect();
        Self {
            ranges: Rc::new(RefCell::new(ranges)),
            zero: Rc::new(Tensor::zeros([1], (Kind::Int, device))),
        }
    }

    /// Whether the exported model quantises this node's inputs and weights.
    pub(super) fn covers(&self, node: &Node) -> bool {
        is_quantised(node)
    }

    /// Whether a batch has been trained, so that there are ranges to evaluate with.
    pub(super) fn has_ranges(&self) -> bool {
        !self.ranges.borrow().is_empty()
    }

    /// The output of node `from`, quantised.
    pub(super) fn activation(&self, x: &Tensor, from: NodeId, ranges: Ranges) -> Tensor {
        let kind = x.kind();
        let range = match ranges {
            Ranges::Update => self.updated(x, from),
            Ranges::Keep => self.ranges.borrow()[&from].shallow_clone(),
        };
        let scale = (range / 127.0).clamp_min(1e-8);
        x.to_kind(Kind::Float)
            .fake_quantize_per_tensor_affine_tensor_qparams(&scale, self.zero.as_ref(), -127, 127)
            .to_kind(kind)
    }

    fn updated(&self, x: &Tensor, from: NodeId) -> Tensor {
        let seen = x.detach().abs().max().to_kind(Kind::Float).reshape([1]);
        let mut ranges = self.ranges.borrow_mut();
        let range = match ranges.get(&from) {
            Some(range) => range * DECAY + seen * (1.0 - DECAY),
            None => seen,
        };
        ranges.insert(from, range.shallow_clone());
        range
    }

    pub(super) fn weights(&self) -> Weights {
        self.ranges
            .borrow()
            .iter()
            .map(|(id, t)| (learned_range(*id), values(t)))
            .collect()
    }
}

/// A weight `[out, ..]` quantised with one scale per row, as in the exported model.
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
    use flukewatch_network::weights::Values;
    use flukewatch_onnx::quantize::quantise_rows;

    #[test]
    fn weights_are_quantised_as_in_the_export() {
        let plain = Values {
            shape: vec![2, 3],
            data: vec![0.3, -1.0, 0.111, 0.02, 0.05, -0.013],
        };
        let quantised = values(&weight(&tensor(&plain, Device::Cpu)));
        let (scales, steps) = quantise_rows(&plain);
        for (i, (got, step)) in quantised.data.iter().zip(&steps).enumerate() {
            let expected = f32::from(*step) * scales[i / 3];
            assert!((got - expected).abs() < 1e-7, "{got} {expected}");
        }
    }

    #[test]
    fn gradients_pass_inside_the_range_only() {
        let seen = Weights::from([(
            learned_range(0),
            Values {
                shape: vec![1],
                data: vec![1.0],
            },
        )]);
        let quantise = FakeQuantise::new(1, &seen, Device::Cpu);
        let x = Tensor::from_slice(&[0.4f32, -0.2, 5.0]).set_requires_grad(true);
        let y = quantise.activation(&x, 0, Ranges::Update);
        // The range moves by a hundredth from 1 to 5: 1.04; a step is 1.04 / 127.
        let step = 1.04 / 127.0;
        assert!((y.double_value(&[0]) - (0.4f64 / step).round() * step).abs() < 1e-6);
        assert!((y.double_value(&[2]) - 1.04).abs() < 1e-6);
        y.sum(Kind::Float).backward();
        let gradients: Vec<f32> = Vec::try_from(x.grad()).unwrap();
        assert_eq!(gradients, [1.0, 1.0, 0.0]);
    }

    #[test]
    fn evaluation_keeps_the_ranges() {
        let quantise = FakeQuantise::new(1, &Weights::new(), Device::Cpu);
        assert!(!quantise.has_ranges());
        let x = Tensor::from_slice(&[0.5f32, -1.0]);
        let _ = quantise.activation(&x, 0, Ranges::Update);
        let before = quantise.weights();
        assert!(quantise.has_ranges());
        let y = quantise.activation(&Tensor::from_slice(&[9.0f32]), 0, Ranges::Keep);
        assert!((y.double_value(&[0]) - 1.0).abs() < 1e-6);
        assert_eq!(quantise.weights(), before);
    }
}
