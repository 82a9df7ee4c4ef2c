//! A model small enough to compute by hand, for tests.

use crate::proto::build::{floats, integer, integers, model, node, value_info};
use crate::quantize::FloatGraph;
use prost::Message;
use tract_onnx::pb::GraphProto;

/// A graph from `image` `[1, 1, 2, 2]` to `embedding` `[1, 2]`: the image times `weight`, Relu, the mean
/// over the image, and that as two numbers, itself and its negative, each plus 0.5.
///
/// # Panics
/// Never: the graph is valid.
pub fn mean_of_relu(weight: f32) -> FloatGraph {
    let kernel = vec![integers("kernel_shape", &[1, 1])];
    let graph = GraphProto {
        name: "sample".into(),
        node: vec![
            node("Conv", "conv", &["image", "conv_w"], "conv", kernel),
            node("Relu", "relu", &["conv"], "relu", vec![]),
            node("GlobalAveragePool", "pool", &["relu"], "pool", vec![]),
            node(
                "Flatten",
                "flatten",
                &["pool"],
                "flat",
                vec![integer("axis", 1)],
            ),
            node(
                "Gemm",
                "fc",
                &["flat", "fc_w", "fc_b"],
                "embedding",
                vec![integer("transB", 1)],
            ),
        ],
        initializer: vec![
            floats("conv_w", &[1, 1, 1, 1], &[weight]),
            floats("fc_w", &[2, 1], &[1.0, -1.0]),
            floats("fc_b", &[2], &[0.5, 0.5]),
        ],
        input: vec![value_info("image", &[1, 1, 2, 2])],
        output: vec![value_info("embedding", &[1, 2])],
        ..GraphProto::default()
    };
    FloatGraph::of(&model(graph).encode_to_vec(), None).expect("the graph is valid")
}
