//! The float model as it comes: checked, in one file, for one image at a time, in opset 17.

use super::QuantizeError;
use super::{constants, opset};
use prost::Message;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::tensor_shape_proto::dimension::Value;
use tract_onnx::pb::{GraphProto, ModelProto, TensorProto, type_proto};

/// What says that a model is quantised already.
const QUANTISED: [&str; 7] = [
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "QLinearConv",
    "QLinearMatMul",
    "ConvInteger",
    "MatMulInteger",
];

/// Endings of names that quantising gives.
const ENDINGS: [&str; 7] = [
    ".scale",
    ".zero",
    ".quantised",
    ".dequantised",
    ".int8",
    ".weight",
    ".bias",
];

/// Reads a model whose weights may lie in files of the folder `beside`: one input `[1, C, H, W] f32`, the first size open or 1.
/// What it gives has no Constant, Identity or Dropout, and holds what it reads in one graph.
///
/// # Errors
/// Naming the node, the input or the file at fault.
pub fn read(bytes: &[u8], beside: Option<&Path>) -> Result<GraphProto, QuantizeError> {
    let unfit = |why: &str| Err(QuantizeError::Unfit(why.into()));
    let model = ModelProto::decode(bytes).map_err(|e| QuantizeError::NotOnnx(e.to_string()))?;
    let Some(mut graph) = model.graph else {
        return Err(QuantizeError::NotOnnx("it holds no graph".into()));
    };
    if !model.functions.is_empty() {
        return unfit("it holds functions of its own: export it with all of them inlined");
    }
    if !graph.sparse_initializer.is_empty() {
        return unfit("it holds sparse weights");
    }
    check_nodes(&graph)?;
    for tensor in &mut graph.initializer {
        bring_in(tensor, beside)?;
    }
    fix_input(&mut graph)?;
    let standard = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    let from = model
        .opset_import
        .iter()
        .find(|o| standard(&o.domain))
        .map_or(1, |o| o.version);
    constants::inline(&mut graph)?;
    opset::to_17(&mut graph, from)?;
    constants::drop_unread(&mut graph);
    rename(&mut graph);
    tell_apart(&mut graph);
    graph.value_info.clear();
    graph.quantization_annotation.clear();
    Ok(graph)
}

fn check_nodes(graph: &GraphProto) -> Result<(), QuantizeError> {
    for node in &graph.node {
        let refused = |why: &str| Err(QuantizeError::at(node, why));
        if !["", "ai.onnx"].contains(&node.domain.as_str()) {
            return refused(&format!(
                "operators of '{}' are not standard ONNX",
                node.domain
            ));
        }
        if QUANTISED.contains(&node.op_type.as_str()) {
            return refused("the model is quantised already: start from the float model");
        }
        if node
            .attribute
            .iter()
            .any(|a| a.g.is_some() || !a.graphs.is_empty())
        {
            return refused(
                "it holds a graph of its own (If, Loop or Scan): export the model without control flow",
            );
        }
    }
    Ok(())
}

/// Fixes the batch to 1, and takes weights out of the inputs, where older files list them.
fn fix_input(graph: &mut GraphProto) -> Result<(), QuantizeError> {
    let weights: HashSet<String> = graph.initializer.iter().map(|t| t.name.clone()).collect();
    graph.input.retain(|i| !weights.contains(&i.name));
    let unfit = |why: String| Err(QuantizeError::Unfit(why));
    let [input] = graph.input.as_mut_slice() else {
        return unfit(format!(
            "it has {} inputs where exactly one, the image, is wanted",
            graph.input.len()
        ));
    };
    let name = input.name.clone();
    let tensor = match input.r#type.as_mut().and_then(|t| t.value.as_mut()) {
        Some(type_proto::Value::TensorType(t)) if t.elem_type == DataType::Float as i32 => t,
        _ => return unfit(format!("its input '{name}' is not of 32-bit floats")),
    };
    let sizes = tensor.shape.as_mut().map(|s| s.dim.as_mut_slice());
    let Some([batch, rest @ ..]) = sizes.filter(|s| s.len() == 4) else {
        return unfit(format!(
            "its input '{name}' is not of the shape [1, C, H, W]"
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
                return unfit(format!(
                    "its input '{name}' leaves the {what} open{open}: export it for images of one size"
                ));
            }
        }
    }
    match batch.value {
        Some(Value::DimValue(n)) if n > 1 => {
            return unfit(format!(
                "its input '{name}' is a batch of {n} images: export it for one, or for a batch left open"
            ));
        }
        _ => batch.value = Some(Value::DimValue(1)),
    }
    Ok(())
}

/// Reads what lies in a file of its own.
fn bring_in(tensor: &mut TensorProto, beside: Option<&Path>) -> Result<(), QuantizeError> {
    if tensor.data_location != Some(DataLocation::External as i32) {
        return Ok(());
    }
    let entry = |key: &str| {
        let found = tensor.external_data.iter().find(|e| e.key == key);
        found.map(|e| e.value.as_str())
    };
    let place = entry("location").unwrap_or_default().to_owned();
    let fault = |path: PathBuf, why: &str| QuantizeError::Weights {
        tensor: tensor.name.clone(),
        path,
        why: why.into(),
    };
    // Only a plain name: a model must not make us read any file of the machine.
    let plain = Path::new(&place).file_name().and_then(|n| n.to_str()) == Some(place.as_str());
    let Some(folder) = beside.filter(|_| plain) else {
        let why = "weights outside the model's file must lie in a file beside it";
        return Err(fault(place.into(), why));
    };
    let path = folder.join(&place);
    let number = |key: &str, default: Option<u64>| match entry(key) {
        None => default,
        Some(text) => text.parse().ok(),
    };
    let (Some(offset), Some(length)) = (number("offset", Some(0)), number("length", None)) else {
        return Err(fault(
            path,
            "the model does not say where they begin and end",
        ));
    };
    let read = || -> std::io::Result<Vec<u8>> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = std::fs::File::open(&path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = vec![];
        file.take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|e| fault(path.clone(), &e.to_string()))?;
    if bytes.len() as u64 != length {
        return Err(fault(path, "the file is too short"));
    }
    tensor.raw_data = bytes;
    tensor.external_data.clear();
    tensor.data_location = None;
    Ok(())
}

/// Gives another name to tensors that are named as quantising names its own.
fn rename(graph: &mut GraphProto) {
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

/// A node whose name another one has, or that has none, gets that of what it makes: tract wants each once, and so do reports.
fn tell_apart(graph: &mut GraphProto) {
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
