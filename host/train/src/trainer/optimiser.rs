//! AdamW (Loshchilov & Hutter, ICLR 2019), Adam (Kingma & Ba, ICLR 2015) and stochastic gradient descent
//! with momentum, with their state accessible, so that a checkpoint can hold it.
//!
//! Every tensor belongs to a [`ParameterGroup`] with a scope. A step updates the tensors in the scope
//! of its batch and leaves the others alone: weights, moments and counters. With weight decay and
//! momentum, a zero gradient would not be enough for that.

use super::checkpoint::OPTIMISER;
use crate::cpu::adamw::{self, SinglePass, StepCoefficients};
use crate::cpu::depthwise::SavedActivations;
use crate::torch::tensors::{tensor, values};
use flukewatch_network::Role;
use flukewatch_network::weights::{Values, Weights};
use tch::{Device, Kind, Tensor};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Which steps update a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpdateScope {
    /// Updated in all steps.
    Shared,
    /// A slice of the embedding: the steps of this learner, and those of the whole embedding.
    Slice(usize),
    /// The loss of one learner: the steps of this learner.
    Learner(usize),
    /// The loss of the whole embedding: the steps of the whole embedding.
    Whole,
}

/// The parameters that a step trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StepScope {
    /// The whole embedding.
    Whole,
    /// The learners whose bits are set: those that the batch has photos for.
    Learners(u64),
}

impl StepScope {
    pub(crate) fn learner(k: usize) -> Self {
        Self::Learners(1 << k)
    }
}

impl UpdateScope {
    fn includes(self, step: StepScope) -> bool {
        match (self, step) {
            (Self::Shared, _) | (Self::Slice(_) | Self::Whole, StepScope::Whole) => true,
            (Self::Slice(k) | Self::Learner(k), StepScope::Learners(learners)) => {
                learners >> k & 1 == 1
            }
            (Self::Learner(_), StepScope::Whole) | (Self::Whole, StepScope::Learners(_)) => false,
        }
    }
}

/// The weight decay of a parameter: only weights decay, not biases, normalisation, boundaries and other
/// scales, whose size is meaningful.
pub(crate) fn weight_decay_of(role: Role, weight_decay: f64) -> f64 {
    match role {
        Role::Weight => weight_decay,
        Role::Scale | Role::Statistic => 0.0,
    }
}

/// How a tensor is updated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ParameterGroup {
    /// Peak learning rate.
    pub(crate) lr: f64,
    pub(crate) weight_decay: f64,
    pub(crate) scope: UpdateScope,
}

/// A trained tensor and its moments.
struct Slot {
    name: String,
    parameter: Tensor,
    first: Tensor,
    second: Tensor,
    group: ParameterGroup,
    /// Steps that updated it.
    steps: i32,
    /// The sum of the gradients since the last step, of losses in whose scope it is.
    gradient: Option<Tensor>,
}

/// How a step follows from gradients.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum UpdateRule {
    /// Adam; the decay is decoupled, so that it does not depend on the gradients' size.
    #[default]
    AdamW,
    /// Adam; the decay is part of the gradient (L2 regularisation), as in PyTorch's `Adam`.
    Adam,
    /// Stochastic gradient descent; the decay is part of the gradient.
    Sgd {
        /// Fraction of the last step that is repeated.
        momentum: f64,
    },
}

/// An update rule over named tensors.
#[derive(Default)]
pub(crate) struct Optimiser {
    slots: Vec<Slot>,
    steps: u64,
    rule: UpdateRule,
}

impl Optimiser {
    pub(crate) fn new(rule: UpdateRule) -> Self {
        Self {
            rule,
            ..Self::default()
        }
    }

