//! tract: inference in pure Rust, on the workstation, in tests, and on a boat without an accelerator.
//!
//! tract runs QuantizeLinear and DequantizeLinear one by one and slower than plain floats, so that a quantised model is by
//! default rewritten at load: its int8 weights become floats, and its activations stay floats. The weights still hold only
//! what int8 can, the embedding differs from the quantised one by the rounding of the activations alone.

use super::strip::{is_quantised, strip};
use super::{Engine, EngineError, MAX_INPUT_SIDE};
use ndarray::ArrayView3;
use prost::Message;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{
    GraphProto, ModelProto, ValueInfoProto, tensor_shape_proto::dimension, type_proto,
};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::runtime::DefaultRuntime;

/// The version of tract that this program is built with.
pub const TRACT_VERSION: &str = "0.23.9";

/// How a quantised model is run; a plain one is run as it is in either form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TractForm {
    /// Weights as floats, no rounding of activations: the faster form.
    Stripped,
    /// With every QuantizeLinear and DequantizeLinear, as an int8 engine rounds.
    AsIs,
}

/// A model loaded into tract, for one image at a time.
#[derive(Debug)]
pub struct TractEngine {
    name: String,
    input_shape: [usize; 3],
    dimension: usize,
    state: Box<dyn State>,
}

impl TractEngine {
    /// Loads an ONNX model with one input `[1, C, H, W] f32` and one output `[1, D] f32`, all of fixed size, and runs it once on
    /// zeros, so that a model that cannot run is refused here and not on the first whale.
    ///
    /// # Errors
    /// When the bytes are no such model, hold quantisation that cannot be undone, or tract cannot run them.
    pub fn load(model: &[u8], form: TractForm) -> Result<Self, EngineError> {
        let mut model =
            ModelProto::decode(model).map_err(|e| EngineError::NotOnnx(e.to_string()))?;
        let input_shape = check(&model)?;
        let name = match (is_quantised(&model), form) {
            (false, _) => format!("tract {TRACT_VERSION} f32"),
            (true, TractForm::AsIs) => format!("tract {TRACT_VERSION} int8 Q/DQ"),
            (true, TractForm::Stripped) => {
                strip(&mut model)?;
                format!("tract {TRACT_VERSION} int8 weights in f32")
            }
        };
        let (dimension, state) = guarded(EngineError::Load, || optimise(&model, input_shape))??;
        let mut engine = Self {
            name,
            input_shape,
            dimension,
            state,
        };
        let [c, h, w] = input_shape;
        let zeros = vec![0.0; c * h * w];
        let output = guarded(EngineError::Load, || engine.run_slice(&zeros))??;
        if output.len() != dimension {
            return Err(EngineError::Unfit(format!(
                "it says {dimension} numbers and gives {}",
                output.len()
            )));
        }
        Ok(engine)
    }

    fn run_slice(&mut self, input: &[f32]) -> Result<Vec<f32>, EngineError> {
        let failed = |e: TractError| EngineError::Run(one_line(&e));
        let [c, h, w] = self.input_shape;
        let tensor = Tensor::from_shape(&[1, c, h, w], input).map_err(failed)?;
        let outputs = self
            .state
            .run(tvec![tensor.into_tvalue()])
            .map_err(failed)?;
        let output = outputs
            .first()
            .ok_or_else(|| EngineError::Run("it gave nothing".into()))?;
        let numbers = output
            .try_as_plain_ram()
            .and_then(|v| v.as_slice::<f32>().map(<[f32]>::to_vec))
            .map_err(failed)?;
        Ok(numbers)
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
        let got = input.dim().into();
        if got != self.input_shape {
            return Err(EngineError::Shape {
                expected: self.input_shape,
                got,
            });
        }
        match input.as_slice() {
            Some(numbers) => self.run_slice(numbers),
            None => self.run_slice(&input.iter().copied().collect::<Vec<f32>>()),
        }
    }
}

