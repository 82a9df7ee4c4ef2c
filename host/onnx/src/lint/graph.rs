//! An ONNX graph with the producer and the readers of each tensor.

use std::collections::HashMap;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

pub(super) const QUANTIZE: &str = "QuantizeLinear";
pub(super) const DEQUANTIZE: &str = "DequantizeLinear";

pub(super) struct Graph<'a> {
    constants: HashMap<&'a str, &'a TensorProto>,
    makers: HashMap<&'a str, &'a NodeProto>,
    readers: HashMap<&'a str, Vec<&'a NodeProto>>,
}

impl<'a> Graph<'a> {
    pub(super) fn of(graph: &'a GraphProto) -> Self {
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
            constants,
            makers,
            readers,
        }
    }

    pub(super) fn constant(&self, tensor: &str) -> Option<&'a TensorProto> {
        self.constants.get(tensor).copied()
    }

    pub(super) fn maker(&self, tensor: &str) -> Option<&'a NodeProto> {
        self.makers.get(tensor).copied()
    }

    pub(super) fn readers(&self, tensor: &str) -> &[&'a NodeProto] {
        self.readers.get(tensor).map_or(&[], Vec::as_slice)
    }

    /// The node that produces input `index` of `node`, if it has this operator.
    pub(super) fn made_by(
        &self,
        node: &NodeProto,
        index: usize,
        operator: &str,
    ) -> Option<&'a NodeProto> {
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

/// Whether every number of an integer constant is zero.
pub(super) fn all_zero(t: &TensorProto) -> bool {
    t.raw_data.iter().all(|&b| b == 0) && t.int32_data.iter().all(|&v| v == 0)
}
