mod tensorrt_rtx;

use super::*;
use crate::export::int8_model;
use crate::proto::build::{bytes, floats as float_constant, integer as whole, node};
use flukewatch_network::head::Head;
use flukewatch_network::weights::{Values, Weights};
use flukewatch_network::{Backbone, Network, Pooling};
use ndarray::Array3;

/// What `flukewatch export` writes, of a residual network with made-up weights.
fn exported() -> ModelProto {
    let head = Head {
        pooling: Pooling::Average,
        dropout: 0.0,
        dimension: 8,
    };
    let network = Network::new(Backbone::EfficientnetLite0, 1, &head);
    let weights: Weights = network
        .parameters()
        .into_iter()
        .map(|p| {
            let count: usize = p.shape.iter().product();
            let data = (0..count).map(|i| 0.1 + (i % 7) as f32 / 10.0).collect();
            let shape = p.shape;
            (p.name, Values { shape, data })
        })
        .collect();
    let photo = Array3::from_shape_fn((1, 32, 32), |(_, y, x)| (y * x % 5) as f32);
    let model = int8_model(&network, &weights, 32, 32, &[photo]).unwrap();
    ModelProto::decode(model.as_slice()).unwrap()
}

fn graph(model: &mut ModelProto) -> &mut GraphProto {
    model.graph.as_mut().unwrap()
}

fn found(model: &ModelProto, target: Target) -> Vec<Finding> {
    lint(&model.encode_to_vec(), target)
}

