//! tract: inference in pure Rust, on the workstation, in tests, and on a boat without an accelerator.
//!
//! tract runs QuantizeLinear and DequantizeLinear node by node, slower than plain floats, so by
//! default a quantised model is rewritten at load: its int8 weights become floats, and its
//! activations stay floats. The embedding differs from the quantised one only by the quantisation
//! of the activations.

#[cfg(target_arch = "x86_64")]
mod depthwise;
#[cfg(target_arch = "x86_64")]
mod tiles;

use super::form::{Form, check};
use super::strip::{is_quantised, strip};
use super::{Engine, EngineError, Outputs, expect_shape};
use ndarray::ArrayView3;
use prost::Message;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tract_linalg::multithread::{Executor, multithread_tract_scope};
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::runtime::DefaultRuntime;

/// The version of tract in this build.
pub const TRACT_VERSION: &str = "0.23.9";

/// How a quantised model is run; a plain one runs the same in either form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TractForm {
    /// Weights as floats, activations not quantised: the faster form.
    Dequantised,
    /// With every QuantizeLinear and DequantizeLinear, like an int8 engine.
    AsIs,
}

/// A model loaded into tract.
#[derive(Debug)]
pub struct TractEngine {
    name: String,
    input_shape: [usize; 3],
    dimension: usize,
    local_shape: Option<[usize; 3]>,
    state: Box<dyn State>,
    executor: Executor,
}

impl TractEngine {
    /// Loads an ONNX model with one input `[1, C, H, W] f32` and one output `[1, D] f32`, optionally a second one
    /// `[1, C, H, W] f32`, all of fixed size, and runs it once on zeros, so that a model that cannot run is rejected at load.
    ///
    /// # Errors
    /// When the bytes are not such a model, their quantisation cannot be reverted, or tract cannot
    /// run them.
    pub fn load(model: &[u8], form: TractForm) -> Result<Self, EngineError> {
        let mut model =
            ModelProto::decode(model).map_err(|e| EngineError::NotOnnx(e.to_string()))?;
        let Form {
            input: input_shape,
            local: local_shape,
        } = check(&model)?;
        let name = match (is_quantised(&model), form) {
            (false, _) => format!("tract {TRACT_VERSION} f32"),
            (true, TractForm::AsIs) => format!("tract {TRACT_VERSION} int8 Q/DQ"),
            (true, TractForm::Dequantised) => {
                strip(&mut model)?;
                format!("tract {TRACT_VERSION} int8 weights in f32")
            }
        };
        let (dimension, state) = guarded(EngineError::Load, || {
            optimise(&model, input_shape, local_shape)
        })??;
        let mut engine = Self {
            name,
            input_shape,
            dimension,
            local_shape,
            state,
            executor: Executor::SingleThread,
        };
        let [c, h, w] = input_shape;
        let zeros = vec![0.0; c * h * w];
        let output = guarded(EngineError::Load, || engine.run_slice(&zeros))??;
        if output.embedding.len() != dimension {
            return Err(EngineError::Unsupported(format!(
                "it declares {dimension} outputs and gives {}",
                output.embedding.len()
            )));
        }
        Ok(engine)
    }

    /// Runs on `threads` threads instead of one; more threads only speed up large layers.
    ///
    /// # Errors
    /// [`EngineError::Load`] when the threads cannot be created.
    pub fn on_threads(mut self, threads: usize) -> Result<Self, EngineError> {
        self.executor = if threads > 1 {
            guarded(EngineError::Load, || {
                Executor::multithread_with_name(threads, "tract")
            })?
        } else {
            Executor::SingleThread
        };
        Ok(self)
    }

    fn run_slice(&mut self, input: &[f32]) -> Result<Outputs, EngineError> {
        let failed = |e: TractError| EngineError::Run(one_line(&e));
        let [c, h, w] = self.input_shape;
        let tensor = Tensor::from_shape(&[1, c, h, w], input).map_err(failed)?;
        let state = &mut self.state;
        let outputs = multithread_tract_scope(self.executor.clone(), || {
            state.run(tvec![tensor.into_tvalue()])
        })
        .map_err(failed)?;
        let numbers = |at: usize| {
            let output = outputs
                .get(at)
                .ok_or_else(|| EngineError::Run(format!("it has no output {at}")))?;
            output
                .try_as_plain_ram()
                .and_then(|v| v.as_slice::<f32>().map(<[f32]>::to_vec))
                .map_err(failed)
        };
        Ok(Outputs {
            embedding: numbers(0)?,
            local: self.local_shape.map(|_| numbers(1)).transpose()?,
        })
    }
}

impl Engine for TractEngine {
    fn name(&self) -> &str {
        &self.name
    }

    fn input_shape(&self) -> [usize; 3] {
        self.input_shape
    }

    fn dimension(&self) -> usize {
        self.dimension
    }

    fn run(&mut self, input: ArrayView3<f32>) -> Result<Vec<f32>, EngineError> {
        Ok(self.run_with_local(input)?.embedding)
    }

    fn local_shape(&self) -> Option<[usize; 3]> {
        self.local_shape
    }

    fn run_with_local(&mut self, input: ArrayView3<f32>) -> Result<Outputs, EngineError> {
        expect_shape(self.input_shape, &input)?;
        match input.as_slice() {
            Some(numbers) => self.run_slice(numbers),
            None => self.run_slice(&input.iter().copied().collect::<Vec<f32>>()),
        }
    }
}

/// Turns a panic in tract, which asserts on some malformed models, into an error.
fn guarded<T>(
    error: fn(String) -> EngineError,
    work: impl FnOnce() -> T,
) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let why = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or(panic.downcast_ref::<&str>().copied());
        error(format!(
            "tract panicked ({})",
            why.unwrap_or("no reason given")
        ))
    })
}

fn one_line(error: &TractError) -> String {
    format!("{error:#}").replace('\n', " ")
}

fn optimise(
    model: &ModelProto,
    [c, h, w]: [usize; 3],
    local: Option<[usize; 3]>,
) -> Result<(usize, Box<dyn State>), EngineError> {
    let failed = |e: TractError| EngineError::Load(one_line(&e));
    let typed = tract_onnx::onnx()
        .model_for_proto_model(model)
        .and_then(|m| m.with_input_fact(0, f32::fact([1, c, h, w]).into()))
        .and_then(|m| m.into_typed())
        .map_err(failed)?;
    let plan = DefaultRuntime.prepare(typed).map_err(failed)?;
    let fact = plan.output_fact(0).map_err(failed)?;
    let shape = fact
        .shape
        .as_concrete()
        .ok_or_else(|| EngineError::Unsupported("its output has no fixed shape".into()))?;
    let dimension = match *shape {
        [1, dimension] if dimension > 0 && fact.datum_type == f32::datum_type() => dimension,
        _ => {
            return Err(EngineError::Unsupported(format!(
                "its output is {fact:?}, not [1, D] f32"
            )));
        }
    };
    if let Some([c, h, w]) = local {
        let fact = plan.output_fact(1).map_err(failed)?;
        let fits = fact.shape.as_concrete() == Some(&[1, c, h, w][..])
            && fact.datum_type == f32::datum_type();
        if !fits {
            return Err(EngineError::Unsupported(format!(
                "its second output is {fact:?}, not the declared [1, {c}, {h}, {w}] f32"
            )));
        }
    }
    let state = plan.spawn().map_err(failed)?;
    Ok((dimension, state))
}

#[cfg(test)]
mod tests;
