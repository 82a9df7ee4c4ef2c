use super::*;
use crate::proto::build::{bytes, floats, integer, integers, node, value_info};
use crate::proto::read::{integers as integers_of, values};
use crate::quantize::read::read;
use crate::quantize::static_shapes::static_shapes;
use prost::Message;

/// A graph from `x` `[1, 3, 4, 5]`, folded.
fn folded(nodes: Vec<NodeProto>, constants: Vec<TensorProto>, opset: i64) -> GraphProto {
    let mut graph = GraphProto {
        name: "g".into(),
        node: nodes,
        initializer: constants,
        input: vec![value_info("x", &[1, 3, 4, 5])],
        output: vec![value_info("y", &[1])],
        ..GraphProto::default()
    };
    let shapes = static_shapes(&graph, opset);
    fold_constants(&mut graph, opset, &shapes);
    graph
}

fn operators(graph: &GraphProto) -> Vec<&str> {
    graph.node.iter().map(|n| n.op_type.as_str()).collect()
}

fn mask() -> TensorProto {
    TensorProto {
        data_type: DataType::Bool as i32,
        ..bytes("mask", &[1, 3], &[0, 1, 0])
    }
}

/// 1, 1 + 0, 1 + 0 + 1 by operators of which two are unknown on the path of the image.
#[test]
fn a_position_embedding_becomes_a_constant() {
    let nodes = vec![
        node("Not", "not", &["mask"], "not", vec![]),
        node("Cast", "cast", &["not"], "cast", vec![integer("to", 1)]),
        node("CumSum", "sum", &["cast", "axis"], "sum", vec![]),
        node("Mul", "mul", &["x", "sum"], "y", vec![]),
    ];
    let axis = TensorProto {
        dims: vec![],
        ..integers64("axis", &[1])
    };
    let graph = folded(nodes, vec![mask(), axis], 17);
    assert_eq!(operators(&graph), ["Mul"]);
    let found = values(by_name(&graph)["sum"]).unwrap();
    assert_eq!((found.shape, found.data), (vec![1, 3], vec![1.0, 1.0, 2.0]));
}

/// Booleans, whole numbers and several outputs keep their types.
#[test]
fn types_are_kept() {
    let mut split = node("Split", "split", &["w"], "a", vec![integer("axis", 0)]);
    split.output = vec!["a".into(), "b".into()];
    let nodes = vec![
        node("Not", "not", &["mask"], "not", vec![]),
        node("Cast", "cast", &["mask"], "whole", vec![integer("to", 6)]),
        split,
        node("Sum", "sum", &["x", "a", "b", "whole", "not"], "y", vec![]),
    ];
    let w = floats("w", &[2, 1], &[1.5, 2.5]);
    let graph = folded(nodes, vec![mask(), w], 17);
    let found = by_name(&graph);
    assert_eq!(found["not"].data_type, DataType::Bool as i32);
    assert_eq!(found["not"].raw_data, [1, 0, 1]);
    assert_eq!(found["whole"].data_type, DataType::Int32 as i32);
    assert_eq!(found["whole"].raw_data.len(), 12);
    assert_eq!(values(found["a"]).unwrap().data, [1.5]);
    assert_eq!(values(found["b"]).unwrap().data, [2.5]);
}

#[test]
fn the_shape_of_a_tensor_is_a_constant() {
    let from = |start: i64, end: i64| vec![integer("start", start), integer("end", end)];
    let nodes = vec![
        node(
            "MaxPool",
            "p",
            &["x"],
            "p",
            vec![integers("kernel_shape", &[2, 2])],
        ),
        node("Shape", "all", &["p"], "all", vec![]),
        node("Shape", "part", &["p"], "part", from(-2, 9)),
        node("Shape", "none", &["p"], "none", from(3, 1)),
        node("Size", "size", &["x"], "size", vec![]),
        node("Gather", "last", &["all", "three"], "last", vec![]),
        node("Reshape", "y", &["p", "last"], "y", vec![]),
    ];
    let graph = folded(nodes, vec![integers64("three", &[3])], 17);
    assert_eq!(operators(&graph), ["MaxPool", "Reshape"]);
    let found = |name: &str| integers_of(by_name(&graph)[name]).unwrap();
    assert_eq!(found("all"), [1, 3, 3, 4]);
    assert_eq!(found("part"), [3, 4]);
    assert_eq!(found("none"), [] as [i64; 0]);
    assert_eq!(found("size"), [60]);
    assert_eq!(found("last"), [4]);
}

#[test]
fn what_cannot_be_computed_stays() {
    let graph = folded(
        vec![
            node("RandomNormalLike", "random", &["mask"], "random", vec![]),
            node(
                "RandomUniform",
                "drawn",
                &[],
                "drawn",
                vec![integers("shape", &[2])],
            ),
            node("Unheard", "unheard", &["mask"], "unheard", vec![]),
            node("Not", "after", &["unheard"], "after", vec![]),
            node("Gather", "beyond", &["mask", "nine"], "beyond", vec![]),
            node("Relu", "of the image", &["x"], "relu", vec![]),
            node("Shape", "of unknown", &["after"], "shape", vec![]),
            node("Not", "the output", &["mask"], "y", vec![]),
        ],
        vec![mask(), integers64("nine", &[9])],
        17,
    );
    assert_eq!(graph.node.len(), 8, "{:?}", operators(&graph));
    assert_eq!(graph.initializer.len(), 2);
}

/// Through the reader: the operator that is unknown on the path of the image is the error.
#[test]
fn unknown_operators_on_the_path_of_the_image_are_errors() {
    let w = || floats("conv_w", &[1, 1, 1, 1], &[1.0]);
    let conv = || crate::quantize::fixtures::conv("conv", "image", 1, 1, 1, false);
    let model = |nodes: Vec<NodeProto>, more: Vec<TensorProto>| {
        let constants = [vec![w()], more].concat();
        crate::quantize::fixtures::model([1, 2, 2], 4, nodes, constants).encode_to_vec()
    };
    let sin = |from: &str| node("Sin", "wave", &[from], "wave", vec![]);
    let add = || node("Add", "add", &["conv", "wave"], "embedding", vec![]);
    let position = floats("position", &[1, 1, 2, 2], &[0.0; 4]);
    let graph = read(
        &model(vec![conv(), sin("position"), add()], vec![position]),
        None,
    )
    .unwrap();
    assert_eq!(operators(&graph), ["Conv", "Add"]);
    let error = read(&model(vec![conv(), sin("conv"), add()], vec![]), None).unwrap_err();
    assert!(error.to_string().contains("'wave' (Sin)"), "{error}");
}