/// The only finding of the lint.
fn only(model: &ModelProto, target: Target) -> Finding {
    let mut all = found(model, target);
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

/// The position of the first quantised convolution, whose input is quantised too.
fn quantised_conv(g: &GraphProto) -> usize {
    let from_int8 = |name: &String| {
        g.node
            .iter()
            .any(|n| n.op_type == DEQUANTIZE && n.output[0] == *name)
    };
    g.node
        .iter()
        .position(|n| n.op_type == "Conv" && from_int8(&n.input[0]) && from_int8(&n.input[1]))
        .unwrap()
}

#[test]
fn our_own_export_breaks_no_rule() {
    let model = exported();
    for target in [Target::Tensorrt8, Target::Tensorrt10, Target::Tract] {
        assert_eq!(found(&model, target), [], "{}", target.name());
    }
}

#[test]
fn a_file_that_is_not_onnx_is_refused() {
    let all = lint(b"no model", Target::Tract);
    assert_eq!(all[0].node, "model");
    assert!(
        all[0].reason.contains("not a readable ONNX file"),
        "{}",
        all[0]
    );
}

#[test]
fn an_unsupported_operator_set_is_refused() {
    let mut model = exported();
    model.opset_import[0].version = 18;
    assert!(
        only(&model, Target::Tensorrt8)
            .reason
            .contains("operator set 18")
    );
    assert_eq!(found(&model, Target::Tensorrt10), []);
}

#[test]
fn an_open_batch_is_costly() {
    let mut model = exported();
    let input = &mut graph(&mut model).input[0];
    let Some(type_proto::Value::TensorType(tensor)) = &mut input.r#type.as_mut().unwrap().value
    else {
        unreachable!("an exported input is a tensor");
    };
    tensor.shape.as_mut().unwrap().dim[0].value = Some(Value::DimParam("batch".into()));
    let finding = only(&model, Target::Tensorrt10);
    assert_eq!(finding.severity, Severity::Costly);
    assert!(finding.reason.contains("'image'"), "{finding}");
}

/// Moves the zero point of a weight off zero; returns the node's name.
fn move_a_zero_point(model: &mut ModelProto) -> String {
    let g = graph(model);
    let weight = g.node[quantised_conv(g)].input[1].clone();
    let dequantize = g.node.iter().find(|n| n.output[0] == weight).unwrap();
    let (name, zero) = (name_of(dequantize), dequantize.input[2].clone());
    let zero = g.initializer.iter_mut().find(|t| t.name == zero).unwrap();
    zero.raw_data[0] = 3;
    name
}

#[test]
fn a_zero_point_off_zero_is_refused_by_tensorrt() {
    let mut model = exported();
    let name = move_a_zero_point(&mut model);
    let finding = only(&model, Target::Tensorrt8);
    assert_eq!(
        (finding.node.as_str(), finding.severity),
        (name.as_str(), Severity::Refused)
    );
    assert!(finding.reason.contains("symmetrically"), "{finding}");
}

/// Quantises the bias of a convolution; returns its name.
fn quantise_a_bias(model: &mut ModelProto) -> String {
    let g = graph(model);
    let at = quantised_conv(g);
    let name = name_of(&g.node[at]);
    let channels = {
        let bias = &g.node[at].input[2];
        let t = g.initializer.iter().find(|t| t.name == *bias).unwrap();
        t.dims[0] as usize
    };
    g.initializer
        .push(bytes("b.int8", &[channels], &vec![1; channels]));
    g.initializer.push(float_constant("b.scale", &[], &[0.5]));
    g.initializer.push(bytes("b.zero", &[], &[0]));
    g.node[at].input[2] = "b".into();
    let inputs = ["b.int8", "b.scale", "b.zero"];
    g.node
        .insert(at, node(DEQUANTIZE, "b.dq", &inputs, "b", vec![]));
    name
}

#[test]
fn a_quantised_bias_is_refused_by_tensorrt() {
    let mut model = exported();
    let name = quantise_a_bias(&mut model);
    let finding = only(&model, Target::Tensorrt10);
    assert_eq!(finding.node, name);
    assert!(finding.reason.contains("bias"), "{finding}");
}

/// Moves the scales of a convolution's weights to another axis; returns the name of their
/// DequantizeLinear.
fn turn_an_axis(model: &mut ModelProto) -> String {
    let g = graph(model);
    let weight = g.node[quantised_conv(g)].input[1].clone();
    let dequantize = g.node.iter_mut().find(|n| n.output[0] == weight).unwrap();
    dequantize.attribute = vec![whole("axis", 1)];
    name_of(dequantize)
}

#[test]
fn weights_along_another_axis_are_refused_by_tensorrt() {
    let mut model = exported();
    let name = turn_an_axis(&mut model);
    let finding = only(&model, Target::Tensorrt8);
    assert_eq!(finding.node, name);
    assert!(finding.reason.contains("axis 0"), "{finding}");
}

#[test]
fn a_scale_of_zero_is_refused_everywhere() {
    let mut model = exported();
    let g = graph(&mut model);
    let input = g.node[quantised_conv(g)].input[0].clone();
    let dequantize = g.node.iter().find(|n| n.output[0] == input).unwrap();
    let scale = dequantize.input[1].clone();
    let scale = g.initializer.iter_mut().find(|t| t.name == scale).unwrap();
    scale.raw_data = 0f32.to_le_bytes().to_vec();
    // Both nodes of the pair.
    for target in [Target::Tensorrt8, Target::Tract] {
        let all = found(&model, target);
        assert_eq!(all.len(), 2, "{all:#?}");
        assert!(all.iter().all(|f| f.reason.contains("above 0")));
    }
}

#[test]
fn a_half_quantised_layer_is_costly() {
    let mut model = exported();
    let g = graph(&mut model);
    let at = quantised_conv(g);
    let quantised = g.node[at].input[0].clone();
    let dequantize = g.node.iter().find(|n| n.output[0] == quantised).unwrap();
    let quantize = g
        .node
        .iter()
        .find(|n| n.output[0] == dequantize.input[0])
        .unwrap();
    let plain = quantize.input[0].clone();
    g.node[at].input[0] = plain;
    let name = name_of(&g.node[at]);
    let all = found(&model, Target::Tensorrt8);
    let finding = all.iter().find(|f| f.node == name).unwrap();
    assert_eq!(finding.severity, Severity::Costly);
    assert!(finding.reason.contains("its input is not"), "{finding}");
}

#[test]
fn a_skip_in_float_is_costly() {
    let mut model = exported();
    let g = graph(&mut model);
    let sum = g
        .node
        .iter()
        .position(|n| n.op_type == "Add" && n.input.iter().any(|i| i.ends_with(".dequantised")))
        .unwrap();
    for input in &mut g.node[sum].input {
        *input = input.trim_end_matches(".dequantised").to_owned();
    }
    let name = name_of(&g.node[sum]);
    let all = found(&model, Target::Tensorrt8);
    let finding = all.iter().find(|f| f.node == name).unwrap();
    assert!(finding.reason.contains("skip"), "{finding}");
}

#[test]
fn quantising_before_the_activation_is_costly() {
    let mut model = exported();
    let g = graph(&mut model);
    let at = quantised_conv(g);
    let made = g.node[at].output[0].clone();
    let clip = g
        .node
        .iter()
        .position(|n| n.op_type == "Clip" && n.input[0] == made)
        .unwrap();
    g.initializer.push(float_constant("r.scale", &[], &[0.1]));
    g.initializer.push(bytes("r.zero", &[], &[0]));
    g.node[clip].input[0] = "r".into();
    let inputs = [made.as_str(), "r.scale", "r.zero"];
    let pair = [
        node(QUANTIZE, "r.q", &inputs, "r.int8", vec![]),
        node(
            DEQUANTIZE,
            "r.dq",
            &["r.int8", "r.scale", "r.zero"],
            "r",
            vec![],
        ),
    ];
    g.node.splice(clip..clip, pair);
    let finding = only(&model, Target::Tensorrt10);
    assert_eq!(
        (finding.node.as_str(), finding.severity),
        ("r.q", Severity::Costly)
    );
}

#[test]
fn operators_that_an_engine_lacks_are_named() {
    let mut model = exported();
    let g = graph(&mut model);
    let at = g.node.iter().position(|n| n.op_type == "Clip").unwrap();
    g.node[at].op_type = "LayerNormalization".into();
    let name = name_of(&g.node[at]);
    let finding = only(&model, Target::Tensorrt8);
    assert_eq!(
        finding.to_string(),
        format!("refused  {name} (LayerNormalization): tensorrt8.5 does not support this operator")
    );
    assert_eq!(found(&model, Target::Tensorrt10), []);
    let g = graph(&mut model);
    g.node[at].op_type = "DynamicQuantizeLinear".into();
    assert!(only(&model, Target::Tensorrt10).reason.ends_with("instead"));
    let g = graph(&mut model);
    g.node[at].domain = "com.microsoft".into();
    let finding = only(&model, Target::Tract);
    assert!(finding.reason.contains("com.microsoft"), "{finding}");
}

#[test]
fn a_model_that_tract_cannot_load_is_refused() {
    let mut model = exported();
    let g = graph(&mut model);
    let at = g.node.iter().position(|n| n.op_type == "Clip").unwrap();
    g.node[at].input[0] = "missing".into();
    let finding = only(&model, Target::Tract);
    assert_eq!(finding.node, "model");
}
