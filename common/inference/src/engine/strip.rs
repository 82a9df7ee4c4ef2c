//! Rewrites a quantised ONNX model to plain floats.
//!
//! DequantizeLinear of a constant becomes a float constant; a QuantizeLinear and the
//! DequantizeLinear after it are removed. Values beyond 127 steps are then no longer clipped, so a
//! model must keep its ReLU and Clip nodes instead of relying on the quantisation: Flukewatch's
//! export keeps them.

use super::EngineError;
use prost::Message;
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};

/// Whether the model holds QuantizeLinear or DequantizeLinear.
pub(super) fn is_quantised(model: &ModelProto) -> bool {
    model
        .graph
        .iter()
        .flat_map(|g| &g.node)
        .any(|n| n.op_type == QUANTIZE || n.op_type == DEQUANTIZE)
}

/// An ONNX file with the model as plain floats, as tract runs it: for comparison with other
/// engines.
///
/// # Errors
/// When the bytes are not an ONNX file, or their quantisation cannot be reverted.
pub fn dequantise(model: &[u8]) -> Result<Vec<u8>, EngineError> {
    let mut model = ModelProto::decode(model).map_err(|e| EngineError::NotOnnx(e.to_string()))?;
    strip(&mut model)?;
    Ok(model.encode_to_vec())
}

/// Rewrites the model to floats.
///
/// # Errors
/// [`EngineError::Quantisation`] for the first node with quantisation of another form.
pub(super) fn strip(model: &mut ModelProto) -> Result<(), EngineError> {
    let Some(graph) = model.graph.as_mut() else {
        return Ok(());
    };
    let constants: HashMap<&str, &TensorProto> = graph
        .initializer
        .iter()
        .map(|t| (t.name.as_str(), t))
        .collect();
    let makers: HashMap<&str, &NodeProto> = graph
        .node
        .iter()
        .flat_map(|n| n.output.iter().map(move |o| (o.as_str(), n)))
        .collect();
    let mut folded = vec![];
    let mut kept = vec![];
    let mut aliases: HashMap<String, String> = HashMap::new();
    for node in &graph.node {
        if node
            .attribute
            .iter()
            .any(|a| a.g.is_some() || !a.graphs.is_empty())
        {
            return Err(at(node, "it holds a subgraph"));
        }
        if node.op_type != DEQUANTIZE {
            kept.push(node.clone());
            continue;
        }
        let output = node
            .output
            .first()
            .ok_or_else(|| at(node, "it has no output"))?;
        let quantised = input(node, 0)?;
        if let Some(weights) = constants.get(quantised) {
            folded.push(fold(node, weights, &constants, output)?);
            continue;
        }
        let quantize = makers
            .get(quantised)
            .filter(|n| n.op_type == QUANTIZE)
            .ok_or_else(|| {
                at(
                    node,
                    "its input is neither a constant nor made by QuantizeLinear",
                )
            })?;
        if !same_steps(quantize, node, &constants)? {
            return Err(at(
                node,
                "its scale or zero point is not that of the QuantizeLinear before it",
            ));
        }
        let source = input(quantize, 0)?.to_owned();
        if graph.output.iter().any(|o| &o.name == output) {
            kept.push(NodeProto {
                op_type: "Identity".into(),
                name: node.name.clone(),
                input: vec![source],
                output: vec![output.clone()],
                ..NodeProto::default()
            });
        } else {
            aliases.insert(output.clone(), source);
        }
    }
    for node in &mut kept {
        for name in &mut node.input {
            *name = resolve(name, &aliases)?.to_owned();
        }
    }
    graph.node = kept;
    graph.initializer.append(&mut folded);
    // These are the types and shapes of the quantised model.
    graph.value_info.clear();
    graph.quantization_annotation.clear();
    drop_unused(graph);
    match graph.node.iter().find(|n| n.op_type == QUANTIZE) {
        Some(node) => Err(at(node, "something other than DequantizeLinear reads it")),
        None => Ok(()),
    }
}

