//! Replaces nodes that depend on constants only by their values, e.g. a position embedding or
//! weights that an exporter transposes. The shape of a tensor is a constant too, since images have
//! one size.

use super::guarded::guarded;
use super::layers::Shapes;
use crate::proto::build::{integers64, model_of};
use crate::proto::read::{by_name, integer};
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto, ValueInfoProto};
use tract_onnx::prelude::*;

/// Replaces every such node that tract can compute, in operator set `opset`. The graph's constants
/// are initialisers.
pub(super) fn fold_constants(graph: &mut GraphProto, opset: i64, shapes: &Shapes) {
    let outputs: HashSet<String> = graph.output.iter().map(|o| o.name.clone()).collect();
    let mut folder = Folder {
        opset,
        shapes,
        constants: by_name(graph)
            .into_iter()
            .map(|(name, tensor)| (name.to_owned(), tensor.clone()))
            .collect(),
    };
    let mut kept = vec![];
    for node in std::mem::take(&mut graph.node) {
        let is_output = node.output.iter().any(|name| outputs.contains(name));
        let values = if is_output { None } else { folder.fold(&node) };
        match values {
            Some(values) => {
                for value in &values {
                    folder.constants.insert(value.name.clone(), value.clone());
                }
                graph.initializer.extend(values);
            }
            None => kept.push(node),
        }
    }
    graph.node = kept;
}

struct Folder<'a> {
    opset: i64,
    shapes: &'a Shapes,
    constants: HashMap<String, TensorProto>,
}

impl Folder<'_> {
    /// The outputs of a node, if they are constants that can be computed.
    fn fold(&self, node: &NodeProto) -> Option<Vec<TensorProto>> {
        if let Some(value) = self.shape(node) {
            return Some(vec![value]);
        }
        if node.input.is_empty() || is_random(node) {
            return None;
        }
        let given = node.input.iter().filter(|name| !name.is_empty());
        let inputs: Vec<&TensorProto> = given
            .map(|name| self.constants.get(name))
            .collect::<Option<_>>()?;
        guarded(|| compute(node, &inputs, self.opset))?.ok()
    }

    /// The output of Shape or Size.
    fn shape(&self, node: &NodeProto) -> Option<TensorProto> {
        let shape = || {
            let sizes = self.shapes.get(node.input.first()?)?;
            let sizes: Vec<i64> = sizes
                .iter()
                .map(|&n| i64::try_from(n).ok())
                .collect::<Option<_>>()?;
            Some(sizes)
        };
        let output = node.output.first()?;
        match node.op_type.as_str() {
            "Shape" => {
                let shape = shape()?;
                let rank = shape.len() as i64;
                let at = |name, default| {
                    let at = integer(node, name).unwrap_or(default);
                    let from_front = if at < 0 { at.saturating_add(rank) } else { at };
                    from_front.clamp(0, rank) as usize
                };
                let part = shape.get(at("start", 0)..at("end", rank));
                Some(integers64(output, part.unwrap_or_default()))
            }
            "Size" => {
                let shape = shape()?;
                let count = shape
                    .iter()
                    .try_fold(1i64, |n, &side| n.checked_mul(side))?;
                Some(TensorProto {
                    dims: vec![],
                    ..integers64(output, &[count])
                })
            }
            _ => None,
        }
    }
}

fn is_random(node: &NodeProto) -> bool {
    node.op_type.starts_with("Random")
        || ["Bernoulli", "Multinomial"].contains(&node.op_type.as_str())
}

/// The outputs of a node, by tract.
fn compute(node: &NodeProto, inputs: &[&TensorProto], opset: i64) -> TractResult<Vec<TensorProto>> {
    let mut seen = HashSet::new();
    let inputs = inputs.iter().filter(|tensor| seen.insert(&tensor.name));
    let names: Vec<&String> = node.output.iter().filter(|name| !name.is_empty()).collect();
    let outputs = names.iter().map(|&name| ValueInfoProto {
        name: name.clone(),
        ..ValueInfoProto::default()
    });
    let graph = GraphProto {
        name: "constant".into(),
        node: vec![node.clone()],
        initializer: inputs.map(|&tensor| tensor.clone()).collect(),
        output: outputs.collect(),
        ..GraphProto::default()
    };
    let values = tract_onnx::onnx()
        .model_for_proto_model(&model_of(graph, opset))?
        .into_typed()?
        .into_runnable()?
        .run(tvec![])?;
    let named = names.into_iter().zip(values.iter());
    named
        .map(|(name, value)| constant(name, value))
        .collect::<TractResult<_>>()
}

fn constant(name: &str, value: &Tensor) -> TractResult<TensorProto> {
    // tract's own type of sizes; ONNX has 64-bit integers there.
    let value = if value.datum_type() == DatumType::TDim {
        value.cast_to::<i64>()?.into_owned()
    } else {
        value.clone()
    };
    let data_type = match value.datum_type() {
        DatumType::Bool => DataType::Bool,
        DatumType::U8 => DataType::Uint8,
        DatumType::U16 => DataType::Uint16,
        DatumType::U32 => DataType::Uint32,
        DatumType::U64 => DataType::Uint64,
        DatumType::I8 => DataType::Int8,
        DatumType::I16 => DataType::Int16,
        DatumType::I32 => DataType::Int32,
        DatumType::I64 => DataType::Int64,
        DatumType::F16 => DataType::Float16,
        DatumType::F32 => DataType::Float,
        DatumType::F64 => DataType::Double,
        other => return Err(TractError::msg(format!("no ONNX type for {other:?}"))),
    };
    value.try_as_plain_ram()?;
    Ok(TensorProto {
        name: name.into(),
        dims: value.shape().iter().map(|&side| side as i64).collect(),
        data_type: data_type as i32,
        raw_data: value.as_bytes().to_vec(),
        ..TensorProto::default()
    })
}

#[cfg(test)]
mod tests;
