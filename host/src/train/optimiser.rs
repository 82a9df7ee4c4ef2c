//! AdamW (Loshchilov & Hutter, ICLR 2019) with its state in the open, so that a checkpoint can hold it.
//!
//! Every tensor belongs to an [`Owner`]. A step moves what its batch may move and leaves the rest alone: weights, moments and
//! counters. With weight decay and momentum, a gradient of zero would not be enough for that.

mod sweep;

use super::forward::{Use, tensor, values};
use crate::network::weights::{Values, Weights};
use std::collections::BTreeMap;
use sweep::{Rates, Sweep};
use tch::{Device, Tensor};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Which steps move a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// All steps.
    Shared,
    /// A slice of the embedding: the steps of this learner, and those of the whole embedding.
    Slice(usize),
    /// The loss of one learner: its steps.
    Learner(usize),
    /// The loss of the whole embedding: its steps.
    Whole,
}

/// Whose step it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Movers {
    /// That of the whole embedding.
    Whole,
    /// That of these learners, a bit each: a batch has photos for them.
    Learners(u64),
}

impl Movers {
    /// One learner.
    pub fn learner(k: usize) -> Self {
        Self::Learners(1 << k)
    }
}

impl Owner {
    /// Whether a step of `movers` moves it.
    pub fn moves(self, movers: Movers) -> bool {
        match (self, movers) {
            (Self::Shared, _) | (Self::Slice(_) | Self::Whole, Movers::Whole) => true,
            (Self::Slice(k) | Self::Learner(k), Movers::Learners(learners)) => {
                learners >> k & 1 == 1
            }
            (Self::Learner(_), Movers::Whole) | (Self::Whole, Movers::Learners(_)) => false,
        }
    }
}

/// One trained tensor and its moments.
struct Slot {
    name: String,
    parameter: Tensor,
    first: Tensor,
    second: Tensor,
    rate: f64,
    decay: f64,
    owner: Owner,
    /// Steps that moved it.
    steps: i32,
}

/// AdamW over named tensors, each with its own peak rate.
#[derive(Default)]
pub struct AdamW {
    slots: Vec<Slot>,
    steps: u64,
}

