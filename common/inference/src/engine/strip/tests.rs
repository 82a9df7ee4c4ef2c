use super::*;
use crate::samples::onnx::*;
use proptest::prelude::*;
use prost::Message;

const INPUT: [usize; 3] = [1, 8, 8];

fn graph(model: &mut ModelProto) -> &mut GraphProto {
    model.graph.as_mut().unwrap()
}

fn constant<'a>(model: &'a ModelProto, name: &str) -> &'a TensorProto {
    model
        .graph
        .as_ref()
        .unwrap()
        .initializer
        .iter()
        .find(|t| t.name == name)
        .unwrap()
}

/// A model whose only node dequantises `weights` with one scale per channel of `axis`.
fn weights_alone(
    weights: TensorProto,
    zero_points: TensorProto,
    scales: &[f32],
    axis: i64,
) -> ModelProto {
    let dequantize = node(
        "DequantizeLinear",
        "weights.dq",
        &["weights", "scales", "zeros"],
        "embedding",
    );
    let constants = vec![
        TensorProto {
            name: "weights".into(),
            ..weights
        },
        floats("scales", &[scales.len()], scales),
        TensorProto {
            name: "zeros".into(),
            ..zero_points
        },
    ];
    model(
        INPUT,
        vec![with_ints(dequantize, "axis", &[axis])],
        constants,
    )
}

fn folded(mut model: ModelProto) -> Result<Vec<f32>, EngineError> {
    strip(&mut model)?;
    Ok(floats_of(constant(&model, "embedding")))
}

fn floats_of(tensor: &TensorProto) -> Vec<f32> {
    float_values(tensor).unwrap()
}

fn strip_error(change: impl FnOnce(&mut GraphProto)) -> (String, String) {
    let mut model = quantised_model(INPUT);
    change(graph(&mut model));
    match strip(&mut model).unwrap_err() {
        EngineError::Quantisation { node, why } => (node, why),
        other => panic!("{other}"),
    }
}

#[test]
fn no_quantised_node_is_left() {
    let mut model = quantised_model(INPUT);
    graph(&mut model)
        .value_info
        .push(value("image.rounded", &[1, 1, 8, 8]));
    assert!(is_quantised(&model));
    strip(&mut model).unwrap();
    assert!(!is_quantised(&model) && !is_quantised(&float_model(INPUT)));
    let operators: Vec<_> = graph(&mut model)
        .node
        .iter()
        .map(|n| n.op_type.as_str())
        .collect();
    assert_eq!(
        operators,
        ["Conv", "Clip", "GlobalAveragePool", "Flatten", "Gemm"]
    );
    assert!(
        graph(&mut model)
            .initializer
            .iter()
            .all(|t| t.data_type == DataType::Float as i32)
    );
    assert!(
        !graph(&mut model)
            .initializer
            .iter()
            .any(|t| t.name.contains("scale")),
        "unused constants are removed"
    );
    assert!(graph(&mut model).value_info.is_empty());
}

#[test]
fn a_plain_model_is_left_as_it_is() {
    let mut model = float_model(INPUT);
    strip(&mut model).unwrap();
    assert_eq!(model, float_model(INPUT));
}

#[test]
fn scales_go_along_their_axis() {
    let weights = || int8s("", &[2, 3], &[1, 2, 3, -4, -5, -128]);
    let zeros = |n| int8s("", &[n], &vec![0; n]);
    let rows = [10.0, 20.0, 30.0, -400.0, -500.0, -12_800.0];
    let columns = [1.0, 20.0, 300.0, -4.0, -50.0, -12_800.0];
    let folded = |scales: &[f32], axis| {
        folded(weights_alone(weights(), zeros(scales.len()), scales, axis)).unwrap()
    };
    assert_eq!(folded(&[10.0, 100.0], 0), rows);
    assert_eq!(folded(&[10.0, 100.0], -2), rows);
    assert_eq!(folded(&[1.0, 10.0, 100.0], 1), columns);
    assert_eq!(
        folded(&[2.0], 7),
        [2.0, 4.0, 6.0, -8.0, -10.0, -256.0],
        "one scale needs no axis"
    );
}

#[test]
fn uint8_and_int32_weights_keep_their_zero_points() {
    let bytes = |values: &[u8]| TensorProto {
        dims: vec![values.len() as i64],
        data_type: DataType::Uint8 as i32,
        raw_data: values.to_vec(),
        ..TensorProto::default()
    };
    assert_eq!(
        folded(weights_alone(
            bytes(&[0, 128, 255]),
            bytes(&[128]),
            &[0.5],
            0
        ))
        .unwrap(),
        [-64.0, 0.0, 63.5]
    );
    let words = |values: &[i32]| TensorProto {
        dims: vec![values.len() as i64],
        data_type: DataType::Int32 as i32,
        int32_data: values.to_vec(),
        ..TensorProto::default()
    };
    assert_eq!(
        folded(weights_alone(
            words(&[i32::MIN, 70_000]),
            words(&[i32::MAX]),
            &[1.0],
            0
        ))
        .unwrap()[0],
        -4.2949673e9
    );
}

