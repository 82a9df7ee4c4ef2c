//! The constants of a graph: Constant nodes become initialisers, Identity and Dropout go, so that every weight is found by its name.

use super::QuantizeError;
use crate::export::onnx::{floats as float_tensor, integers64};
use crate::inspect::graph::floats;
use crate::network::weights::Values;
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

/// The initialisers by name.
pub fn by_name(graph: &GraphProto) -> HashMap<&str, &TensorProto> {
    graph
        .initializer
        .iter()
        .map(|t| (t.name.as_str(), t))
        .collect()
}

/// The floats of a constant with their shape; `None` where it holds other numbers, or not as many as it says.
pub fn values(tensor: &TensorProto) -> Option<Values> {
    let shape: Vec<usize> = tensor
        .dims
        .iter()
        .map(|&d| usize::try_from(d).ok())
        .collect::<Option<_>>()?;
    let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
    let data = floats(tensor).filter(|data| data.len() == count)?;
    Some(Values { shape, data })
}

/// The only float of a constant.
pub fn scalar(tensor: &TensorProto) -> Option<f32> {
    match floats(tensor)?[..] {
        [one] => Some(one),
        _ => None,
    }
}

/// The 64-bit integers of a constant.
pub fn integers(tensor: &TensorProto) -> Option<Vec<i64>> {
    if tensor.data_type != DataType::Int64 as i32 {
        return None;
    }
    if tensor.raw_data.is_empty() {
        return Some(tensor.int64_data.clone());
    }
    let (numbers, rest) = tensor.raw_data.as_chunks::<8>();
    rest.is_empty()
        .then(|| numbers.iter().map(|&b| i64::from_le_bytes(b)).collect())
}

/// Constant nodes to initialisers; Identity and Dropout out.
///
/// # Errors
/// For a Constant of a kind that is not read, and a Dropout whose mask something reads.
pub fn inline(graph: &mut GraphProto) -> Result<(), QuantizeError> {
    let read: HashSet<String> = graph.node.iter().flat_map(|n| n.input.clone()).collect();
    let outputs: HashSet<String> = graph.output.iter().map(|o| o.name.clone()).collect();
    let mut aliases: HashMap<String, String> = HashMap::new();
    let mut kept = vec![];
    for mut node in std::mem::take(&mut graph.node) {
        for input in &mut node.input {
            if let Some(source) = aliases.get(input) {
                input.clone_from(source);
            }
        }
        let output = node.output.first().cloned().unwrap_or_default();
        match node.op_type.as_str() {
            "Constant" => graph.initializer.push(TensorProto {
                name: output,
                ..constant(&node)?
            }),
            "Identity" | "Dropout" => {
                if node.output.iter().skip(1).any(|mask| read.contains(mask)) {
                    return Err(QuantizeError::at(
                        &node,
                        "something reads its mask: export the model for inference",
                    ));
                }
                let source = node.input.first().cloned().unwrap_or_default();
                if outputs.contains(&output) {
                    node.op_type = "Identity".into();
                    node.input.truncate(1);
                    node.output.truncate(1);
                    node.attribute.clear();
                    kept.push(node);
                } else {
                    aliases.insert(output, source);
                }
            }
            _ => kept.push(node),
        }
    }
    graph.node = kept;
    Ok(())
}

fn constant(node: &NodeProto) -> Result<TensorProto, QuantizeError> {
    let unread = || QuantizeError::at(node, "its value is neither a tensor nor numbers");
    let value = node.attribute.first().ok_or_else(unread)?;
    match (value.name.as_str(), &value.t) {
        ("value", Some(tensor)) => Ok(tensor.clone()),
        ("value_float", _) => Ok(float_tensor("", &[], &[value.f])),
        ("value_floats", _) => Ok(float_tensor("", &[value.floats.len()], &value.floats)),
        ("value_int", _) => Ok(TensorProto {
            dims: vec![],
            ..integers64("", &[value.i])
        }),
        ("value_ints", _) => Ok(integers64("", &value.ints)),
        _ => Err(unread()),
    }
}

/// A whole number among a node's attributes, or what it is where the node does not say.
pub fn integer_or(node: &NodeProto, name: &str, default: i64) -> i64 {
    crate::inspect::graph::integer(node, name).unwrap_or(default)
}

/// A float among a node's attributes, or what it is where the node does not say.
pub fn real_or(node: &NodeProto, name: &str, default: f32) -> f32 {
    let attribute = node.attribute.iter().find(|a| a.name == name);
    attribute
        .filter(|a| a.r#type == AttributeType::Float as i32 || a.r#type == 0)
        .map_or(default, |a| a.f)
}

/// Takes out what nothing reads any more.
pub fn drop_unread(graph: &mut GraphProto) {
    loop {
        let read: HashSet<String> = graph
            .node
            .iter()
            .flat_map(|n| n.input.iter().cloned())
            .chain(graph.output.iter().map(|o| o.name.clone()))
            .collect();
        let before = graph.node.len();
        graph
            .node
            .retain(|n| n.output.iter().any(|o| read.contains(o)));
        if graph.node.len() == before {
            graph.initializer.retain(|t| read.contains(&t.name));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::onnx::{node, real};

    #[test]
    fn constants_become_initialisers_and_copies_go() {
        let mut graph = GraphProto {
            node: vec![
                node(
                    "Constant",
                    "six",
                    &[],
                    "six",
                    vec![real("value_float", 6.0)],
                ),
                node("Identity", "same", &["six"], "also six", vec![]),
                node("Dropout", "drop", &["x"], "dropped", vec![]),
                node("Min", "min", &["dropped", "also six"], "low", vec![]),
                node("Identity", "out", &["low"], "y", vec![]),
            ],
            output: vec![crate::export::onnx::value_info("y", &[1])],
            ..GraphProto::default()
        };
        inline(&mut graph).unwrap();
        let left: Vec<_> = graph
            .node
            .iter()
            .map(|n| (n.op_type.as_str(), n.input.join(" ")))
            .collect();
        assert_eq!(left, [("Min", "x six".into()), ("Identity", "low".into())]);
        assert_eq!(by_name(&graph)["six"].dims, Vec::<i64>::new());
        assert_eq!(scalar(by_name(&graph)["six"]), Some(6.0));
    }

    #[test]
    fn a_tensor_of_another_length_than_it_says_is_none() {
        let mut tensor = float_tensor("w", &[2, 2], &[1.0; 4]);
        assert_eq!(values(&tensor).unwrap().shape, [2, 2]);
        for dims in [vec![5], vec![-1], vec![i64::MAX, i64::MAX]] {
            tensor.dims = dims;
            assert_eq!(values(&tensor), None);
        }
    }

    #[test]
    fn what_nothing_reads_goes() {
        let mut graph = GraphProto {
            node: vec![
                node("Relu", "a", &["x"], "a", vec![]),
                node("Relu", "b", &["a"], "b", vec![]),
                node("Relu", "y", &["x"], "y", vec![]),
            ],
            initializer: vec![float_tensor("w", &[1], &[1.0])],
            output: vec![crate::export::onnx::value_info("y", &[1])],
            ..GraphProto::default()
        };
        drop_unread(&mut graph);
        assert_eq!((graph.node.len(), graph.initializer.len()), (1, 0));
    }
}