impl AdamW {
    /// Takes `parameter` into care.
    pub fn add(&mut self, name: String, parameter: Tensor, rate: f64, decay: f64, owner: Owner) {
        let (first, second) = (
            parameter.zeros_like().detach(),
            parameter.zeros_like().detach(),
        );
        self.slots.push(Slot {
            name,
            parameter,
            first,
            second,
            rate,
            decay,
            owner,
            steps: 0,
        });
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// One step of `movers` down the slope of `loss` (a scalar), every peak rate times `factor`.
    ///
    /// The slopes are asked of libtorch for the tensors that this step moves and for no others, those of depthwise kernels are
    /// found through their `uses`, and all are let go when the step is taken.
    pub fn descend(&mut self, loss: &Tensor, uses: Vec<Use>, factor: f64, movers: Movers) {
        self.steps += 1;
        let mut moved: Vec<&mut Slot> = self
            .slots
            .iter_mut()
            .filter(|s| s.owner.moves(movers))
            .collect();
        if moved.is_empty() {
            return;
        }
        let slopes = slopes(loss, &moved, uses);
        tch::no_grad(|| {
            let mut sweep = Sweep::default();
            for (slot, slope) in moved.iter_mut().zip(&slopes) {
                slot.steps += 1;
                let rate = slot.rate * factor;
                let rates = Rates {
                    shrink: (1.0 - rate * slot.decay) as f32,
                    rate: (rate / (1.0 - BETA1.powi(slot.steps))) as f32,
                    second_correction: (1.0 / (1.0 - BETA2.powi(slot.steps)).sqrt()) as f32,
                };
                let Slot {
                    parameter,
                    first,
                    second,
                    ..
                } = &mut **slot;
                if sweep::fits(&[parameter, slope, first, second]) {
                    sweep.add(parameter, slope, first, second, rates);
                } else {
                    in_operations(parameter, slope, first, second, rates);
                }
            }
            sweep.take();
        });
    }

    /// The moments, for a checkpoint.
    pub fn state(&self) -> Weights {
        let mut state = Weights::new();
        for slot in &self.slots {
            state.insert(
                format!("optimiser.first.{}", slot.name),
                values(&slot.first),
            );
            state.insert(
                format!("optimiser.second.{}", slot.name),
                values(&slot.second),
            );
            // A count up to 2^24 is exact in f32, and longer runs no longer feel the correction.
            let steps = Values {
                shape: vec![1],
                data: vec![slot.steps as f32],
            };
            state.insert(format!("optimiser.steps.{}", slot.name), steps);
        }
        state
    }

    /// Takes the moments out of a checkpoint. Returns the first name that it lacks, if any.
    pub fn restore(&mut self, state: &Weights, steps: u64, device: Device) -> Result<(), String> {
        for slot in &mut self.slots {
            for (part, moment) in [("first", &mut slot.first), ("second", &mut slot.second)] {
                let name = format!("optimiser.{part}.{}", slot.name);
                let saved = state.get(&name).ok_or_else(|| name.clone())?;
                if !saved.shape.iter().map(|&s| s as i64).eq(moment.size()) {
                    return Err(name);
                }
                *moment = tensor(saved, device);
            }
            let name = format!("optimiser.steps.{}", slot.name);
            let saved = state.get(&name).and_then(|v| v.data.first());
            slot.steps = *saved.ok_or(name)? as i32;
        }
        self.steps = steps;
        Ok(())
    }
}

/// The slope of `loss` for each slot's tensor, in their order.
fn slopes(loss: &Tensor, slots: &[&mut Slot], uses: Vec<Use>) -> Vec<Tensor> {
    let parameters = slots.iter().map(|s| &s.parameter);
    let asked: Vec<&Tensor> = parameters.chain(uses.iter().map(|u| &u.output)).collect();
    let mut slopes = Tensor::run_backward(&[loss], &asked, false, false);
    let of_outputs = slopes.split_off(slots.len());
    let mut kernels: BTreeMap<&str, Tensor> = std::iter::zip(&uses, of_outputs)
        .filter(|(_, of_output)| of_output.defined())
        .map(|(u, of_output)| (u.name.as_str(), u.slope(&of_output)))
        .collect();
    std::iter::zip(slots, slopes)
        .map(|(slot, slope)| match kernels.remove(slot.name.as_str()) {
            Some(kernel) => kernel,
            None if slope.defined() => slope.contiguous(),
            // A batch that says nothing of a tensor is a slope of zero: momentum and decay go on.
            None => slot.parameter.zeros_like(),
        })
        .collect()
}

/// A step in libtorch's operations, for tensors on other devices.
fn in_operations(
    parameter: &mut Tensor,
    slope: &Tensor,
    first: &mut Tensor,
    second: &mut Tensor,
    rates: Rates,
) {
    let _ = first.lerp_(slope, 1.0 - BETA1);
    let _ = second.lerp_(&slope.square(), 1.0 - BETA2);
    let _ = parameter.g_mul_scalar_(f64::from(rates.shrink));
    let scale = second
        .sqrt()
        .g_mul_scalar_(f64::from(rates.second_correction))
        .g_add_scalar_(EPSILON);
    let update = first.divide(&scale).g_mul_scalar_(-f64::from(rates.rate));
    let _ = parameter.g_add_(&update);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    #[test]
    fn a_step_worked_by_hand() {
        // p = 2, gradient of p² = 4: the first step moves by the rate, after decay: 2 (1 - 0.1·0.5) - 0.1.
        let p = Tensor::from_slice(&[2f32]).set_requires_grad(true);
        let mut adam = AdamW::default();
        adam.add("p".into(), p.shallow_clone(), 0.1, 0.5, Owner::Shared);
        adam.descend(&p.square().sum(Kind::Float), vec![], 1.0, Movers::Whole);
        assert!((p.double_value(&[0]) - 1.8).abs() < 1e-6);
    }

    #[test]
    fn it_finds_a_minimum() {
        let p = Tensor::from_slice(&[3f32, -5.0]).set_requires_grad(true);
        let mut adam = AdamW::default();
        adam.add("p".into(), p.shallow_clone(), 0.1, 0.0, Owner::Shared);
        for _ in 0..500 {
            let loss = (&p - 1.0).square().sum(Kind::Float);
            adam.descend(&loss, vec![], 1.0, Movers::Whole);
        }
        assert!(
            (p.double_value(&[0]) - 1.0).abs() < 1e-2 && (p.double_value(&[1]) - 1.0).abs() < 1e-2
        );
    }

    #[test]
    fn a_learners_step_leaves_the_others_alone() {
        let all = [
            Owner::Shared,
            Owner::Slice(0),
            Owner::Slice(1),
            Owner::Learner(0),
            Owner::Learner(1),
            Owner::Whole,
        ];
        let moving = |movers| all.map(|owner| owner.moves(movers));
        assert_eq!(
            moving(Movers::learner(1)),
            [true, false, true, false, true, false]
        );
        assert_eq!(
            moving(Movers::Learners(0b11)),
            [true, true, true, true, true, false]
        );
        assert_eq!(
            moving(Movers::Whole),
            [true, true, true, false, false, true]
        );
        // With a slope, momentum from before and decay, nothing of the other moves.
        let p = Tensor::from_slice(&[2f32]).set_requires_grad(true);
        let mut adam = AdamW::default();
        adam.add("p".into(), p.shallow_clone(), 0.1, 0.5, Owner::Slice(0));
        let loss = || p.square().sum(Kind::Float);
        adam.descend(&loss(), vec![], 1.0, Movers::learner(0));
        let before = (p.double_value(&[0]), adam.state());
        adam.descend(&loss(), vec![], 1.0, Movers::learner(1));
        assert_eq!((p.double_value(&[0]), adam.state()), before);
        adam.descend(&loss(), vec![], 1.0, Movers::Whole);
        assert_ne!(p.double_value(&[0]), before.0);
    }

    #[test]
    fn one_pass_and_libtorchs_operations_agree() {
        // More than one task's numbers, a slope of zero among them, after several steps.
        let count = (1 << 15) + 7;
        let start = Tensor::arange(count, (Kind::Float, Device::Cpu)) * 1e-3 - 5.0;
        let slope = (&start * 0.7).sin();
        let of = |t: &Tensor| (t.copy(), t.zeros_like(), t.zeros_like());
        let (mut swept, mut operated) = (of(&start), of(&start));
        for step in 1..=3 {
            let rates = Rates {
                shrink: 0.999,
                rate: 0.01 / (1.0 - 0.9f32.powi(step)),
                second_correction: 1.0 / (1.0 - 0.999f32.powi(step)).sqrt(),
            };
            let mut sweep = Sweep::default();
            let (p, m, v) = (&mut swept.0, &mut swept.1, &mut swept.2);
            sweep.add(p, &slope, m, v, rates);
            sweep.take();
            let (p, m, v) = (&mut operated.0, &mut operated.1, &mut operated.2);
            in_operations(p, &slope, m, v, rates);
        }
        for (a, b) in [
            (&swept.0, &operated.0),
            (&swept.1, &operated.1),
            (&swept.2, &operated.2),
        ] {
            assert!((a - b).abs().max().double_value(&[]) < 1e-6);
        }
        assert!((&swept.0 - &start).abs().max().double_value(&[]) > 0.02);
    }

    #[test]
    fn what_lies_otherwise_is_not_swept() {
        let of = |shape: [i64; 2], kind| Tensor::zeros(shape, (kind, Device::Cpu));
        let t = of([2, 3], Kind::Float);
        assert!(sweep::fits(&[&t, &t.zeros_like()]));
        assert!(!sweep::fits(&[&t, &of([3, 2], Kind::Float).tr()]));
        assert!(!sweep::fits(&[&t, &of([2, 3], Kind::Double)]));
        assert!(!sweep::fits(&[&t, &of([2, 2], Kind::Float)]));
    }
}