    pub(crate) fn add(&mut self, name: String, parameter: Tensor, group: ParameterGroup) {
        let zeros = || parameter.zeros_like().detach();
        self.slots.push(Slot {
            name,
            first: zeros(),
            second: zeros(),
            parameter,
            group,
            steps: 0,
            gradient: None,
        });
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    /// One step along the gradient of `loss`: see [`Self::accumulate`] and [`Self::apply`].
    pub(crate) fn step(
        &mut self,
        loss: &Tensor,
        saved: SavedActivations,
        lr_factor: f64,
        scope: StepScope,
    ) {
        self.accumulate(loss, saved, scope);
        self.apply(lr_factor);
    }

    /// Adds the gradient of `loss` (a scalar) to those of the next step.
    ///
    /// Gradients are computed for the tensors in `scope` only, those of some depthwise kernels from
    /// the activations that the forward pass `saved`.
    pub(crate) fn accumulate(&mut self, loss: &Tensor, saved: SavedActivations, scope: StepScope) {
        let mut updated: Vec<&mut Slot> = self
            .slots
            .iter_mut()
            .filter(|s| s.group.scope.includes(scope))
            .collect();
        if updated.is_empty() {
            return;
        }
        let gradients = gradients(loss, &updated, saved);
        for (slot, gradient) in updated.iter_mut().zip(gradients) {
            slot.gradient = Some(match slot.gradient.take() {
                Some(sum) => sum + gradient,
                None => gradient,
            });
        }
    }

    /// The norm of the accumulated gradients, a scalar on their device.
    pub(crate) fn gradient_norm(&self) -> Tensor {
        norm(self.slots.iter().filter_map(|s| s.gradient.as_ref()))
    }

    /// The norm of all parameters, a scalar on their device.
    pub(crate) fn parameter_norm(&self) -> Tensor {
        norm(self.slots.iter().map(|s| &s.parameter))
    }

    /// Scales the accumulated gradients down to the norm `max`, if `norm` of them is larger.
    pub(crate) fn clip(&mut self, norm: &Tensor, max: f64) {
        // A tensor, so that the device need not be waited for.
        let factor = (norm.clamp_min(max).reciprocal() * max).to_kind(Kind::Float);
        for gradient in self.slots.iter_mut().filter_map(|s| s.gradient.as_mut()) {
            let _ = gradient.g_mul_(&factor);
        }
    }

    /// One step along the accumulated gradients, with every learning rate times `lr_factor`.
    pub(crate) fn apply(&mut self, lr_factor: f64) {
        self.steps += 1;
        let rule = self.rule;
        let (mut updated, mut gradients): (Vec<&mut Slot>, Vec<Tensor>) = self
            .slots
            .iter_mut()
            .filter_map(|slot| {
                let gradient = slot.gradient.take()?;
                Some((slot, gradient))
            })
            .unzip();
        tch::no_grad(|| {
            let mut pass = SinglePass::default();
            for (slot, gradient) in updated.iter_mut().zip(&mut gradients) {
                slot.steps += 1;
                let lr = slot.group.lr * lr_factor;
                let mut decoupled = slot.group.weight_decay;
                if rule != UpdateRule::AdamW {
                    let _ = gradient.g_add_(&(&slot.parameter * decoupled));
                    decoupled = 0.0;
                }
                if let UpdateRule::Sgd { momentum } = rule {
                    let _ = slot.first.g_mul_scalar_(momentum).g_add_(gradient);
                    let _ = slot.parameter.g_sub_(&(&slot.first * lr));
                    continue;
                }
                let coefficients = StepCoefficients {
                    shrink: (1.0 - lr * decoupled) as f32,
                    lr: (lr / (1.0 - BETA1.powi(slot.steps))) as f32,
                    second_correction: (1.0 / (1.0 - BETA2.powi(slot.steps)).sqrt()) as f32,
                    new_first: (1.0 - BETA1) as f32,
                    new_second: (1.0 - BETA2) as f32,
                    epsilon: EPSILON as f32,
                };
                let Slot {
                    parameter,
                    first,
                    second,
                    ..
                } = &mut **slot;
                if adamw::supports(&[parameter, gradient, first, second]) {
                    pass.add(parameter, gradient, first, second, coefficients);
                } else {
                    in_operations(parameter, gradient, first, second, coefficients);
                }
            }
            pass.run();
        });
    }

    /// Moments and counters, for a checkpoint.
    pub(crate) fn state(&self) -> Weights {
        let mut state = Weights::new();
        for slot in &self.slots {
            let name = |part: &str| format!("{OPTIMISER}{part}.{}", slot.name);
            state.insert(name("first"), values(&slot.first));
            state.insert(name("second"), values(&slot.second));
            // A count up to 2^24 is exact in f32, and longer runs no longer need the correction.
            let steps = Values {
                shape: vec![1],
                data: vec![slot.steps as f32],
            };
            state.insert(name("steps"), steps);
        }
        state
    }

    /// Restores moments and counters from a checkpoint. The error is the first name that is missing
    /// or has another shape.
    pub(crate) fn restore(
        &mut self,
        state: &Weights,
        steps: u64,
        device: Device,
    ) -> Result<(), String> {
        for slot in &mut self.slots {
            for (part, moment) in [("first", &mut slot.first), ("second", &mut slot.second)] {
                let name = format!("{OPTIMISER}{part}.{}", slot.name);
                let saved = state.get(&name).ok_or_else(|| name.clone())?;
                if !saved.shape.iter().map(|&s| s as i64).eq(moment.size()) {
                    return Err(name);
                }
                *moment = tensor(saved, device);
            }
            let name = format!("{OPTIMISER}steps.{}", slot.name);
            let saved = state.get(&name).and_then(|v| v.data.first());
            slot.steps = *saved.ok_or(name)? as i32;
        }
        self.steps = steps;
        Ok(())
    }
}

/// The norm of all numbers of some tensors, in double precision.
fn norm<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> Tensor {
    tch::no_grad(|| {
        let squares: Vec<Tensor> = tensors
            .map(|t| t.norm().to_kind(Kind::Double).square())
            .collect();
        match squares.first() {
            Some(_) => Tensor::stack(&squares, 0).sum(Kind::Double).sqrt(),
            None => Tensor::zeros([], (Kind::Double, Device::Cpu)),
        }
    })
}

/// The gradient of `loss` for each slot's tensor, in order.
fn gradients(loss: &Tensor, slots: &[&mut Slot], saved: SavedActivations) -> Vec<Tensor> {
    let parameters = slots.iter().map(|s| &s.parameter);
    let inputs: Vec<&Tensor> = parameters.chain(saved.outputs()).collect();
    let mut gradients = Tensor::run_backward(&[loss], &inputs, false, false);
    let of_outputs = gradients.split_off(slots.len());
    let mut kernels = saved.kernel_gradients(of_outputs);
    std::iter::zip(slots, gradients)
        .map(|(slot, gradient)| match kernels.remove(&slot.name) {
            Some(kernel) => kernel,
            None if gradient.defined() => gradient.contiguous(),
            // A batch that does not depend on a tensor gives a zero gradient: momentum and decay
            // still apply.
            None => slot.parameter.zeros_like(),
        })
        .collect()
}

/// A step in libtorch's operations, for other devices.
fn in_operations(
    parameter: &mut Tensor,
    gradient: &Tensor,
    first: &mut Tensor,
    second: &mut Tensor,
    coefficients: StepCoefficients,
) {
    let _ = first.lerp_(gradient, 1.0 - BETA1);
    let _ = second.lerp_(&gradient.square(), 1.0 - BETA2);
    let _ = parameter.g_mul_scalar_(f64::from(coefficients.shrink));
    let scale = second
        .sqrt()
        .g_mul_scalar_(f64::from(coefficients.second_correction))
        .g_add_scalar_(EPSILON);
    let update = first
        .divide(&scale)
        .g_mul_scalar_(-f64::from(coefficients.lr));
    let _ = parameter.g_add_(&update);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    fn with(p: &Tensor, weight_decay: f64, scope: UpdateScope) -> Optimiser {
        let mut adam = Optimiser::default();
        let group = ParameterGroup {
            lr: 0.1,
            weight_decay,
            scope,
        };
        adam.add("p".into(), p.shallow_clone(), group);
        adam
    }

    fn step(adam: &mut Optimiser, loss: &Tensor, scope: StepScope) {
        adam.step(loss, SavedActivations::default(), 1.0, scope);
    }

    #[test]
    fn a_step_worked_by_hand() {
        // p = 2, gradient of p² = 4: the first step has length lr, after decay: 2 (1 - 0.1·0.5) - 0.1.
        let p = Tensor::from_slice(&[2f32]).set_requires_grad(true);
        let mut adam = with(&p, 0.5, UpdateScope::Shared);
        step(&mut adam, &p.square().sum(Kind::Float), StepScope::Whole);
        assert!((p.double_value(&[0]) - 1.8).abs() < 1e-6);
    }

    #[test]
    fn the_decay_of_adam_and_sgd_is_part_of_the_gradient() {
        let group = ParameterGroup {
            lr: 0.1,
            weight_decay: 0.5,
            scope: UpdateScope::Shared,
        };
        let run = |rule, steps: usize| {
            let p = Tensor::from_slice(&[2f32]).set_requires_grad(true);
            let mut optimiser = Optimiser::new(rule);
            optimiser.add("p".into(), p.shallow_clone(), group);
            for _ in 0..steps {
                step(
                    &mut optimiser,
                    &p.square().sum(Kind::Float),
                    StepScope::Whole,
                );
            }
            p.double_value(&[0])
        };
        // Adam's first step has length lr, whatever the gradient of 4 + 0.5 * 2.
        assert!((run(UpdateRule::Adam, 1) - 1.9).abs() < 1e-6);
        // SGD: 2 - 0.1 (4 + 1) = 1.5; then the velocity is 0.9 * 5 + (3 + 0.75) = 8.25: 0.675.
        let sgd = UpdateRule::Sgd { momentum: 0.9 };
        assert!((run(sgd, 1) - 1.5).abs() < 1e-6);
        assert!((run(sgd, 2) - 0.675).abs() < 1e-6);
        assert!((run(UpdateRule::Sgd { momentum: 0.0 }, 2) - 1.125).abs() < 1e-6);
    }

    #[test]
    fn it_finds_a_minimum() {
        let p = Tensor::from_slice(&[3f32, -5.0]).set_requires_grad(true);
        let mut adam = with(&p, 0.0, UpdateScope::Shared);
        for _ in 0..500 {
            let loss = (&p - 1.0).square().sum(Kind::Float);
            step(&mut adam, &loss, StepScope::Whole);
        }
        assert!(
            (p.double_value(&[0]) - 1.0).abs() < 1e-2 && (p.double_value(&[1]) - 1.0).abs() < 1e-2
        );
    }

    #[test]
    fn a_learners_step_leaves_the_others_alone() {
        let all = [
            UpdateScope::Shared,
            UpdateScope::Slice(0),
            UpdateScope::Slice(1),
            UpdateScope::Learner(0),
            UpdateScope::Learner(1),
            UpdateScope::Whole,
        ];
        let updated = |step| all.map(|scope| scope.includes(step));
        assert_eq!(
            updated(StepScope::learner(1)),
            [true, false, true, false, true, false]
        );
        assert_eq!(
            updated(StepScope::Learners(0b11)),
            [true, true, true, true, true, false]
        );
        assert_eq!(
            updated(StepScope::Whole),
            [true, true, true, false, false, true]
        );
        // Despite a gradient, momentum from before and decay, the other does not change.
        let p = Tensor::from_slice(&[2f32]).set_requires_grad(true);
        let mut adam = with(&p, 0.5, UpdateScope::Slice(0));
        let loss = || p.square().sum(Kind::Float);
        step(&mut adam, &loss(), StepScope::learner(0));
        let before = (p.double_value(&[0]), adam.state());
        step(&mut adam, &loss(), StepScope::learner(1));
        assert_eq!((p.double_value(&[0]), adam.state()), before);
        step(&mut adam, &loss(), StepScope::Whole);
        assert_ne!(p.double_value(&[0]), before.0);
    }

    #[test]
    fn accumulated_gradients_are_those_of_the_sum() {
        let start = || Tensor::from_slice(&[2f32, -1.0]).set_requires_grad(true);
        let (one, other) = (start(), start());
        let (mut single, mut halves) = (
            with(&one, 0.1, UpdateScope::Shared),
            with(&other, 0.1, UpdateScope::Shared),
        );
        for _ in 0..3 {
            let loss = |p: &Tensor| (p.square().sum(Kind::Float), (p * 3.0).sum(Kind::Float));
            let (a, b) = loss(&one);
            step(&mut single, &(a + b), StepScope::Whole);
            let (a, b) = loss(&other);
            halves.accumulate(&a, SavedActivations::default(), StepScope::Whole);
            halves.accumulate(&b, SavedActivations::default(), StepScope::Whole);
            // 2 p + 3
            let expected: Vec<f32> = Vec::try_from(&(&other * 2.0 + 3.0)).unwrap();
            let expected = expected.iter().map(|g| g * g).sum::<f32>().sqrt();
            let norm = halves.gradient_norm().double_value(&[]);
            assert!((norm - f64::from(expected)).abs() < 1e-5);
            halves.apply(1.0);
        }
        assert_eq!((single.steps(), halves.steps()), (3, 3));
        assert_eq!(single.state(), halves.state());
        assert_eq!(one, other);
    }

    #[test]
    fn a_step_trains_what_any_of_its_losses_trains() {
        let parameters = [0, 1, 2].map(|_| Tensor::from_slice(&[2f32]).set_requires_grad(true));
        let mut adam = Optimiser::default();
        for (k, p) in parameters.iter().enumerate() {
            let group = ParameterGroup {
                lr: 0.1,
                weight_decay: 0.0,
                scope: UpdateScope::Slice(k),
            };
            adam.add(format!("{k}"), p.shallow_clone(), group);
        }
        let loss = || Tensor::stack(&parameters, 0).square().sum(Kind::Float);
        for learner in [0, 2] {
            let scope = StepScope::learner(learner);
            adam.accumulate(&loss(), SavedActivations::default(), scope);
        }
        adam.apply(1.0);
        let moved = parameters.each_ref().map(|p| p.double_value(&[0]) != 2.0);
        assert_eq!(moved, [true, false, true]);
    }

    #[test]
    fn large_gradients_are_clipped_and_small_ones_left() {
        for (max, expected) in [(1.0, 1.0), (5.0, 5.0), (7.0, 5.0)] {
            let p = Tensor::from_slice(&[3f32, 4.0]).set_requires_grad(true);
            let mut adam = with(&p, 0.0, UpdateScope::Shared);
            let loss = p.square().sum(Kind::Float) * 0.5;
            adam.accumulate(&loss, SavedActivations::default(), StepScope::Whole);
            let norm = adam.gradient_norm();
            assert_eq!(norm.double_value(&[]), 5.0);
            adam.clip(&norm, max);
            assert!((adam.gradient_norm().double_value(&[]) - expected).abs() < 1e-6);
            assert_eq!(adam.parameter_norm().double_value(&[]), 5.0);
        }
    }

    #[test]
    fn the_single_pass_equals_libtorchs_operations() {
        // More numbers than one task takes, a zero gradient among them, several steps.
        let count = (1 << 15) + 7;
        let start = Tensor::arange(count, (Kind::Float, Device::Cpu)) * 1e-3 - 5.0;
        let gradient = (&start * 0.7).sin();
        let of = |t: &Tensor| (t.copy(), t.zeros_like(), t.zeros_like());
        let (mut one, mut other) = (of(&start), of(&start));
        for step in 1..=3 {
            let coefficients = StepCoefficients {
                shrink: 0.999,
                lr: 0.01 / (1.0 - 0.9f32.powi(step)),
                second_correction: 1.0 / (1.0 - 0.999f32.powi(step)).sqrt(),
                new_first: (1.0 - BETA1) as f32,
                new_second: (1.0 - BETA2) as f32,
                epsilon: EPSILON as f32,
            };
            let mut pass = SinglePass::default();
            let (p, m, v) = (&mut one.0, &mut one.1, &mut one.2);
            pass.add(p, &gradient, m, v, coefficients);
            pass.run();
            let (p, m, v) = (&mut other.0, &mut other.1, &mut other.2);
            in_operations(p, &gradient, m, v, coefficients);
        }
        for (a, b) in [(&one.0, &other.0), (&one.1, &other.1), (&one.2, &other.2)] {
            assert!((a - b).abs().max().double_value(&[]) < 1e-6);
        }
        assert!((&one.0 - &start).abs().max().double_value(&[]) > 0.02);
    }
}
