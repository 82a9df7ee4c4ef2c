//! Reads and checks a float model: in one file, for one image at a time, in opset 17.

use super::QuantizeError;
use super::{opset, simplify};
use prost::Message;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::tensor_shape_proto::dimension::Value;
use tract_onnx::pb::{GraphProto, ModelProto, TensorProto, type_proto};

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
/// are read from the folder `beside`. The graph has no Constant, Identity or Dropout.
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
    for tensor in &mut graph.initializer {
        read_external(tensor, beside)?;
    }
    fix_input(&mut graph)?;
    let standard = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    let from = model
        .opset_import
        .iter()
        .find(|o| standard(&o.domain))
        .map_or(1, |o| o.version);
    simplify::inline(&mut graph)?;
    opset::to_17(&mut graph, from)?;
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

/// Reads the data of a tensor stored in a separate file.
fn read_external(tensor: &mut TensorProto, beside: Option<&Path>) -> Result<(), QuantizeError> {
    if tensor.data_location != Some(DataLocation::External as i32) {
        return Ok(());
    }
    let entry = |key: &str| {
        let found = tensor.external_data.iter().find(|e| e.key == key);
        found.map(|e| e.value.as_str())
    };
    let place = entry("location").unwrap_or_default().to_owned();
    let error = |path: PathBuf, why: &str| QuantizeError::Weights {
        tensor: tensor.name.clone(),
        path,
        why: why.into(),
    };
    // Only a plain name: a model must not make us read arbitrary files.
    let plain = Path::new(&place).file_name().and_then(|n| n.to_str()) == Some(place.as_str());
    let Some(folder) = beside.filter(|_| plain) else {
        let why = "external weights must be in a file next to the model";
        return Err(error(place.into(), why));
    };
    let path = folder.join(&place);
    let number = |key: &str, default: Option<u64>| match entry(key) {
        None => default,
        Some(text) => text.parse().ok(),
    };
    let (Some(offset), Some(length)) = (number("offset", Some(0)), number("length", None)) else {
        return Err(error(path, "the model gives no valid offset and length"));
    };
    let read = || -> std::io::Result<Vec<u8>> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = std::fs::File::open(&path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = vec![];
        file.take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|e| error(path.clone(), &e.to_string()))?;
    if bytes.len() as u64 != length {
        return Err(error(path, "the file is too short"));
    }
    tensor.raw_data = bytes;
    tensor.external_data.clear();
    tensor.data_location = None;
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
