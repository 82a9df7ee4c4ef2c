use super::*;
use crate::proto::build::{floats, node, value_info};
use crate::proto::read::values;
use crate::quantize::fixtures::{conv, model};
use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::{AttributeProto, NodeProto, StringStringEntryProto};

/// A convolution of a grey image of 2 x 2, followed by more nodes.
fn with(more: Vec<NodeProto>) -> ModelProto {
    let mut nodes = vec![conv("conv", "image", 1, 1, 1, false)];
    nodes.extend(more);
    let weights = floats("conv_w", &[1, 1, 1, 1], &[1.0]);
    let mut model = model([1, 2, 2], 4, nodes, vec![weights]);
    let graph = model.graph.as_mut().unwrap();
    graph.output = vec![value_info("conv", &[1, 1, 2, 2])];
    model
}

fn read_it(model: &ModelProto) -> Result<GraphProto, QuantizeError> {
    read(&model.encode_to_vec(), None)
}

fn error_of(model: &ModelProto) -> String {
    read_it(model).unwrap_err().to_string()
}

/// The error of a model with these nodes after the convolution.
fn error_of_nodes(nodes: Vec<NodeProto>) -> String {
    error_of(&with(nodes))
}

fn sizes(model: &mut ModelProto) -> &mut Vec<tract_onnx::pb::tensor_shape_proto::Dimension> {
    let input = &mut model.graph.as_mut().unwrap().input[0];
    let type_proto::Value::TensorType(tensor) =
        input.r#type.as_mut().unwrap().value.as_mut().unwrap();
    &mut tensor.shape.as_mut().unwrap().dim
}

#[test]
fn unsupported_nodes_are_errors_that_name_them() {
    let quantised = node("QuantizeLinear", "q", &["conv", "s", "z"], "y", vec![]);
    let text = error_of_nodes(vec![quantised]);
    assert!(
        text.contains("'q' (QuantizeLinear)") && text.contains("already"),
        "{text}"
    );

    let mut branch = node("If", "either", &["conv"], "y", vec![]);
    branch.attribute = vec![AttributeProto {
        name: "then_branch".into(),
        g: Some(GraphProto::default()),
        ..AttributeProto::default()
    }];
    let text = error_of_nodes(vec![branch]);
    assert!(
        text.contains("'either' (If)") && text.contains("control flow"),
        "{text}"
    );

    let mut own = node("FusedConv", "", &["conv"], "made", vec![]);
    own.domain = "com.microsoft".into();
    let text = error_of_nodes(vec![own]);
    assert!(
        text.contains("'made' (FusedConv)") && text.contains("com.microsoft"),
        "{text}"
    );

    let text = error_of_nodes(vec![node("Einsum", "sum", &["conv"], "y", vec![])]);
    assert!(
        text.contains("'sum' (Einsum)") && text.contains("not supported"),
        "{text}"
    );

    assert!(matches!(
        read(b"not a model", None),
        Err(QuantizeError::NotOnnx(_))
    ));
    assert!(matches!(read(&[], None), Err(QuantizeError::NotOnnx(_))));
}

#[test]
fn an_open_batch_size_becomes_one_and_other_open_sizes_are_errors() {
    for open in [
        None,
        Some(Value::DimParam("N".into())),
        Some(Value::DimValue(0)),
    ] {
        let mut model = with(vec![]);
        sizes(&mut model)[0].value = open;
        let mut read = ModelProto {
            graph: Some(read_it(&model).unwrap()),
            ..ModelProto::default()
        };
        assert_eq!(sizes(&mut read)[0].value, Some(Value::DimValue(1)));
    }
    let mut model = with(vec![]);
    sizes(&mut model)[0].value = Some(Value::DimValue(8));
    assert!(error_of(&model).contains("batch of 8"));
    for (at, what) in [(1, "channels"), (2, "height"), (3, "width")] {
        let mut model = with(vec![]);
        sizes(&mut model)[at].value = Some(Value::DimParam("side".into()));
        let text = error_of(&model);
        assert!(
            text.contains(&format!("the {what} of its input 'image' is open ('side')")),
            "{text}"
        );
    }
    let mut model = with(vec![]);
    sizes(&mut model).pop();
    assert!(error_of(&model).contains("does not have the shape [1, C, H, W]"));
}

#[test]
fn other_inputs_are_errors_and_listed_weights_are_ignored() {
    let mut model = with(vec![]);
    let inputs = &mut model.graph.as_mut().unwrap().input;
    inputs.push(value_info("conv_w", &[1, 1, 1, 1]));
    assert_eq!(read_it(&model).unwrap().input.len(), 1);
    let inputs = &mut model.graph.as_mut().unwrap().input;
    inputs.push(value_info("mask", &[1]));
    assert!(error_of(&model).contains("2 inputs"));

    let mut model = with(vec![]);
    let input = &mut model.graph.as_mut().unwrap().input[0];
    if let Some(type_proto::Value::TensorType(t)) = input.r#type.as_mut().unwrap().value.as_mut() {
        t.elem_type = DataType::Float16 as i32;
    }
    assert!(error_of(&model).contains("not 32-bit float"));
}

#[test]
fn an_unsupported_operator_set_is_an_error() {
    let mut model = with(vec![]);
    model.opset_import[0].version = 26;
    assert!(error_of(&model).contains("operator set 26"));
}

/// A model with the convolution's weight in a separate file.
fn outside(location: &str, length: &str) -> ModelProto {
    let mut model = with(vec![]);
    let weight = &mut model.graph.as_mut().unwrap().initializer[0];
    weight.raw_data.clear();
    weight.data_location = Some(DataLocation::External as i32);
    weight.external_data = [("location", location), ("offset", "4"), ("length", length)]
        .map(|(key, value)| StringStringEntryProto {
            key: key.into(),
            value: value.into(),
        })
        .to_vec();
    model
}

#[test]
fn external_weights_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let numbers = [1.5f32, 2.5].map(f32::to_le_bytes).concat();
    std::fs::write(folder.path().join("w.data"), numbers).unwrap();
    let from = |model: ModelProto| read(&model.encode_to_vec(), Some(folder.path()));
    let graph = from(outside("w.data", "4")).unwrap();
    let weight = values(&graph.initializer[0]).unwrap();
    assert_eq!(weight.data, [2.5]);
    for (location, length, why) in [
        ("w.data", "5", "too short"),
        ("w.data", "many", "offset and length"),
        ("none.data", "4", "none.data"),
        ("../w.data", "4", "next to the model"),
        ("/etc/passwd", "4", "next to the model"),
        ("", "4", "next to the model"),
    ] {
        let text = from(outside(location, length)).unwrap_err().to_string();
        assert!(text.contains("'conv_w'") && text.contains(why), "{text}");
    }
    assert!(error_of(&outside("w.data", "4")).contains("next to the model"));
}

#[test]
fn reserved_names_are_freed() {
    let mut model = with(vec![node(
        "Mul",
        "half",
        &["conv", "half.scale"],
        "y",
        vec![],
    )]);
    let graph = model.graph.as_mut().unwrap();
    graph.initializer.push(floats("half.scale", &[], &[0.5]));
    graph.output = vec![value_info("y", &[1, 1, 2, 2])];
    let graph = read_it(&model).unwrap();
    assert_eq!(graph.node[1].input, ["conv", "half.scale.given"]);
    assert!(
        graph
            .initializer
            .iter()
            .any(|t| t.name == "half.scale.given")
    );
}
