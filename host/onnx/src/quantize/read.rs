//! Reads and checks a float model: in one file, for one image at a time, in opset 17.

use super::QuantizeError;
use super::fold_constants::fold_constants;
use super::static_shapes::static_shapes;
use super::{external, opset, simplify};
use prost::Message;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value;
use tract_onnx::pb::{GraphProto, ModelProto, type_proto};

/// Operators of quantised models.
const QUANTISED: [&str; 7] = [
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "QLinearConv",
    "QLinearMatMul",
    "ConvInteger",
    "MatMulInteger",
];

/// Endings of the names that quantisation adds.
const ENDINGS: [&str; 7] = [
    ".scale",
    ".zero",
    ".quantised",
    ".dequantised",
    ".int8",
    ".weight",
    ".bias",
];

/// Reads a model with one input `[1, C, H, W] f32`, whose batch size may be open; external weights
/// are read from the folder `beside`. The graph has no Constant, Identity or Dropout, and nodes that
/// depend on constants only are replaced by their values.
///
/// # Errors
/// If a node, an input or a file is unsupported; names it.
pub(super) fn read(bytes: &[u8], beside: Option<&Path>) -> Result<GraphProto, QuantizeError> {
    let unsupported = |why: &str| Err(QuantizeError::Unsupported(why.into()));
    let model = ModelProto::decode(bytes).map_err(|e| QuantizeError::NotOnnx(e.to_string()))?;
    let Some(mut graph) = model.graph else {
        return Err(QuantizeError::NotOnnx("the file has no graph".into()));
    };
    if !model.functions.is_empty() {
        return unsupported("it defines functions; export it with all functions inlined");
    }
    if !graph.sparse_initializer.is_empty() {
        return unsupported("it has sparse weights");
    }
    check_nodes(&graph)?;
    external::read_all(&mut graph, beside)?;
    fix_input(&mut graph)?;
    let standard = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    let from = model
        .opset_import
        .iter()
        .find(|o| standard(&o.domain))
        .map_or(1, |o| o.version);
    opset::check(from)?;
    simplify::inline(&mut graph)?;
    let shapes = static_shapes(&graph, from);
    fold_constants(&mut graph, from, &shapes);
    opset::to_17(&mut graph, from, &shapes)?;
    simplify::drop_unread(&mut graph);
    free_reserved_names(&mut graph);
    name_nodes(&mut graph);
    graph.value_info.clear();
    graph.quantization_annotation.clear();
    Ok(graph)
}

fn check_nodes(graph: &GraphProto) -> Result<(), QuantizeError> {
    for node in &graph.node {
        let at_node = |why: &str| Err(QuantizeError::at(node, why));
        if !["", "ai.onnx"].contains(&node.domain.as_str()) {
            return at_node(&format!(
                "the domain '{}' is not standard ONNX",
                node.domain
            ));
        }
        if QUANTISED.contains(&node.op_type.as_str()) {
            return at_node("the model is already quantised; start from the float model");
        }
        if node
            .attribute
            .iter()
            .any(|a| a.g.is_some() || !a.graphs.is_empty())
        {
            return at_node(
                "it contains a subgraph (If, Loop or Scan); export the model without control flow",
            );
        }
    }
    Ok(())
}

/// Fixes the batch size to 1, and removes weights from the inputs, where older files list them.
fn fix_input(graph: &mut GraphProto) -> Result<(), QuantizeError> {
    let weights: HashSet<String> = graph.initializer.iter().map(|t| t.name.clone()).collect();
    graph.input.retain(|i| !weights.contains(&i.name));
    let unsupported = |why: String| Err(QuantizeError::Unsupported(why));
    let [input] = graph.input.as_mut_slice() else {
        return unsupported(format!(
            "it has {} inputs, expected one image",
            graph.input.len()
        ));
    };
    let name = input.name.clone();
    let tensor = match input.r#type.as_mut().and_then(|t| t.value.as_mut()) {
        Some(type_proto::Value::TensorType(t)) if t.elem_type == DataType::Float as i32 => t,
        _ => return unsupported(format!("its input '{name}' is not 32-bit float")),
    };
    let sizes = tensor.shape.as_mut().map(|s| s.dim.as_mut_slice());
    let Some([batch, rest @ ..]) = sizes.filter(|s| s.len() == 4) else {
        return unsupported(format!(
            "its input '{name}' does not have the shape [1, C, H, W]"
        ));
    };
    for (size, what) in rest.iter().zip(["channels", "height", "width"]) {
        match &size.value {
            Some(Value::DimValue(n)) if *n > 0 => {}
            open => {
                let open = match open {
                    Some(Value::DimParam(p)) => format!(" ('{p}')"),
                    _ => String::new(),
                };
                return unsupported(format!(
                    "the {what} of its input '{name}' is open{open}; export it for images of one size"
                ));
            }
        }
    }
    match batch.value {
        Some(Value::DimValue(n)) if n > 1 => {
            return unsupported(format!(
                "its input '{name}' is a batch of {n} images; export it for a batch size of 1 or an open one"
            ));
        }
        _ => batch.value = Some(Value::DimValue(1)),
    }
    Ok(())
}

/// Renames tensors whose names quantisation may add.
fn free_reserved_names(graph: &mut GraphProto) {
    let outer: HashSet<&str> = graph
        .input
        .iter()
        .chain(&graph.output)
        .map(|v| v.name.as_str())
        .collect();
    let made = graph.node.iter().flat_map(|n| &n.output);
    let names = made.chain(graph.initializer.iter().map(|t| &t.name));
    let taken = |name: &&String| {
        !outer.contains(name.as_str()) && ENDINGS.iter().any(|ending| name.ends_with(ending))
    };
    let new: HashMap<String, String> = names
        .filter(taken)
        .map(|name| (name.clone(), format!("{name}.given")))
        .collect();
    let change = |name: &mut String| {
        if let Some(other) = new.get(name) {
            name.clone_from(other);
        }
    };
    for node in &mut graph.node {
        node.input
            .iter_mut()
            .chain(&mut node.output)
            .for_each(change);
    }
    graph
        .initializer
        .iter_mut()
        .for_each(|t| change(&mut t.name));
}

/// Names nodes that have no name, or that of another, after their output: tract needs unique names,
/// and so do reports.
fn name_nodes(graph: &mut GraphProto) {
    let mut taken = HashSet::new();
    for node in &mut graph.node {
        if node.name.is_empty() || !taken.insert(node.name.clone()) {
            node.name = node.output.first().cloned().unwrap_or_default();
            taken.insert(node.name.clone());
        }
    }
}

#[cfg(test)]
mod tests;