/// tract asserts on some malformed models; here that is one more model that cannot be loaded.
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
            "tract gave up on it ({})",
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
        .ok_or_else(|| EngineError::Unfit("its output has no fixed shape".into()))?;
    let dimension = match *shape {
        [1, dimension] if dimension > 0 && fact.datum_type == f32::datum_type() => dimension,
        _ => {
            return Err(EngineError::Unfit(format!(
                "its output is {fact:?}, not [1, D] f32"
            )));
        }
    };
    let state = plan.spawn().map_err(failed)?;
    Ok((dimension, state))
}

/// Checks what tract takes for granted; gives `[C, H, W]`.
fn check(model: &ModelProto) -> Result<[usize; 3], EngineError> {
    let graph = model
        .graph
        .as_ref()
        .ok_or_else(|| EngineError::NotOnnx("it holds no graph".into()))?;
    let unfit = |why: String| Err(EngineError::Unfit(why));
    if let Some(t) = graph
        .initializer
        .iter()
        .find(|t| t.data_location == Some(DataLocation::External as i32))
    {
        return unfit(format!(
            "its weights '{}' lie in another file, where all must be in one",
            t.name
        ));
    }
    let weights: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let mut inputs = graph
        .input
        .iter()
        .filter(|i| !weights.contains(i.name.as_str()));
    let (Some(input), None) = (inputs.next(), inputs.next()) else {
        return unfit("it must have exactly one input, the image".into());
    };
    let [output] = graph.output.as_slice() else {
        return unfit(format!(
            "it has {} outputs where exactly one, the embedding, is wanted",
            graph.output.len()
        ));
    };
    check_names(graph, &weights, input, output)?;
    let shape = declared_shape(input);
    match shape.as_deref() {
        Some(&[1, c, h, w])
            if (1..=4).contains(&c)
                && [h, w]
                    .iter()
                    .all(|s| (1..=MAX_INPUT_SIDE as i64).contains(s)) =>
        {
            Ok([c, h, w].map(|side| side as usize))
        }
        _ => unfit(format!(
            "its input '{}' must be f32 of the fixed shape [1, C, H, W], with 1 to 4 channels and at most {MAX_INPUT_SIDE} \
             pixels a side",
            input.name
        )),
    }
}

/// The shape of an f32 input; -1 stands for a size that is left open.
fn declared_shape(input: &ValueInfoProto) -> Option<Vec<i64>> {
    let type_proto::Value::TensorType(tensor) = input.r#type.as_ref()?.value.as_ref()?;
    if tensor.elem_type != DataType::Float as i32 {
        return None;
    }
    let size = |d: &Option<dimension::Value>| match d {
        Some(dimension::Value::DimValue(v)) => *v,
        _ => -1,
    };
    Some(
        tensor
            .shape
            .as_ref()?
            .dim
            .iter()
            .map(|d| size(&d.value))
            .collect(),
    )
}

/// Every name that is read must be made, and made once.
fn check_names(
    graph: &GraphProto,
    weights: &HashSet<&str>,
    input: &ValueInfoProto,
    output: &ValueInfoProto,
) -> Result<(), EngineError> {
    let unfit = |why: String| Err(EngineError::Unfit(why));
    if weights.len() != graph.initializer.len() {
        return unfit("two of its weights have the same name".into());
    }
    let mut made: HashSet<&str> = weights.clone();
    made.insert(&input.name);
    for node in &graph.node {
        for name in node.output.iter().filter(|o| !o.is_empty()) {
            if !made.insert(name) {
                return unfit(format!("two of its nodes make '{name}'"));
            }
        }
    }
    let read = graph
        .node
        .iter()
        .flat_map(|n| &n.input)
        .filter(|i| !i.is_empty())
        .chain([&output.name]);
    match read.into_iter().find(|name| !made.contains(name.as_str())) {
        Some(name) => unfit(format!("nothing in it makes '{name}'")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