const QUANTIZE: &str = "QuantizeLinear";
const DEQUANTIZE: &str = "DequantizeLinear";

fn at(node: &NodeProto, why: impl Into<String>) -> EngineError {
    let name = if node.name.is_empty() {
        node.output.first().cloned().unwrap_or_default()
    } else {
        node.name.clone()
    };
    EngineError::Quantisation {
        node: name,
        why: why.into(),
    }
}

fn input(node: &NodeProto, index: usize) -> Result<&str, EngineError> {
    node.input
        .get(index)
        .map(String::as_str)
        .filter(|name| !name.is_empty())
        .ok_or_else(|| {
            at(
                node,
                format!(
                    "it lacks input {} (of tensor, scale, zero point)",
                    index + 1
                ),
            )
        })
}

/// The name that `name` refers to once the pairs are removed.
fn resolve<'a>(
    name: &'a str,
    aliases: &'a HashMap<String, String>,
) -> Result<&'a str, EngineError> {
    let mut name = name;
    for _ in 0..=aliases.len() {
        match aliases.get(name) {
            Some(source) => name = source,
            None => return Ok(name),
        }
    }
    Err(EngineError::Unsupported(format!(
        "'{name}' depends on itself"
    )))
}

/// Removes unused nodes and constants.
fn drop_unused(graph: &mut GraphProto) {
    loop {
        let read: HashSet<&str> = graph
            .node
            .iter()
            .flat_map(|n| n.input.iter().map(String::as_str))
            .chain(graph.output.iter().map(|o| o.name.as_str()))
            .collect();
        let keep: Vec<bool> = graph
            .node
            .iter()
            .map(|n| n.output.iter().any(|o| read.contains(o.as_str())))
            .collect();
        if keep.iter().all(|&k| k) {
            let read: HashSet<String> = read.into_iter().map(str::to_owned).collect();
            graph.initializer.retain(|t| read.contains(&t.name));
            return;
        }
        let mut keep = keep.into_iter();
        graph.node.retain(|_| keep.next().unwrap_or(true));
    }
}

/// Scales and zero points of a node, one each or one per channel.
struct Steps {
    scales: Vec<f32>,
    zero_points: Vec<i32>,
}

impl Steps {
    fn of(node: &NodeProto, constants: &HashMap<&str, &TensorProto>) -> Result<Self, EngineError> {
        let constant = |index: usize| {
            let name = input(node, index)?;
            constants
                .get(name)
                .copied()
                .ok_or_else(|| at(node, format!("its input '{name}' is not a constant")))
        };
        let scales =
            float_values(constant(1)?).map_err(|why| at(node, format!("its scale {why}")))?;
        if scales.is_empty() || scales.iter().any(|s| !s.is_finite() || *s <= 0.0) {
            return Err(at(node, "its scale is not a number above 0"));
        }
        let zero_points = match node.input.get(2).filter(|name| !name.is_empty()) {
            None => vec![0; scales.len()],
            Some(_) => integer_values(constant(2)?)
                .map_err(|why| at(node, format!("its zero point {why}")))?,
        };
        if zero_points.len() != scales.len() {
            return Err(at(
                node,
                "it has different numbers of scales and zero points",
            ));
        }
        Ok(Self {
            scales,
            zero_points,
        })
    }
}

fn same_steps(
    quantize: &NodeProto,
    dequantize: &NodeProto,
    constants: &HashMap<&str, &TensorProto>,
) -> Result<bool, EngineError> {
    let (q, d) = (
        Steps::of(quantize, constants)?,
        Steps::of(dequantize, constants)?,
    );
    Ok(q.scales == d.scales
        && q.zero_points == d.zero_points
        && (q.scales.len() == 1 || axis(quantize) == axis(dequantize)))
}

fn axis(node: &NodeProto) -> i64 {
    node.attribute
        .iter()
        .find(|a| a.name == "axis")
        .map_or(1, |a| a.i)
}

