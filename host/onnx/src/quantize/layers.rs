//! The quantised parts of a graph: its convolutions and matrix products, and the skips of its
//! residual sums.

use super::QuantizeError;
use crate::proto::build::integer;
use crate::proto::read::{by_name, integer_or, name_of, real_or, values};
use flukewatch_network::weights::Values;
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::{GraphProto, NodeProto};

/// A convolution or matrix product with constant weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// The name of the node or of its output; unique.
    pub name: String,
    /// `Conv` or `Gemm`.
    pub operator: &'static str,
    /// The tensor that it reads.
    pub(super) input: String,
    /// The tensor that it makes.
    pub(super) output: String,
    /// Conv: `[out, in / groups, ...]`; Gemm: `[out, in]`.
    pub(super) weight: Values,
    /// `[out]`: the scale of each row where GPTQ has set it.
    pub(super) scales: Option<Vec<f32>>,
    /// `[out]`
    pub(super) bias: Values,
    /// 1 for a Gemm.
    pub(super) groups: usize,
    /// Why it always stays in float, if it does.
    pub float_reason: Option<&'static str>,
}

impl Layer {
    /// Output channels.
    pub(super) fn outputs(&self) -> usize {
        self.bias.data.len()
    }

    /// Input channels.
    pub(super) fn inputs(&self) -> usize {
        self.weight.shape.get(1).copied().unwrap_or(0) * self.groups
    }
}

/// A residual sum: a layer makes one summand; the other, the skip, is quantised with that layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) output: String,
    /// The index of the input that is the skip.
    pub(super) skip: usize,
    /// The skip's tensor.
    pub(super) tensor: String,
    /// The index of the layer.
    pub(super) layer: usize,
}

/// Known shapes of tensors by name.
pub(super) type Shapes = HashMap<String, Vec<usize>>;

/// Takes the layers out of a graph: their nodes stay, their weights move into the layers. A MatMul
/// of a `[1, in]` tensor with a constant matrix becomes a Gemm, and a constant added to its output
/// becomes the bias.
///
/// # Errors
/// If constant weights are not 32-bit floats.
pub(super) fn take(graph: &mut GraphProto, shapes: &Shapes) -> Result<Vec<Layer>, QuantizeError> {
    matmul_to_gemm(graph, shapes);
    let constants = by_name(graph);
    let mut layers: Vec<Layer> = vec![];
    let mut names = HashSet::new();
    for node in &graph.node {
        let Some(mut layer) = layer(node, &constants)? else {
            continue;
        };
        if !names.insert(layer.name.clone()) {
            layer.name.clone_from(&layer.output);
            names.insert(layer.name.clone());
        }
        layers.push(layer);
    }
    let by_output: HashMap<String, usize> = layers
        .iter()
        .enumerate()
        .map(|(i, l)| (l.output.clone(), i))
        .collect();
    for node in &mut graph.node {
        if node
            .output
            .first()
            .is_some_and(|o| by_output.contains_key(o))
        {
            node.input.truncate(1);
            if node.op_type == "Gemm" {
                node.attribute = vec![integer("transB", 1)];
            }
        }
    }
    let gates: Vec<bool> = layers
        .iter()
        .map(|l| is_excitation(graph, l, shapes))
        .collect();
    for (layer, gate) in layers.iter_mut().zip(gates) {
        if gate {
            layer.float_reason =
                Some("squeeze-and-excitation: int8 costs accuracy and saves no time there");
        }
    }
    Ok(layers)
}

