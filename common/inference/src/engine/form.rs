//! The form of a model that every engine requires: one image in, one vector out, all in one file.

use super::{EngineError, MAX_INPUT_SIDE};
use std::collections::HashSet;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{
    GraphProto, ModelProto, ValueInfoProto, tensor_shape_proto::dimension, type_proto,
};

/// Checks the form of a model and returns its input shape, `[C, H, W]`.
///
/// # Errors
/// [`EngineError::NotOnnx`] or [`EngineError::Unsupported`] with what is wrong.
pub(super) fn check(model: &ModelProto) -> Result<[usize; 3], EngineError> {
    let graph = model
        .graph
        .as_ref()
        .ok_or_else(|| EngineError::NotOnnx("it holds no graph".into()))?;
    let unfit = |why: String| Err(EngineError::Unsupported(why));
    if let Some(t) = graph
        .initializer
        .iter()
        .find(|t| t.data_location == Some(DataLocation::External as i32))
    {
        return unfit(format!(
            "its weights '{}' are in another file; expected all weights in one file",
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
            "it has {} outputs; expected exactly one, the embedding",
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
             pixels per side",
            input.name
        )),
    }
}

/// The shape of an f32 input; -1 is a dynamic size.
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

/// Checks that every name that is read is produced, and exactly once.
fn check_names(
    graph: &GraphProto,
    weights: &HashSet<&str>,
    input: &ValueInfoProto,
    output: &ValueInfoProto,
) -> Result<(), EngineError> {
    let unfit = |why: String| Err(EngineError::Unsupported(why));
    if weights.len() != graph.initializer.len() {
        return unfit("two of its weights have the same name".into());
    }
    let mut made: HashSet<&str> = weights.clone();
    made.insert(&input.name);
    for node in &graph.node {
        for name in node.output.iter().filter(|o| !o.is_empty()) {
            if !made.insert(name) {
                return unfit(format!("two of its nodes produce '{name}'"));
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
        Some(name) => unfit(format!("no node or constant produces '{name}'")),
        None => Ok(()),
    }
}
