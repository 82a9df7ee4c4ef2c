//! An ONNX graph with who makes and who reads each tensor.

use std::collections::HashMap;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

/// Quantises.
pub const QUANTIZE: &str = "QuantizeLinear";
/// Dequantises.
pub const DEQUANTIZE: &str = "DequantizeLinear";

/// Look-ups into a graph.
pub struct Graph<'a> {
    /// The nodes, in the file's order.
    pub nodes: &'a [NodeProto],
    constants: HashMap<&'a str, &'a TensorProto>,
    makers: HashMap<&'a str, &'a NodeProto>,
    readers: HashMap<&'a str, Vec<&'a NodeProto>>,
}

impl<'a> Graph<'a> {
    /// Of a graph as it was read.
    pub fn of(graph: &'a GraphProto) -> Self {
        let mut constants: HashMap<&str, &TensorProto> = graph
            .initializer
            .iter()
            .map(|t| (t.name.as_str(), t))
            .collect();
        let (mut makers, mut readers) = (HashMap::new(), HashMap::<&str, Vec<_>>::new());
        for node in &graph.node {
            for output in &node.output {
                makers.insert(output.as_str(), node);
                if let Some(value) = constant_of(node) {
                    constants.insert(output.as_str(), value);
                }
            }
            for input in node.input.iter().filter(|i| !i.is_empty()) {
                readers.entry(input.as_str()).or_default().push(node);
            }
        }
        Self {
            nodes: &graph.node,
            constants,
            makers,
            readers,
        }
    }

    /// The constant of this name.
    pub fn constant(&self, tensor: &str) -> Option<&'a TensorProto> {
        self.constants.get(tensor).copied()
    }

    /// The node that makes a tensor.
    pub fn maker(&self, tensor: &str) -> Option<&'a NodeProto> {
        self.makers.get(tensor).copied()
    }

    /// The nodes that read a tensor.
    pub fn readers(&self, tensor: &str) -> &[&'a NodeProto] {
        self.readers.get(tensor).map_or(&[], Vec::as_slice)
    }

    /// The node that makes input `index` of `node`, if it is of this operator.
    pub fn made_by(&self, node: &NodeProto, index: usize, operator: &str) -> Option<&'a NodeProto> {
        let tensor = node.input.get(index)?;
        self.maker(tensor).filter(|n| n.op_type == operator)
    }
}

fn constant_of(node: &NodeProto) -> Option<&TensorProto> {
    (node.op_type == "Constant")
        .then(|| node.attribute.iter().find(|a| a.name == "value"))
        .flatten()
        .and_then(|a| a.t.as_ref())
}

/// What a node is called: its name, or that of what it makes.
pub fn name_of(node: &NodeProto) -> String {
    let output = || node.output.first().cloned().unwrap_or_default();
    if node.name.is_empty() {
        output()
    } else {
        node.name.clone()
    }
}

/// A whole number among a node's attributes.
pub fn integer(node: &NodeProto, name: &str) -> Option<i64> {
    node.attribute.iter().find(|a| a.name == name).map(|a| a.i)
}

/// The 32-bit floats of a constant.
pub fn floats(t: &TensorProto) -> Option<Vec<f32>> {
    if t.data_type != DataType::Float as i32 {
        return None;
    }
    if t.raw_data.is_empty() {
        return Some(t.float_data.clone());
    }
    let (numbers, rest) = t.raw_data.as_chunks::<4>();
    rest.is_empty()
        .then(|| numbers.iter().map(|&b| f32::from_le_bytes(b)).collect())
}

/// Whether every number of an integer constant is zero.
pub fn all_zero(t: &TensorProto) -> bool {
    t.raw_data.iter().all(|&b| b == 0) && t.int32_data.iter().all(|&v| v == 0)
}
