use super::*;
use crate::proto::build::{floats, node, real};
use crate::quantize::fixtures::{graph, inverted_residual, model, residual};
use tract_onnx::pb::ModelProto;
use tract_onnx::pb::tensor_proto::DataType;

fn flat(nodes: Vec<NodeProto>, constants: Vec<tract_onnx::pb::TensorProto>) -> ModelProto {
    let mut all = vec![node("Flatten", "flat", &["image"], "flat", vec![])];
    all.extend(nodes);
    model([1, 1, 2], 3, all, constants)
}

/// x [1, 2] times [[1, 2, 3], [4, 5, 6]] in either form.
#[test]
fn each_row_of_a_matrix_is_an_output() {
    let matrix = floats("w", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let bias = floats("b", &[3], &[1.0, 0.0, -1.0]);
    let gemm = node(
        "Gemm",
        "fc",
        &["flat", "w", "b"],
        "embedding",
        vec![real("alpha", 2.0), real("beta", 3.0)],
    );
    let found = graph(&flat(vec![gemm], vec![matrix.clone(), bias.clone()]));
    let layer = &found.layers()[0];
    assert_eq!(layer.weight.shape, [3, 2]);
    assert_eq!(layer.weight.data, [2.0, 8.0, 4.0, 10.0, 6.0, 12.0]);
    assert_eq!(layer.bias.data, [3.0, 0.0, -3.0]);
    assert_eq!(
        (layer.inputs(), layer.outputs(), layer.operator),
        (2, 3, "Gemm")
    );

    let apart = vec![
        node("MatMul", "mm", &["flat", "w"], "mm", vec![]),
        node("Add", "add", &["b", "mm"], "embedding", vec![]),
    ];
    let found = graph(&flat(apart, vec![matrix, bias]));
    let layer = &found.layers()[0];
    assert_eq!(
        (layer.name.as_str(), layer.output.as_str()),
        ("mm", "embedding")
    );
    assert_eq!(layer.weight.data, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    assert_eq!(layer.bias.data, [1.0, 0.0, -1.0]);
    assert_eq!(found.nodes().len(), 2);
}

#[test]
fn skips_are_found_on_either_side() {
    let found = graph(&residual());
    let skips: Vec<_> = found
        .sums
        .iter()
        .map(|s| {
            (
                s.output.as_str(),
                s.tensor.as_str(),
                found.layers()[s.layer].name.as_str(),
            )
        })
        .collect();
    assert_eq!(
        skips,
        [("a_sum", "down_normed", "a2"), ("b_sum", "a_relu", "b2")]
    );
    let found = graph(&inverted_residual());
    let skips: Vec<_> = found
        .sums
        .iter()
        .map(|s| {
            (
                s.skip,
                s.tensor.as_str(),
                found.layers()[s.layer].name.as_str(),
            )
        })
        .collect();
    assert_eq!(skips, [(0, "project", "back")]);
}

#[test]
fn squeeze_and_excitation_stays_in_float_and_the_head_does_not() {
    let found = graph(&inverted_residual());
    let stay: Vec<_> = found
        .layers
        .iter()
        .filter(|l| l.float_reason.is_some())
        .map(|l| l.name.as_str())
        .collect();
    assert_eq!(stay, ["reduce", "raise"]);
    assert_eq!(found.layers().len(), 8);
}

#[test]
fn weights_that_are_not_floats_are_errors() {
    let assert_error = |change: fn(&mut tract_onnx::pb::TensorProto)| {
        let mut graph = residual().graph.unwrap();
        let weights = &mut graph.initializer;
        change(weights.iter_mut().find(|t| t.name == "fc_w").unwrap());
        let error = take(&mut graph, &Shapes::new()).unwrap_err().to_string();
        assert!(error.contains("'fc' (Gemm)"), "{error}");
    };
    assert_error(|t| t.raw_data.truncate(7));
    assert_error(|t| t.data_type = DataType::Float16 as i32);
}

#[test]
fn layers_of_one_name_are_renamed() {
    let mut model = residual();
    for node in &mut model.graph.as_mut().unwrap().node {
        node.name = "same".into();
    }
    let found = graph(&model);
    let names: HashSet<_> = found.layers().iter().map(|l| &l.name).collect();
    assert_eq!(names.len(), found.layers().len());
}
