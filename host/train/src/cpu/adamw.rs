//! An AdamW step in a single pass over memory. In libtorch's operations it takes a dozen passes over
//! each tensor, which for a few million weights costs more time than some layers.

use super::floats;
use rayon::prelude::*;
use tch::Tensor;

/// Numbers per task: few enough to share the work evenly, many enough to hide the overhead.
const CHUNK: usize = 1 << 15;

/// Whether all tensors are plain and equally long, so that this path can be used.
pub(crate) fn supports(tensors: &[&Tensor]) -> bool {
    tensors
        .iter()
        .all(|t| floats::is_plain(t) && t.numel() == tensors[0].numel())
}

/// The coefficients of one step of one tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct StepCoefficients {
    /// `1 - lr * weight_decay`
    pub(crate) shrink: f32,
    /// `lr / (1 - beta1^t)`
    pub(crate) lr: f32,
    /// `1 / sqrt(1 - beta2^t)`
    pub(crate) second_correction: f32,
    /// `1 - beta1`
    pub(crate) new_first: f32,
    /// `1 - beta2`
    pub(crate) new_second: f32,
    pub(crate) epsilon: f32,
}

/// The same range of a weight, its gradient and its moments.
struct Task<'a> {
    parameter: &'a mut [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    gradient: &'a [f32],
    coefficients: StepCoefficients,
}

/// Steps of many tensors, collected and then run in parallel.
#[derive(Default)]
pub(crate) struct SinglePass<'a> {
    tasks: Vec<Task<'a>>,
}

impl<'a> SinglePass<'a> {
    /// Adds a tensor's step; panics unless [`supports`] holds for the four tensors.
    pub(crate) fn add(
        &mut self,
        parameter: &'a mut Tensor,
        gradient: &'a Tensor,
        first: &'a mut Tensor,
        second: &'a mut Tensor,
        coefficients: StepCoefficients,
    ) {
        let parameter = floats::of_mut(parameter).chunks_mut(CHUNK);
        let first = floats::of_mut(first).chunks_mut(CHUNK);
        let second = floats::of_mut(second).chunks_mut(CHUNK);
        let gradient = floats::of(gradient).chunks(CHUNK);
        for (((parameter, first), second), gradient) in
            parameter.zip(first).zip(second).zip(gradient)
        {
            self.tasks.push(Task {
                parameter,
                first,
                second,
                gradient,
                coefficients,
            });
        }
    }

    /// The result does not depend on the number of threads.
    pub(crate) fn run(self) {
        self.tasks.into_par_iter().for_each(Task::run);
    }
}

impl Task<'_> {
    fn run(self) {
        let StepCoefficients {
            shrink,
            lr,
            second_correction,
            new_first,
            new_second,
            epsilon,
        } = self.coefficients;
        let moments = self.first.iter_mut().zip(self.second);
        for ((p, g), (m, v)) in self.parameter.iter_mut().zip(self.gradient).zip(moments) {
            *m += (g - *m) * new_first;
            *v += (g * g - *v) * new_second;
            let scale = v.sqrt() * second_correction + epsilon;
            *p = *p * shrink - lr * (*m / scale);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn only_plain_tensors_of_one_length_are_supported() {
        let of = |shape: [i64; 2], kind| Tensor::zeros(shape, (kind, Device::Cpu));
        let t = of([2, 3], Kind::Float);
        assert!(supports(&[&t, &t.zeros_like()]));
        assert!(!supports(&[&t, &of([3, 2], Kind::Float).tr()]));
        assert!(!supports(&[&t, &of([2, 3], Kind::Double)]));
        assert!(!supports(&[&t, &of([2, 2], Kind::Float)]));
    }
}
