//! Simplifies a graph so that every weight is found by its name: Constant nodes become
//! initialisers, Identity and Dropout go.

use super::QuantizeError;
use crate::proto::build::{floats, integers64};
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

/// Turns Constant nodes into initialisers and removes Identity and Dropout.
///
/// # Errors
/// If a Constant has an unsupported kind, or the mask of a Dropout is read.
pub(super) fn inline(graph: &mut GraphProto) -> Result<(), QuantizeError> {
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
                        "its mask is read; export the model for inference",
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
        ("value_float", _) => Ok(floats("", &[], &[value.f])),
        ("value_floats", _) => Ok(floats("", &[value.floats.len()], &value.floats)),
        ("value_int", _) => Ok(TensorProto {
            dims: vec![],
            ..integers64("", &[value.i])
        }),
        ("value_ints", _) => Ok(integers64("", &value.ints)),
        _ => Err(unread()),
    }
}

/// Removes nodes and constants that nothing reads.
pub(super) fn drop_unread(graph: &mut GraphProto) {
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
    use crate::proto::build::{node, real, value_info};
    use crate::proto::read::{by_name, scalar};

    #[test]
    fn constants_become_initialisers_and_copies_are_removed() {
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
            output: vec![value_info("y", &[1])],
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
    fn unused_nodes_and_constants_are_removed() {
        let mut graph = GraphProto {
            node: vec![
                node("Relu", "a", &["x"], "a", vec![]),
                node("Relu", "b", &["a"], "b", vec![]),
                node("Relu", "y", &["x"], "y", vec![]),
            ],
            initializer: vec![floats("w", &[1], &[1.0])],
            output: vec![value_info("y", &[1])],
            ..GraphProto::default()
        };
        drop_unread(&mut graph);
        assert_eq!((graph.node.len(), graph.initializer.len()), (1, 0));
    }
}
