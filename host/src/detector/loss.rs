//! How far maps are from what they should be: a focal loss that is lenient near a fluke's middle (CenterNet, Zhou et al. 2019), and
//! for the boxes the distances' logarithms and the overlap.

use super::targets::Targets;
use tch::{Device, Kind, Tensor};

/// The targets of a batch as tensors: `[N, cells]`, and for the logarithms `[N, 4, cells]`.
pub(super) struct Wanted {
    heat: Tensor,
    weight: Tensor,
    boxed: Tensor,
    logs: Tensor,
}

impl Wanted {
    /// Of a batch.
    pub fn of(batch: &[Targets], device: Device) -> Self {
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
pub(super) fn loss(maps: &Tensor, wanted: &Wanted) -> Tensor {
    let logits = maps.select(1, 0);
    let sure = logits.sigmoid();
    let middle = wanted.heat.ge(1.0).to_kind(Kind::Float);
    let missed = -(1.0f64 - &sure).square() * logits.log_sigmoid() * &middle;
    let lenient = (1.0f64 - &wanted.heat).square().square();
    let false_alarm = -sure.square() * (-&logits).log_sigmoid() * lenient * (1.0f64 - &middle);
    let count = middle.sum(Kind::Float).clamp_min(1.0);
    let focal = ((missed + false_alarm) * &wanted.weight).sum(Kind::Float) / &count;

    let boxed = wanted.boxed.sum(Kind::Float).clamp_min(1.0);
    let said = maps.narrow(1, 1, 4).clamp(-6.0, 6.0);
    let off = (&said - &wanted.logs)
        .smooth_l1_loss(&said.zeros_like(), tch::Reduction::None, 0.5)
        .sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
    let off = (off * &wanted.boxed).sum(Kind::Float) / &boxed;
    let (said, truth) = (said.exp(), wanted.logs.exp());
    let shared = said.minimum(&truth);
    // left + right times top + bottom.
    let area = |d: &Tensor| (d.select(1, 0) + d.select(1, 2)) * (d.select(1, 1) + d.select(1, 3));
    let both = area(&shared);
    let overlap = &both / (area(&said) + area(&truth) - &both);
    let apart = ((1.0f64 - overlap) * &wanted.boxed).sum(Kind::Float) / &boxed;
    focal + off * 0.5 + apart
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::targets::Fluke;

    #[test]
    fn maps_that_are_right_lose_nothing_and_others_do() {
        let fluke = Fluke {
            edges: [40.0, 24.0, 80.0, 40.0],
            wanted: true,
        };
        let targets = Targets::of(&[fluke], 128, 64, &[8]);
        let cells = targets.heat.len() as i64;
        let wanted = Wanted::of(std::slice::from_ref(&targets), Device::Cpu);
        let logits: Vec<f32> = targets
            .heat
            .iter()
            .map(|h| if *h >= 1.0 { 9.0 } else { -9.0 })
            .collect();
        let right = Tensor::cat(
            &[
                Tensor::from_slice(&logits).reshape([1, 1, cells]),
                wanted.logs.shallow_clone(),
            ],
            1,
        );
        let of = |maps: &Tensor| loss(maps, &wanted).double_value(&[]);
        assert!(of(&right) < 0.01, "{}", of(&right));
        let shifted = &right + Tensor::from_slice(&[0f32, 0.4, 0.4, -0.4, 0.0]).reshape([1, 5, 1]);
        assert!(of(&shifted) > 0.2);
        let blind = &right * Tensor::from_slice(&[0f32, 1.0, 1.0, 1.0, 1.0]).reshape([1, 5, 1]);
        assert!(of(&blind) > 1.0);
    }
}
