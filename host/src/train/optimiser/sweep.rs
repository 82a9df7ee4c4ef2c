//! One step of AdamW on the CPU in one pass over memory. The same in libtorch's operations passes over a tensor a dozen times,
//! which for a few million weights takes longer than some layers do.

use super::{BETA1, BETA2, EPSILON};
use crate::train::numbers;
use rayon::prelude::*;
use tch::Tensor;

/// Numbers that one task works on: few enough to share the work evenly, many enough not to feel the sharing.
const TOGETHER: usize = 1 << 15;

/// Whether these tensors lie on the CPU as as many 32-bit floats in a row.
pub(super) fn fits(tensors: &[&Tensor]) -> bool {
    tensors
        .iter()
        .all(|t| numbers::in_a_row(t) && t.numel() == tensors[0].numel())
}

/// What a step does to each number of a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rates {
    /// The weight is multiplied by it: weight decay.
    pub(super) shrink: f32,
    /// Of the corrected update.
    pub(super) rate: f32,
    /// `1 / sqrt(1 - BETA2^t)`
    pub(super) second_correction: f32,
}

/// The same range of a weight, its slope and its moments.
struct Task<'a> {
    parameter: &'a mut [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    gradient: &'a [f32],
    rates: Rates,
}

/// The steps of many tensors, to be taken at once.
#[derive(Default)]
pub(super) struct Sweep<'a> {
    tasks: Vec<Task<'a>>,
}

impl<'a> Sweep<'a> {
    /// Adds a tensor's step; the four tensors must [`fit`](fits).
    pub(super) fn add(
        &mut self,
        parameter: &'a mut Tensor,
        gradient: &'a Tensor,
        first: &'a mut Tensor,
        second: &'a mut Tensor,
        rates: Rates,
    ) {
        let parameter = numbers::of_mut(parameter).chunks_mut(TOGETHER);
        let first = numbers::of_mut(first).chunks_mut(TOGETHER);
        let second = numbers::of_mut(second).chunks_mut(TOGETHER);
        let gradient = numbers::of(gradient).chunks(TOGETHER);
        for (((parameter, first), second), gradient) in
            parameter.zip(first).zip(second).zip(gradient)
        {
            self.tasks.push(Task {
                parameter,
                first,
                second,
                gradient,
                rates,
            });
        }
    }

    /// Takes them. The result does not depend on how many threads there are.
    pub(super) fn take(self) {
        self.tasks.into_par_iter().for_each(Task::run);
    }
}

impl Task<'_> {
    fn run(self) {
        let Rates {
            shrink,
            rate,
            second_correction,
        } = self.rates;
        let (new1, new2) = ((1.0 - BETA1) as f32, (1.0 - BETA2) as f32);
        let moments = self.first.iter_mut().zip(self.second);
        for ((p, g), (m, v)) in self.parameter.iter_mut().zip(self.gradient).zip(moments) {
            *m += (g - *m) * new1;
            *v += (g * g - *v) * new2;
            let scale = v.sqrt() * second_correction + EPSILON as f32;
            *p = *p * shrink - rate * (*m / scale);
        }
    }
}
