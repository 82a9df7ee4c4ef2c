use super::*;
use crate::lint::{Target, lint};
use crate::proto::build::{floats, integer, integers64, node};
use crate::quantize::fixtures::{
    conv, drawn, drawn_images, graph, images, inverted_residual, residual,
};
use crate::quantize::ranges::ranges;
use crate::samples::mean_of_relu;
use flukewatch_inference::engine::agreement::{Agreement, agreement};
use tract_onnx::pb::tensor_proto::DataType;

fn load(model: &ModelProto) -> TractEngine {
    TractEngine::load(&model.encode_to_vec(), TractForm::AsIs).unwrap()
}

fn between(a: &ModelProto, b: &ModelProto, images: &[Array3<f32>]) -> Agreement {
    agreement(&mut load(a), &mut load(b), images).unwrap()
}

fn all_quantised(graph: &FloatGraph, images: &[Array3<f32>]) -> ModelProto {
    let ranges = ranges(graph, images, &|| {}).unwrap();
    graph.write_quantised(Quantisation {
        ranges: &ranges,
        layers: &graph.quantisable(),
    })
}

/// The float model is equivalent to the file; the int8 model is close to it, runs in both forms,
/// and breaks no rule of any engine.
#[test]
fn models_of_other_exporters_are_quantised() {
    for model in [residual(), inverted_residual()] {
        let found = graph(&model);
        let photos = drawn_images(found.shape(), 4);
        let same = between(&model, &found.write(), &photos);
        assert!(same.lowest > 0.999_999, "{same:?}");
        let quantised = all_quantised(&found, &photos);
        let near = between(&model, &quantised, &photos);
        assert!(near.lowest > 0.995 && near.lowest < 1.0, "{near:?}");
        let file = quantised.encode_to_vec();
        assert!(TractEngine::load(&file, TractForm::Dequantised).is_ok());
        for target in Target::ALL {
            assert_eq!(lint(&file, target), [], "{}", target.name());
        }
    }
}

#[test]
fn layers_and_skips_are_quantised_and_nothing_else() {
    let found = graph(&inverted_residual());
    let quantised = all_quantised(&found, &drawn_images(found.shape(), 2))
        .graph
        .unwrap();
    let maker = |tensor: &str| {
        let node = quantised.node.iter().find(|n| n.output[0] == tensor);
        node.map_or("", |n| n.op_type.as_str())
    };
    for node in &quantised.node {
        let made_by: Vec<&str> = node.input.iter().map(|i| maker(i)).collect();
        let expected: &[&str] = match (node.op_type.as_str(), node.name.as_str()) {
            ("Conv", "reduce" | "raise") => &["GlobalAveragePool Relu", ""],
            ("Conv" | "Gemm", _) => &["DequantizeLinear", "DequantizeLinear"],
            ("Add", _) => &["DequantizeLinear", "Conv"],
            ("Clip" | "HardSwish" | "HardSigmoid", _) => &["Conv"],
            ("ReduceMean", _) => &["Add"],
            _ => continue,
        };
        for (expected, made_by) in expected.iter().zip(&made_by) {
            assert!(
                expected.split(' ').any(|e| e == *made_by),
                "{}: {made_by:?}",
                node.name
            );
        }
    }
    // Each tensor once, though two nodes read 'project'.
    let quantised_tensors = quantised
        .node
        .iter()
        .filter(|n| n.op_type == "QuantizeLinear")
        .count();
    assert_eq!(quantised_tensors, found.quantised_tensors().len());
    assert_eq!(
        found
            .quantised_tensors()
            .iter()
            .filter(|t| *t == "project")
            .count(),
        1
    );
    let biases: Vec<_> = quantised
        .initializer
        .iter()
        .filter(|t| t.name.ends_with(".bias"))
        .collect();
    assert!(biases.iter().all(|t| t.data_type == DataType::Float as i32));
    assert_eq!(biases.len(), found.layers.len());
}

