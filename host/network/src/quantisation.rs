//! Which nodes run in int8, and the names of learned quantisation ranges, shared so that the
//! trainer simulates exactly the exported model.

use super::{Node, NodeId, Op};

/// The stem and this many blocks stay in float: their few depthwise weights cancel each other over
/// a large map, so that quantising them costs more than all other layers together (the first
/// depthwise layer of EfficientNet-Lite0 alone lowers the cosine to the float embedding to 0.978).
pub const FLOAT_BLOCKS: usize = 3;

const RANGE_PREFIX: &str = "quantisation.range.";

/// Whether the inputs and weights of a node are quantised.
pub fn is_quantised(node: &Node) -> bool {
    node.block > FLOAT_BLOCKS
        && match &node.op {
            // Squeeze-and-excitation, whose layers have no normalisation, sees one number a
            // channel: int8 saves no time there, and its errors scale whole channels
            // (MobileNetV3-Large, random weights: cosine 0.87 in int8, 0.95 in float).
            Op::Convolution(c) => c.norm.is_some(),
            Op::Linear { .. } | Op::Add => true,
            _ => false,
        }
}

/// The name under which a checkpoint holds the learned range of a node's output.
pub fn learned_range(node: NodeId) -> String {
    format!("{RANGE_PREFIX}{node}")
}