/// Dequantises the constant input of a DequantizeLinear node.
fn fold(
    node: &NodeProto,
    weights: &TensorProto,
    constants: &HashMap<&str, &TensorProto>,
    output: &str,
) -> Result<TensorProto, EngineError> {
    let steps = Steps::of(node, constants)?;
    let values = integer_values(weights)
        .map_err(|why| at(node, format!("its weights '{}' {why}", weights.name)))?;
    // The number of consecutive values that share a scale.
    let run = if steps.scales.len() == 1 {
        values.len().max(1)
    } else {
        let rank = weights.dims.len() as i64;
        let axis = if axis(node) < 0 {
            axis(node).saturating_add(rank)
        } else {
            axis(node)
        };
        let dims = usize::try_from(axis)
            .ok()
            .and_then(|a| weights.dims.get(a..));
        let Some((&channels, inner)) = dims.and_then(<[i64]>::split_first) else {
            return Err(at(
                node,
                format!("its axis {axis} is out of range; its weights have {rank} dimensions"),
            ));
        };
        if usize::try_from(channels) != Ok(steps.scales.len()) {
            return Err(at(
                node,
                format!(
                    "it has {} scales for {channels} channels",
                    steps.scales.len()
                ),
            ));
        }
        // The product of all sizes is the number of values, which has been checked: no overflow.
        inner.iter().product::<i64>().max(1) as usize
    };
    let mut raw_data = Vec::with_capacity(values.len() * 4);
    for (block, steps_at) in values.chunks(run).zip((0..steps.scales.len()).cycle()) {
        let (scale, zero) = (steps.scales[steps_at], steps.zero_points[steps_at]);
        raw_data.extend(
            block
                .iter()
                .flat_map(|&v| ((i64::from(v) - i64::from(zero)) as f32 * scale).to_le_bytes()),
        );
    }
    Ok(TensorProto {
        name: output.to_owned(),
        dims: weights.dims.clone(),
        data_type: DataType::Float as i32,
        raw_data,
        ..TensorProto::default()
    })
}

/// The number of values that a tensor declares; `None` if its dimensions are invalid.
fn declared_len(tensor: &TensorProto) -> Option<usize> {
    tensor
        .dims
        .iter()
        .try_fold(1usize, |n, &d| n.checked_mul(usize::try_from(d).ok()?))
}

fn counted<T>(tensor: &TensorProto, values: Vec<T>) -> Result<Vec<T>, String> {
    match declared_len(tensor) {
        Some(n) if n == values.len() => Ok(values),
        _ => Err(format!(
            "should hold {:?} values but hold {}",
            tensor.dims,
            values.len()
        )),
    }
}

fn float_values(tensor: &TensorProto) -> Result<Vec<f32>, String> {
    if tensor.data_type != DataType::Float as i32 {
        return Err("is not f32".into());
    }
    let raw = || {
        tensor
            .raw_data
            .as_chunks::<4>()
            .0
            .iter()
            .map(|c| f32::from_le_bytes(*c))
            .collect()
    };
    counted(
        tensor,
        if tensor.float_data.is_empty() {
            raw()
        } else {
            tensor.float_data.clone()
        },
    )
}

fn integer_values(tensor: &TensorProto) -> Result<Vec<i32>, String> {
    let raw = &tensor.raw_data;
    let values = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Int8 | DataType::Uint8 | DataType::Int32) if !tensor.int32_data.is_empty() => {
            tensor.int32_data.clone()
        }
        Ok(DataType::Int8) => raw.iter().map(|&b| i32::from(b as i8)).collect(),
        Ok(DataType::Uint8) => raw.iter().map(|&b| i32::from(b)).collect(),
        Ok(DataType::Int32) => raw
            .as_chunks::<4>()
            .0
            .iter()
            .map(|c| i32::from_le_bytes(*c))
            .collect(),
        _ => return Err("is neither int8, uint8 nor int32".into()),
    };
    counted(tensor, values)
}

#[cfg(test)]
mod tests;