/// Scales of 2 for the image and 4 for the input of the matrix.
#[test]
fn quantisation_by_hand() {
    let graph = mean_of_relu(3.0);
    let run = |ranges: &[(&str, f32)], layers: &[usize], value: f32| {
        let ranges: Ranges = ranges.iter().map(|(n, r)| ((*n).to_owned(), *r)).collect();
        let layers = layers.iter().copied().collect();
        let model = graph.write_quantised(Quantisation {
            ranges: &ranges,
            layers: &layers,
        });
        load(&model).run(images(&[value])[0].view()).unwrap()
    };
    let near = |found: Vec<f32>, expected: [f32; 2]| {
        let off = found.iter().zip(expected).map(|(f, e)| (f - e).abs());
        assert!(off.fold(0.0, f32::max) < 1e-5, "{found:?} and {expected:?}");
    };
    let scales = [("image", 2.0 * 127.0), ("flat", 4.0 * 127.0)];
    // Nothing quantised: 3 x 2.9 + 0.5.
    near(run(&scales, &[], 2.9), [9.2, -8.2]);
    // The convolution: 2.9 to 2, 6.
    near(run(&scales, &[0], 2.9), [6.5, -5.5]);
    // The matrix: 8.7 to 8.
    near(run(&scales, &[1], 2.9), [8.5, -7.5]);
    // Both: 6 to 8, ties go to the even code, 1.5 to 2.
    near(run(&scales, &[0, 1], 2.9), [8.5, -7.5]);
    // Values beyond the range are clipped.
    near(
        run(&[("image", 1.0), ("flat", 1.0)], &[0], 2.9),
        [3.5, -2.5],
    );
}

#[test]
fn a_model_that_tract_cannot_run_or_without_layers_is_an_error() {
    let mut model = residual();
    let nodes = &mut model.graph.as_mut().unwrap().node;
    let last = nodes.iter().position(|n| n.name == "flat").unwrap();
    nodes[last].input = vec!["nowhere".into()];
    let error = FloatGraph::of(&model.encode_to_vec(), None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("nowhere"), "{error}");

    let only = vec![
        node("GlobalAveragePool", "pool", &["image"], "pool", vec![]),
        node("Flatten", "flat", &["pool"], "embedding", vec![]),
    ];
    let model = crate::quantize::fixtures::model([3, 4, 4], 3, only, vec![]);
    let error = FloatGraph::of(&model.encode_to_vec(), None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("no Conv, Gemm or MatMul"), "{error}");
}

#[test]
fn an_unknown_layer_is_an_error_with_a_similar_name() {
    let found = graph(&residual());
    assert_eq!(found.layer_named("b2").unwrap(), 5);
    let error = found.layer_named("DOWN").unwrap_err().to_string();
    assert_eq!(error, "unknown layer 'DOWN'; did you mean 'down'?");
}

/// Channels split into a number of parts that does not divide them, a position embedding, and a
/// reshape by the shape of a tensor, in opset 18.
#[test]
fn a_model_of_opset_18_is_equivalent_in_17() {
    let mut split = node(
        "Split",
        "split",
        &["stem"],
        "first",
        vec![integer("axis", 1), integer("num_outputs", 2)],
    );
    split.output = vec!["first".into(), "second".into()];
    let nodes = vec![
        conv("stem", "image", 3, 1, 1, true),
        split,
        node("CumSum", "sum", &["ones", "axis"], "sum", vec![]),
        node("Sin", "wave", &["sum"], "wave", vec![]),
        node("Add", "placed", &["second", "wave"], "placed", vec![]),
        conv("branch", "placed", 3, 1, 3, true),
        node(
            "Concat",
            "joined",
            &["branch", "first"],
            "joined",
            vec![integer("axis", 1)],
        ),
        node("ReduceMean", "mean", &["joined", "sides"], "mean", vec![]),
        node("Shape", "shape", &["mean"], "shape", vec![]),
        node("Slice", "rows", &["shape", "zero", "two"], "rows", vec![]),
        node("Reshape", "flat", &["mean", "rows"], "embedding", vec![]),
    ];
    let weights = [("stem", 7, 1), ("branch", 3, 1)].into_iter();
    let mut constants: Vec<_> = weights
        .flat_map(|(name, to, from)| {
            let shape = [to, from, 3, 3];
            [
                floats(&format!("{name}_w"), &shape, &drawn(to * from * 9, to)),
                floats(&format!("{name}_b"), &[to], &drawn(to, from)),
            ]
        })
        .collect();
    constants.push(floats("ones", &[1, 3, 8, 8], &[1.0; 192]));
    constants.push(TensorProto {
        dims: vec![],
        ..integers64("axis", &[1])
    });
    constants.push(integers64("sides", &[2, 3]));
    constants.push(integers64("zero", &[0]));
    constants.push(integers64("two", &[2]));
    let mut model = crate::quantize::fixtures::model([1, 8, 8], 7, nodes, constants);
    model.opset_import[0].version = 18;
    let found = graph(&model);
    let photos = drawn_images(found.shape(), 4);
    let same = between(&model, &found.write(), &photos);
    assert!(same.lowest > 0.999_999, "{same:?}");
    let operators: Vec<_> = found.nodes().iter().map(|n| n.op_type.as_str()).collect();
    let expected = "Conv Split Add Conv Concat ReduceMean Reshape";
    assert_eq!(operators.join(" "), expected);
    let near = between(&model, &all_quantised(&found, &photos), &photos);
    assert!(near.lowest > 0.99, "{near:?}");
}
