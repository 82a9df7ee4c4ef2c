//! The detector's loss: a focal loss with reduced weight near a fluke's centre (CenterNet, Zhou et al.
//! 2019), and for boxes the logarithms of the distances and the overlap.

use super::targets::Targets;
use tch::{Device, Kind, Tensor};

/// The targets of a batch as tensors: `[N, cells]`, and `logs` `[N, 4, cells]`.
pub(super) struct TargetTensors {
    heat: Tensor,
    weight: Tensor,
    boxed: Tensor,
    logs: Tensor,
}

impl TargetTensors {
    pub(super) fn of(batch: &[Targets], device: Device) -> Self {
        let count = batch.len() as i64;
        let join = |part: fn(&Targets) -> &Vec<f32>| {
            let all: Vec<f32> = batch.iter().flat_map(part).copied().collect();
            Tensor::from_slice(&all)
                .reshape([count, -1])
                .to_device(device)
        };
        let logs: Vec<f32> = batch
            .iter()
            .flat_map(|t| t.logs.iter().flatten())
            .copied()
            .collect();
        Self {
            heat: join(|t| &t.heat),
            weight: join(|t| &t.weight),
            boxed: join(|t| &t.boxed),
            logs: Tensor::from_slice(&logs)
                .reshape([count, 4, -1])
                .to_device(device),
        }
    }
}

/// The loss of maps `[N, 5, cells]`, a scalar.
pub(super) fn loss(maps: &Tensor, targets: &TargetTensors) -> Tensor {
    let logits = maps.select(1, 0);
    let prob = logits.sigmoid();
    let centre = targets.heat.ge(1.0).to_kind(Kind::Float);
    let missed = -(1.0f64 - &prob).square() * logits.log_sigmoid() * &centre;
    let reduced = (1.0f64 - &targets.heat).square().square();
    let false_alarm = -prob.square() * (-&logits).log_sigmoid() * reduced * (1.0f64 - &centre);
    let count = centre.sum(Kind::Float).clamp_min(1.0);
    let focal = ((missed + false_alarm) * &targets.weight).sum(Kind::Float) / &count;

    let boxed = targets.boxed.sum(Kind::Float).clamp_min(1.0);
    let pred = maps.narrow(1, 1, 4).clamp(-6.0, 6.0);
    let off = (&pred - &targets.logs)
        .smooth_l1_loss(&pred.zeros_like(), tch::Reduction::None, 0.5)
        .sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
    let off = (off * &targets.boxed).sum(Kind::Float) / &boxed;
    let (pred, truth) = (pred.exp(), targets.logs.exp());
    let shared = pred.minimum(&truth);
    // left + right times top + bottom.
    let area = |d: &Tensor| (d.select(1, 0) + d.select(1, 2)) * (d.select(1, 1) + d.select(1, 3));
    let intersection = area(&shared);
    let overlap = &intersection / (area(&pred) + area(&truth) - &intersection);
    let overlap_loss = ((1.0f64 - overlap) * &targets.boxed).sum(Kind::Float) / &boxed;
    focal + off * 0.5 + overlap_loss
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::targets::Fluke;

    #[test]
    fn correct_maps_have_no_loss_and_others_do() {
        let fluke = Fluke {
            edges: [40.0, 24.0, 80.0, 40.0],
            required: true,
        };
        let targets = Targets::of(&[fluke], 128, 64, &[8]);
        let cells = targets.heat.len() as i64;
        let tensors = TargetTensors::of(std::slice::from_ref(&targets), Device::Cpu);
        let logits: Vec<f32> = targets
            .heat
            .iter()
            .map(|h| if *h >= 1.0 { 9.0 } else { -9.0 })
            .collect();
        let right = Tensor::cat(
            &[
                Tensor::from_slice(&logits).reshape([1, 1, cells]),
                tensors.logs.shallow_clone(),
            ],
            1,
        );
        let of = |maps: &Tensor| loss(maps, &tensors).double_value(&[]);
        assert!(of(&right) < 0.01, "{}", of(&right));
        let shifted = &right + Tensor::from_slice(&[0f32, 0.4, 0.4, -0.4, 0.0]).reshape([1, 5, 1]);
        assert!(of(&shifted) > 0.2);
        let missed = &right * Tensor::from_slice(&[0f32, 1.0, 1.0, 1.0, 1.0]).reshape([1, 5, 1]);
        assert!(of(&missed) > 1.0);
    }
}
