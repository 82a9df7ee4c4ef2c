//! A model small enough to compute by hand, and photos for it.

use super::photos::EvalPhotos;
use flukewatch_common::bundle::View;
use flukewatch_common::prepare::{Colour, Fit, Preparation};
use flukewatch_onnx::proto::build::{floats, integer, integers, model, node, value_info};
use flukewatch_onnx::quantize::FloatGraph;
use ndarray::Array3;
use prost::Message;
use tract_onnx::pb::GraphProto;

/// `[1, 1, 2, 2]` times `weight`, Relu, the mean over the image, and that as two numbers: itself
/// and its negative, each plus 0.5.
pub(super) fn mean_of_relu(weight: f32) -> FloatGraph {
    let kernel = vec![integers("kernel_shape", &[1, 1])];
    let graph = GraphProto {
        name: "fixture".into(),
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
    FloatGraph::of(&model(graph).encode_to_vec(), None).unwrap()
}

/// Grey photos of 2 x 2 with one brightness each (a multiple of 0.2), and their whales.
pub(super) fn photos(photos: &[(f32, Option<&str>)]) -> EvalPhotos {
    EvalPhotos {
        pixels: photos
            .iter()
            .map(|(v, _)| Array3::from_elem((2, 2, 1), (v * 5.0) as u8))
            .collect(),
        whales: photos.iter().map(|(_, w)| w.map(str::to_owned)).collect(),
        names: (0..photos.len()).map(|i| format!("{i}.jpg")).collect(),
        preparation: Preparation {
            height: 2,
            width: 2,
            colour: Colour::Grey,
            fit: Fit::Stretch,
            padding: 0.0,
            mean: vec![0.0],
            std: vec![5.0],
        },
        views: vec![View::Plain],
    }
}
