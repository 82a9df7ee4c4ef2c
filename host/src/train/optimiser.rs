//! AdamW (Loshchilov & Hutter, ICLR 2019) with its state in the open, so that a checkpoint can hold it.
//!
//! Every tensor belongs to an [`Owner`]. A step moves what its batch may move and leaves the rest alone: weights, moments and
//! counters. With weight decay and momentum, a gradient of zero would not be enough for that.

use super::forward::{Part, tensor, values};
use crate::network::weights::{Values, Weights};
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

impl Owner {
    /// Whether a step of `part` moves it.
    pub fn moves(self, part: Part) -> bool {
        match (self, part) {
            (Self::Shared, _) => true,
            (Self::Slice(own), Part::Learner(k)) | (Self::Learner(own), Part::Learner(k)) => {
                own == k
            }
            (Self::Slice(_) | Self::Whole, Part::Whole | Part::Slices) => true,
            (Self::Learner(_), Part::Whole | Part::Slices) | (Self::Whole, Part::Learner(_)) => {
                false
            }
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

    /// Forgets the gradients.
    pub fn zero_grad(&mut self) {
        for slot in &mut self.slots {
            slot.parameter.zero_grad();
        }
    }

    /// One step of `part`, every peak rate times `factor`.
    pub fn step(&mut self, factor: f64, part: Part) {
        self.steps += 1;
        tch::no_grad(|| {
            for slot in self.slots.iter_mut().filter(|s| s.owner.moves(part)) {
                let gradient = slot.parameter.grad();
                // A batch that says nothing of a tensor is a slope of zero, whether or not an earlier one left a gradient to be
                // zeroed: a resumed run must not differ.
                let gradient = if gradient.defined() {
                    gradient
                } else {
                    slot.parameter.zeros_like()
                };
                slot.steps += 1;
                let correction1 = 1.0 - BETA1.powi(slot.steps);
                let correction2 = (1.0 - BETA2.powi(slot.steps)).sqrt();
                let rate = slot.rate * factor;
                let _ = slot.first.lerp_(&gradient, 1.0 - BETA1);
                let _ = slot.second.lerp_(&gradient.square(), 1.0 - BETA2);
                let _ = slot.parameter.g_mul_scalar_(1.0 - rate * slot.decay);
                let scale = slot
                    .second
                    .sqrt()
                    .g_div_scalar_(correction2)
                    .g_add_scalar_(EPSILON);
                let update = slot.first.divide(&scale).g_mul_scalar_(-rate / correction1);
                let _ = slot.parameter.g_add_(&update);
            }
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
        p.square().sum(Kind::Float).backward();
        adam.step(1.0, Part::Whole);
        assert!((p.double_value(&[0]) - 1.8).abs() < 1e-6);
    }

    #[test]
    fn it_finds_a_minimum() {
        let p = Tensor::from_slice(&[3f32, -5.0]).set_requires_grad(true);
        let mut adam = AdamW::default();
        adam.add("p".into(), p.shallow_clone(), 0.1, 0.0, Owner::Shared);
        for _ in 0..500 {
            adam.zero_grad();
            (&p - 1.0).square().sum(Kind::Float).backward();
            adam.step(1.0, Part::Whole);
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
        let moving = |part| all.map(|owner| owner.moves(part));
        assert_eq!(
            moving(Part::Learner(1)),
            [true, false, true, false, true, false]
        );
        assert_eq!(moving(Part::Whole), [true, true, true, false, false, true]);
        // With a gradient in store, momentum from before and decay, nothing of the other moves.
        let p = Tensor::from_slice(&[2f32]).set_requires_grad(true);
        let mut adam = AdamW::default();
        adam.add("p".into(), p.shallow_clone(), 0.1, 0.5, Owner::Slice(0));
        p.square().sum(Kind::Float).backward();
        adam.step(1.0, Part::Learner(0));
        let before = (p.double_value(&[0]), adam.state());
        adam.step(1.0, Part::Learner(1));
        assert_eq!((p.double_value(&[0]), adam.state()), before);
        adam.step(1.0, Part::Whole);
        assert_ne!(p.double_value(&[0]), before.0);
    }
}