/// Turns a MatMul by a constant matrix into a Gemm where its input is `[1, in]`.
fn matmul_to_gemm(graph: &mut GraphProto, shapes: &Shapes) {
    let constants = by_name(graph);
    let size = |name: &str| constants.get(name).map(|t| t.dims.clone());
    let outputs: HashSet<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
    let mut gone: HashSet<String> = HashSet::new();
    let mut changed: Vec<(usize, NodeProto)> = vec![];
    for (at, node) in graph.node.iter().enumerate() {
        let [x, w] = node.input.as_slice() else {
            continue;
        };
        let flat = shapes.get(x).is_some_and(|s| s.len() == 2);
        let Some([_, columns]) = size(w).and_then(|d| <[i64; 2]>::try_from(d).ok()) else {
            continue;
        };
        if node.op_type != "MatMul" || !flat {
            continue;
        }
        let mut gemm = node.clone();
        gemm.op_type = "Gemm".into();
        let made = node.output.first().cloned().unwrap_or_default();
        let mut readers = graph.node.iter().filter(|n| n.input.contains(&made));
        if let (Some(add), None) = (readers.next(), readers.next())
            && add.op_type == "Add"
            && !outputs.contains(made.as_str())
            && let Some(bias) = add.input.iter().find(|i| **i != made)
            && size(bias)
                .is_some_and(|d| d.last() == Some(&columns) && d.iter().product::<i64>() == columns)
        {
            gemm.input.push(bias.clone());
            gemm.output.clone_from(&add.output);
            gone.insert(add.output.first().cloned().unwrap_or_default());
        }
        changed.push((at, gemm));
    }
    let keep: Vec<bool> = graph
        .node
        .iter()
        .map(|n| !n.output.first().is_some_and(|o| gone.contains(o)))
        .collect();
    for (at, gemm) in changed {
        graph.node[at] = gemm;
    }
    let mut keep = keep.into_iter();
    graph.node.retain(|_| keep.next().unwrap_or(true));
}

fn layer(
    node: &NodeProto,
    constants: &HashMap<&str, &tract_onnx::pb::TensorProto>,
) -> Result<Option<Layer>, QuantizeError> {
    let operator = match node.op_type.as_str() {
        "Conv" => "Conv",
        "Gemm" if integer_or(node, "transA", 0) == 0 => "Gemm",
        _ => return Ok(None),
    };
    let constant = |i: usize| {
        let tensor = node
            .input
            .get(i)
            .and_then(|name| constants.get(name.as_str()))?;
        let why = "its weights are not 32-bit floats or contradict their shape; export the model in float32";
        Some(values(tensor).ok_or_else(|| QuantizeError::at(node, why)))
    };
    let Some(mut weight) = constant(1).transpose()? else {
        return Ok(None);
    };
    let (mut alpha, mut beta) = (1.0, 1.0);
    if operator == "Gemm" {
        (alpha, beta) = (real_or(node, "alpha", 1.0), real_or(node, "beta", 1.0));
        if integer_or(node, "transB", 0) == 0 {
            weight = transposed(&weight);
        }
    }
    weight.data.iter_mut().for_each(|w| *w *= alpha);
    let rows = weight.shape.first().copied().unwrap_or(0);
    if weight.shape.len() < 2 || rows == 0 || weight.data.is_empty() {
        return Err(QuantizeError::at(
            node,
            "its weights are not a matrix or kernel",
        ));
    }
    let bias = match node.input.get(2).filter(|n| !n.is_empty()) {
        None => vec![0.0; rows],
        Some(_) => match constant(2).transpose()? {
            Some(bias) if bias.data.len() == rows => bias.data.iter().map(|b| b * beta).collect(),
            Some(bias) if bias.data.len() == 1 => vec![bias.data[0] * beta; rows],
            _ => return Ok(None),
        },
    };
    let groups = integer_or(node, "group", 1).max(1);
    Ok(Some(Layer {
        name: name_of(node),
        operator,
        input: node.input.first().cloned().unwrap_or_default(),
        output: node.output.first().cloned().unwrap_or_default(),
        weight,
        scales: None,
        bias: Values {
            shape: vec![rows],
            data: bias,
        },
        groups: usize::try_from(groups).unwrap_or(1),
        float_reason: None,
    }))
}

