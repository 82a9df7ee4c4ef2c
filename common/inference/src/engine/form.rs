//! The form of a model that every engine requires: one image in, one vector out, and optionally a map of
//! local descriptors as a second output, all in one file.

use super::{EngineError, MAX_INPUT_SIDE};
use std::collections::HashSet;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{
    GraphProto, ModelProto, ValueInfoProto, tensor_shape_proto::dimension, type_proto,
};

/// The limits of a local output: channels, and locations per side.
const MAX_LOCAL_CHANNELS: i64 = 65_536;
const MAX_LOCAL_SIDE: i64 = 1024;

/// The shapes of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// The image, `[C, H, W]`.
    pub(super) input: [usize; 3],
    /// The second output, `[C, H, W]`, if there is one.
    pub(super) local: Option<[usize; 3]>,
}

/// Checks the form of a model and returns its shapes.
///
/// # Errors
/// [`EngineError::NotOnnx`] or [`EngineError::Unsupported`] with what is wrong.
pub(super) fn check(model: &ModelProto) -> Result<Form, EngineError> {
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
    let local = match graph.output.as_slice() {
        [_] => None,
        [_, local] => Some(local_shape(local).ok_or_else(|| {
            EngineError::Unsupported(format!(
                "its second output '{}' must be f32 of a fixed shape [1, C, H, W], the descriptors of local matching",
                local.name
            ))
        })?),
        outputs => {
            return unfit(format!(
                "it has {} outputs; expected the embedding, and optionally local descriptors",
                outputs.len()
            ));
        }
    };
    check_names(graph, &weights, input)?;
    let shape = declared_shape(input);
    match shape.as_deref() {
        Some(&[1, c, h, w])
            if (1..=4).contains(&c)
                && [h, w]
                    .iter()
                    .all(|s| (1..=MAX_INPUT_SIDE as i64).contains(s)) =>
        {
            Ok(Form {
                input: [c, h, w].map(|side| side as usize),
                local,
            })
        }
        _ => unfit(format!(
            "its input '{}' must be f32 of the fixed shape [1, C, H, W], with 1 to 4 channels and at most {MAX_INPUT_SIDE} \
             pixels per side",
            input.name
        )),
    }
}

/// The shape of a second output, `[C, H, W]`.
fn local_shape(output: &ValueInfoProto) -> Option<[usize; 3]> {
    match declared_shape(output)?[..] {
        [1, c, h, w]
            if (1..=MAX_LOCAL_CHANNELS).contains(&c)
                && [h, w].iter().all(|s| (1..=MAX_LOCAL_SIDE).contains(s)) =>
        {
            Some([c, h, w].map(|size| size as usize))
        }
        _ => None,
    }
}

/// The shape of an f32 input or output; -1 is a dynamic size.
pub(super) fn declared_shape(input: &ValueInfoProto) -> Option<Vec<i64>> {
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
        .chain(graph.output.iter().map(|o| &o.name));
    match read.into_iter().find(|name| !made.contains(name.as_str())) {
        Some(name) => unfit(format!("no node or constant produces '{name}'")),
        None => Ok(()),
    }
}