#[test]
fn consecutive_pairs_are_removed() {
    let mut model = quantised_model(INPUT);
    let nodes = &mut graph(&mut model).node;
    nodes[0].input[0] = "again".into();
    nodes.insert(
        0,
        node(
            "DequantizeLinear",
            "more.dq",
            &["more.int8", "image.scale", "zero.step"],
            "again",
        ),
    );
    nodes.insert(
        0,
        node(
            "QuantizeLinear",
            "more.q",
            &["image", "image.scale", "zero.step"],
            "more.int8",
        ),
    );
    strip(&mut model).unwrap();
    let mut once = quantised_model(INPUT);
    strip(&mut once).unwrap();
    assert_eq!(model, once);
}

#[test]
fn the_output_keeps_its_name() {
    let mut model = quantised_model(INPUT);
    let nodes = &mut graph(&mut model).node;
    nodes.last_mut().unwrap().output[0] = "plain".into();
    nodes.push(node(
        "QuantizeLinear",
        "out.q",
        &["plain", "flat.scale", "zero.step"],
        "out.int8",
    ));
    nodes.push(node(
        "DequantizeLinear",
        "out.dq",
        &["out.int8", "flat.scale", "zero.step"],
        "embedding",
    ));
    strip(&mut model).unwrap();
    let last = graph(&mut model).node.last().unwrap();
    assert_eq!(
        (last.op_type.as_str(), &*last.input[0], &*last.output[0]),
        ("Identity", "plain", "embedding")
    );
}

#[test]
fn the_node_at_fault_is_named() {
    let (node, why) = strip_error(|g| g.node[1].input[1] = "flat.scale".into());
    assert_eq!(
        (&*node, &*why),
        (
            "image.dq",
            "its scale or zero point is not that of the QuantizeLinear before it"
        )
    );
    let (node, why) = strip_error(|g| g.node[1].input[1] = "image".into());
    assert_eq!(
        (&*node, &*why),
        ("image.dq", "its input 'image' is not a constant")
    );
    let (node, why) = strip_error(|g| g.node[1].input[0] = "clipped".into());
    assert_eq!(
        (&*node, &*why),
        (
            "image.dq",
            "its input is neither a constant nor made by QuantizeLinear"
        )
    );
    let (node, why) = strip_error(|g| g.node[1].input.truncate(1));
    assert_eq!(
        (&*node, &*why),
        (
            "image.dq",
            "it lacks input 2 (of tensor, scale, zero point)"
        )
    );
    let (node, why) = strip_error(|g| {
        g.node[2].name.clear();
        g.initializer[0].raw_data.pop();
    });
    assert_eq!(
        (&*node, &*why),
        (
            "conv.weight",
            "its weights 'conv.steps' should hold [4, 1, 3, 3] values but hold 35"
        )
    );
    let (node, why) = strip_error(|g| g.node[2].attribute[0].i = 4);
    assert_eq!(
        (&*node, &*why),
        (
            "conv.dq",
            "its axis 4 is out of range; its weights have 4 dimensions"
        )
    );
    let (node, why) = strip_error(|g| g.node[2].attribute[0].i = i64::MIN);
    assert_eq!(node, "conv.dq", "{why}");
    let (node, why) = strip_error(|g| g.node[2].attribute[0].i = 1);
    assert_eq!(
        (&*node, &*why),
        ("conv.dq", "it has 4 scales for 1 channels")
    );
    let (node, why) = strip_error(|g| g.node[2].input[2] = "zero.step".into());
    assert_eq!(
        (&*node, &*why),
        (
            "conv.dq",
            "it has different numbers of scales and zero points"
        )
    );
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let (node, why) = strip_error(|g| g.initializer[6] = floats("image.scale", &[], &[scale]));
        assert_eq!(
            (&*node, &*why),
            ("image.q", "its scale is not a number above 0"),
            "{scale}"
        );
    }
    let (node, why) = strip_error(|g| g.node[3].input[0] = "image.int8".into());
    assert_eq!(
        (&*node, &*why),
        ("image.q", "something other than DequantizeLinear reads it")
    );
    let (node, why) = strip_error(|g| g.initializer[1].data_type = DataType::Double as i32);
    assert_eq!((&*node, &*why), ("conv.dq", "its scale is not f32"));
    let (node, why) = strip_error(|g| {
        let mut inner = with_ints(NodeProto::default(), "then_branch", &[0]).attribute;
        inner[0].g = Some(GraphProto::default());
        g.node[4].attribute = inner;
    });
    assert_eq!((&*node, &*why), ("relu6", "it holds a subgraph"));
}

#[test]
fn a_cycle_of_pairs_is_rejected() {
    let mut model = quantised_model(INPUT);
    graph(&mut model).node[0].input[0] = "image.rounded".into();
    assert_eq!(
        strip(&mut model),
        Err(EngineError::Unsupported(
            "'image.rounded' depends on itself".into()
        ))
    );
}

proptest! {
    #[test]
    fn a_damaged_model_is_rewritten_or_rejected(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = bytes(&quantised_model(INPUT));
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(mut model) = ModelProto::decode(bytes.as_slice()) {
            let _ = strip(&mut model);
        }
    }
}
