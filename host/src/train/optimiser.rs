//! AdamW (Loshchilov & Hutter, ICLR 2019) with its state in the open, so that a checkpoint can hold it, and the schedule of
//! its step size.

use super::forward::{tensor, values};
use super::recipe::OptimiserSettings;
use crate::network::weights::Weights;
use tch::{Device, Tensor};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// One trained tensor and its moments.
struct Slot {
    name: String,
    parameter: Tensor,
    first: Tensor,
    second: Tensor,
    rate: f64,
    decay: f64,
}

/// AdamW over named tensors, each with its own peak rate.
#[derive(Default)]
pub struct AdamW {
    slots: Vec<Slot>,
    steps: u64,
}

impl AdamW {
    /// Takes `parameter` into care.
    pub fn add(&mut self, name: String, parameter: Tensor, rate: f64, decay: f64) {
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

    /// One step, every peak rate times `factor`. Tensors without a gradient stay as they are.
    pub fn step(&mut self, factor: f64) {
        self.steps += 1;
        let steps = self.steps as i32;
        let (correction1, correction2) =
            (1.0 - BETA1.powi(steps), (1.0 - BETA2.powi(steps)).sqrt());
        tch::no_grad(|| {
            for slot in &mut self.slots {
                let gradient = slot.parameter.grad();
                if !gradient.defined() {
                    continue;
                }
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
        }
        self.steps = steps;
        Ok(())
    }
}

/// What the peak rates are multiplied with at `step` of `steps`: up in a line, down along half a cosine to a hundredth.
pub fn schedule(settings: &OptimiserSettings, step: u64, steps: u64) -> f64 {
    let warm = (settings.warm_up * steps as f64).max(1.0);
    let step = step as f64;
    if step < warm {
        return (step + 1.0) / warm;
    }
    let done = ((step - warm) / (steps as f64 - warm).max(1.0)).min(1.0);
    0.01 + 0.99 * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::recipe::Recipe;
    use tch::Kind;

    #[test]
    fn a_step_worked_by_hand() {
        // p = 2, gradient of p² = 4: the first step moves by the rate, after decay: 2 (1 - 0.1·0.5) - 0.1.
        let p = Tensor::from_slice(&[2f32]).set_requires_grad(true);
        let mut adam = AdamW::default();
        adam.add("p".into(), p.shallow_clone(), 0.1, 0.5);
        p.square().sum(Kind::Float).backward();
        adam.step(1.0);
        assert!((p.double_value(&[0]) - 1.8).abs() < 1e-6);
    }

    #[test]
    fn it_finds_a_minimum() {
        let p = Tensor::from_slice(&[3f32, -5.0]).set_requires_grad(true);
        let mut adam = AdamW::default();
        adam.add("p".into(), p.shallow_clone(), 0.1, 0.0);
        for _ in 0..500 {
            adam.zero_grad();
            (&p - 1.0).square().sum(Kind::Float).backward();
            adam.step(1.0);
        }
        assert!(
            (p.double_value(&[0]) - 1.0).abs() < 1e-2 && (p.double_value(&[1]) - 1.0).abs() < 1e-2
        );
    }

    #[test]
    fn the_rate_rises_and_falls() {
        let settings = Recipe::default().optimiser;
        let at = |step| schedule(&settings, step, 1000);
        assert!(at(0) < 0.03 && (at(49) - 1.0).abs() < 1e-9);
        assert!((at(525) - 0.505).abs() < 0.01 && at(999) < 0.011);
    }
}
