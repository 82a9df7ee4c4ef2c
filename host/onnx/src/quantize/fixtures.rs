//! Models small enough to compute by hand, and the patterns that exporters write.

use super::float_graph::FloatGraph;
use crate::proto::build::{OPSET, floats, integer, integers, node, real, value_info};
use ndarray::Array3;
use prost::Message;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto};

/// A model of one input `image` and one output `embedding`.
pub(crate) fn model(
    shape: [usize; 3],
    dimension: usize,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
) -> ModelProto {
    let [c, h, w] = shape;
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: OPSET,
        }],
        graph: Some(GraphProto {
            name: "fixture".into(),
            node: nodes,
            initializer: constants,
            input: vec![value_info("image", &[1, c, h, w])],
            output: vec![value_info("embedding", &[1, dimension])],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
}

pub(crate) fn graph(model: &ModelProto) -> FloatGraph {
    FloatGraph::of(&model.encode_to_vec(), None).unwrap()
}

/// Pseudorandom numbers between -0.5 and 0.5.
pub(crate) fn drawn(count: usize, seed: usize) -> Vec<f32> {
    (0..count)
        .map(|i| ((i * 37 + seed * 53 + 11) % 101) as f32 / 100.0 - 0.5)
        .collect()
}

/// A convolution `name` from `input` to a tensor of the same name, with weights `{name}_w` and, if
/// it has a bias, `{name}_b`.
pub(crate) fn conv(
    name: &str,
    input: &str,
    kernel: usize,
    stride: usize,
    groups: usize,
    bias: bool,
) -> NodeProto {
    let (w, b) = (format!("{name}_w"), format!("{name}_b"));
    let mut inputs = vec![input, w.as_str()];
    if bias {
        inputs.push(&b);
    }
    let attributes = vec![
        integers("kernel_shape", &[kernel; 2]),
        integers("strides", &[stride; 2]),
        integers("pads", &[kernel / 2; 4]),
        integer("group", groups as i64),
    ];
    node("Conv", name, &inputs, name, attributes)
}

/// An image of one value for each of `values`, `[1, 2, 2]`.
pub(crate) fn images(values: &[f32]) -> Vec<Array3<f32>> {
    values
        .iter()
        .map(|&v| Array3::from_elem((1, 2, 2), v))
        .collect()
}

/// Pseudorandom images of `shape`.
pub(crate) fn drawn_images(shape: [usize; 3], count: usize) -> Vec<Array3<f32>> {
    let numbers = shape.iter().product();
    (0..count)
        .map(|i| Array3::from_shape_vec(shape, drawn(numbers, i)).unwrap())
        .collect()
}

/// A ResNet as torchvision exports it: convolutions without bias, BatchNormalization, Relu, a
/// residual sum with a convolution on the skip and one without, mean over the image, matrix.
pub(crate) fn residual() -> ModelProto {
    let mut nodes = vec![];
    let mut constants = vec![];
    let mut layer =
        |name: &str, input: &str, from: usize, to: usize, kernel: usize, stride: usize| {
            nodes.push(conv(name, input, kernel, stride, 1, false));
            let weights = drawn(to * from * kernel * kernel, name.len() + from);
            constants.push(floats(
                &format!("{name}_w"),
                &[to, from, kernel, kernel],
                &weights,
            ));
            let parts = ["gamma", "beta", "mean", "variance"].map(|part| format!("{name}_{part}"));
            for (i, part) in parts.iter().enumerate() {
                let numbers: Vec<f32> = drawn(to, i)
                    .iter()
                    .map(|v| if i % 3 == 0 { 1.0 + v } else { *v })
                    .collect();
                constants.push(floats(part, &[to], &numbers));
            }
            let inputs = [name, &parts[0], &parts[1], &parts[2], &parts[3]];
            let normed = format!("{name}_normed");
            nodes.push(node(
                "BatchNormalization",
                &normed,
                &inputs,
                &normed,
                vec![],
            ));
        };
    layer("stem", "image", 3, 4, 3, 1);
    layer("a1", "stem_relu", 4, 6, 3, 2);
    layer("a2", "a1_relu", 6, 6, 3, 1);
    layer("down", "stem_relu", 4, 6, 1, 2);
    layer("b1", "a_relu", 6, 6, 3, 1);
    layer("b2", "b1_relu", 6, 6, 3, 1);
    let relu = |from: &str, to: &str| node("Relu", to, &[from], to, vec![]);
    let add = |name: &str, a: &str, b: &str| node("Add", name, &[a, b], name, vec![]);
    // In the order of computation.
    let mut ordered = vec![];
    let mut rest = nodes.into_iter();
    let mut two = |ordered: &mut Vec<NodeProto>| ordered.extend(rest.by_ref().take(2));
    two(&mut ordered);
    ordered.push(relu("stem_normed", "stem_relu"));
    two(&mut ordered);
    ordered.push(relu("a1_normed", "a1_relu"));
    two(&mut ordered);
    two(&mut ordered);
    ordered.push(add("a_sum", "a2_normed", "down_normed"));
    ordered.push(relu("a_sum", "a_relu"));
    two(&mut ordered);
    ordered.push(relu("b1_normed", "b1_relu"));
    two(&mut ordered);
    ordered.push(add("b_sum", "b2_normed", "a_relu"));
    ordered.push(relu("b_sum", "b_relu"));
    ordered.push(node(
        "GlobalAveragePool",
        "pool",
        &["b_relu"],
        "pool",
        vec![],
    ));
    ordered.push(node(
        "Flatten",
        "flat",
        &["pool"],
        "flat",
        vec![integer("axis", 1)],
    ));
    ordered.push(node(
        "Gemm",
        "fc",
        &["flat", "fc_w", "fc_b"],
        "embedding",
        vec![integer("transB", 1)],
    ));
    constants.push(floats("fc_w", &[5, 6], &drawn(30, 1)));
    constants.push(floats("fc_b", &[5], &drawn(5, 2)));
    model([3, 8, 8], 5, ordered, constants)
}

/// A MobileNet as torchvision and timm export it: a Clip with bounds from Constant nodes, depthwise
/// convolutions, squeeze-and-excitation with HardSigmoid, HardSwish, a residual sum, the mean by
/// ReduceMean, and a MatMul with a separate bias.
pub(crate) fn inverted_residual() -> ModelProto {
    let scalar = |name: &str, value: f32| {
        node(
            "Constant",
            name,
            &[],
            name,
            vec![real("value_float", value)],
        )
    };
    let clip = |from: &str, to: &str| node("Clip", to, &[from, "zero", "six"], to, vec![]);
    let op = |op: &str, from: &str, to: &str| node(op, to, &[from], to, vec![]);
    let nodes = vec![
        scalar("zero", 0.0),
        scalar("six", 6.0),
        conv("stem", "image", 3, 2, 1, true),
        clip("stem", "stem_clip"),
        conv("dw", "stem_clip", 3, 1, 8, true),
        op("HardSwish", "dw", "dw_swish"),
        op("GlobalAveragePool", "dw_swish", "squeezed"),
        conv("reduce", "squeezed", 1, 1, 1, true),
        op("Relu", "reduce", "reduce_relu"),
        conv("raise", "reduce_relu", 1, 1, 1, true),
        node(
            "HardSigmoid",
            "gate",
            &["raise"],
            "gate",
            vec![real("alpha", 1.0 / 6.0), real("beta", 0.5)],
        ),
        node("Mul", "gated", &["gate", "dw_swish"], "gated", vec![]),
        conv("project", "gated", 1, 1, 1, true),
        conv("expand", "project", 1, 1, 1, true),
        clip("expand", "expand_clip"),
        conv("back", "expand_clip", 1, 1, 1, true),
        node("Add", "sum", &["project", "back"], "sum", vec![]),
        node(
            "ReduceMean",
            "mean",
            &["sum"],
            "mean",
            vec![integers("axes", &[2, 3]), integer("keepdims", 0)],
        ),
        node("MatMul", "head", &["mean", "head_w"], "head", vec![]),
        node("Add", "head_add", &["head_b", "head"], "embedding", vec![]),
    ];
    let mut constants = vec![
        floats("head_w", &[6, 4], &drawn(24, 3)),
        floats("head_b", &[4], &drawn(4, 4)),
    ];
    for (i, (name, to, from, kernel)) in [
        ("stem", 8, 1, 3),
        ("dw", 8, 1, 3),
        ("reduce", 2, 8, 1),
        ("raise", 8, 2, 1),
        ("project", 6, 8, 1),
        ("expand", 12, 6, 1),
        ("back", 6, 12, 1),
    ]
    .into_iter()
    .enumerate()
    {
        let weights = drawn(to * from * kernel * kernel, i);
        constants.push(floats(
            &format!("{name}_w"),
            &[to, from, kernel, kernel],
            &weights,
        ));
        constants.push(floats(&format!("{name}_b"), &[to], &drawn(to, i + 1)));
    }
    model([1, 16, 16], 4, nodes, constants)
}