fn transposed(matrix: &Values) -> Values {
    let [rows, columns] = matrix.shape[..] else {
        return matrix.clone();
    };
    let data = (0..columns)
        .flat_map(|c| (0..rows).map(move |r| r * columns + c))
        .map(|at| matrix.data[at])
        .collect();
    Values {
        shape: vec![columns, rows],
        data,
    }
}

/// Operators between the layers of squeeze-and-excitation and the gate.
const WITHIN_EXCITATION: [&str; 11] = [
    "Conv",
    "Gemm",
    "Relu",
    "Clip",
    "HardSwish",
    "Sigmoid",
    "HardSigmoid",
    "Add",
    "Div",
    "Reshape",
    "Unsqueeze",
];

/// Whether a layer reads one number per channel and its output scales the channels of a map.
fn is_excitation(graph: &GraphProto, layer: &Layer, shapes: &Shapes) -> bool {
    let single = |tensor: &String| {
        shapes
            .get(tensor)
            .is_some_and(|s| s.iter().skip(2).all(|&n| n == 1))
    };
    if !single(&layer.input) {
        return false;
    }
    let mut tensor = layer.output.clone();
    // Layer, activation (several nodes from some exporters), layer, sigmoid.
    for _ in 0..16 {
        let readers: Vec<&NodeProto> = graph
            .node
            .iter()
            .filter(|n| n.input.contains(&tensor))
            .collect();
        let gates = |n: &&&NodeProto| {
            n.op_type == "Mul"
                && n.input.iter().any(|i| {
                    *i != tensor && shapes.get(i).is_some_and(|s| s.len() == 4) && !single(i)
                })
        };
        if readers.iter().any(|n| gates(&n)) {
            return true;
        }
        let within = |n: &&&NodeProto| {
            WITHIN_EXCITATION.contains(&n.op_type.as_str())
                || (n.op_type == "Mul" && n.input.len() == 2)
        };
        match readers.iter().find(within).and_then(|n| n.output.first()) {
            Some(next) => tensor.clone_from(next),
            None => return false,
        }
    }
    false
}

/// The residual sums: two tensors, neither a constant, one of them the output of a layer that can
/// be quantised. Where both are, the skip is the one with fewer layers before it.
pub(super) fn sums(graph: &GraphProto, layers: &[Layer]) -> Vec<Sum> {
    let by_output: HashMap<&str, usize> = layers
        .iter()
        .enumerate()
        .map(|(i, l)| (l.output.as_str(), i))
        .collect();
    let constants = by_name(graph);
    let mut depth: HashMap<&str, usize> = HashMap::new();
    let mut found = vec![];
    for node in &graph.node {
        let deepest = node
            .input
            .iter()
            .filter_map(|i| depth.get(i.as_str()))
            .max();
        let deepest = deepest.copied().unwrap_or(0);
        for output in &node.output {
            depth.insert(
                output,
                deepest + usize::from(by_output.contains_key(output.as_str())),
            );
        }
        let [a, b] = node.input.as_slice() else {
            continue;
        };
        if node.op_type != "Add"
            || a == b
            || [a, b].iter().any(|i| constants.contains_key(i.as_str()))
        {
            continue;
        }
        let made_by = |tensor: &String| {
            by_output
                .get(tensor.as_str())
                .copied()
                .filter(|&l| layers[l].float_reason.is_none())
        };
        let of = |tensor: &String| depth.get(tensor.as_str()).copied().unwrap_or(0);
        let (skip, layer) = match (made_by(a), made_by(b)) {
            (Some(layer), None) => (1, layer),
            (None, Some(layer)) => (0, layer),
            (Some(layer), Some(_)) if of(a) >= of(b) => (1, layer),
            (Some(_), Some(layer)) => (0, layer),
            (None, None) => continue,
        };
        found.push(Sum {
            output: node.output.first().cloned().unwrap_or_default(),
            skip,
            tensor: node.input[skip].clone(),
            layer,
        });
    }
    found
}

#[cfg(test)]
mod tests;
