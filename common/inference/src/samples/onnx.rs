//! Models small enough to check by hand: a convolution, ReLU6, the mean over the image and a matrix, as
//! floats and quantised like Flukewatch's export; and a model that passes its input through.

use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};

/// The number of channels after the convolution.
pub const HIDDEN: usize = 4;
/// The number of outputs.
pub const DIMENSION: usize = 6;

/// Irregular weights between -0.4 and 0.4.
pub fn weights(count: usize) -> Vec<f32> {
    (0..count)
        .map(|i| ((i * 37 + 11) % 101) as f32 / 125.0 - 0.4)
        .collect()
}

/// Rows of `columns` weights as int8 and a scale for each row.
pub fn quantised_rows(weights: &[f32], columns: usize) -> (Vec<i8>, Vec<f32>) {
    let scales: Vec<f32> = weights
        .chunks(columns)
        .map(|row| row.iter().fold(0f32, |m, w| m.max(w.abs())) / 127.0)
        .collect();
    let steps = weights
        .iter()
        .enumerate()
        .map(|(i, w)| (w / scales[i / columns]).round() as i8)
        .collect();
    (steps, scales)
}

/// The plain model: `image` `[1, C, H, W]` to `embedding` `[1, 6]`.
pub fn float_model(input: [usize; 3]) -> ModelProto {
    let c = input[0];
    float_model_with(
        input,
        &weights(HIDDEN * c * 9),
        &weights(DIMENSION * HIDDEN),
    )
}

/// The plain model with the given weights.
pub fn float_model_with(input: [usize; 3], conv: &[f32], matrix: &[f32]) -> ModelProto {
    let c = input[0];
    let mut initializer = vec![
        floats("conv.weight", &[HIDDEN, c, 3, 3], conv),
        floats("matrix.weight", &[DIMENSION, HIDDEN], matrix),
    ];
    initializer.extend(common_constants());
    model(
        input,
        vec![
            conv_node("image", "conv.weight"),
            node("Clip", "relu6", &["convolved", "zero", "six"], "clipped"),
            node("GlobalAveragePool", "pool", &["clipped"], "pooled"),
            node("Flatten", "flatten", &["pooled"], "flat"),
            matrix_node("flat", "matrix.weight"),
        ],
        initializer,
    )
}

/// The same model with int8 weights, and QuantizeLinear and DequantizeLinear before convolution and
/// matrix.
pub fn quantised_model(input: [usize; 3]) -> ModelProto {
    let c = input[0];
    let (conv, conv_scales) = quantised_rows(&weights(HIDDEN * c * 9), c * 9);
    let (matrix, matrix_scales) = quantised_rows(&weights(DIMENSION * HIDDEN), HIDDEN);
    let mut initializer = vec![
        int8s("conv.steps", &[HIDDEN, c, 3, 3], &conv),
        floats("conv.scales", &[HIDDEN], &conv_scales),
        int8s("conv.zeros", &[HIDDEN], &[0; HIDDEN]),
        int8s("matrix.steps", &[DIMENSION, HIDDEN], &matrix),
        floats("matrix.scales", &[DIMENSION], &matrix_scales),
        int8s("matrix.zeros", &[DIMENSION], &[0; DIMENSION]),
        floats("image.scale", &[], &[1.0 / 127.0]),
        floats("flat.scale", &[], &[6.0 / 127.0]),
        int8s("zero.step", &[], &[0]),
    ];
    initializer.extend(common_constants());
    model(
        input,
        vec![
            node(
                "QuantizeLinear",
                "image.q",
                &["image", "image.scale", "zero.step"],
                "image.int8",
            ),
            node(
                "DequantizeLinear",
                "image.dq",
                &["image.int8", "image.scale", "zero.step"],
                "image.rounded",
            ),
            with_ints(
                node(
                    "DequantizeLinear",
                    "conv.dq",
                    &["conv.steps", "conv.scales", "conv.zeros"],
                    "conv.weight",
                ),
                "axis",
                &[0],
            ),
            conv_node("image.rounded", "conv.weight"),
            node("Clip", "relu6", &["convolved", "zero", "six"], "clipped"),
            node("GlobalAveragePool", "pool", &["clipped"], "pooled"),
            node("Flatten", "flatten", &["pooled"], "flat"),
            node(
                "QuantizeLinear",
                "flat.q",
                &["flat", "flat.scale", "zero.step"],
                "flat.int8",
            ),
            node(
                "DequantizeLinear",
                "flat.dq",
                &["flat.int8", "flat.scale", "zero.step"],
                "flat.rounded",
            ),
            with_ints(
                node(
                    "DequantizeLinear",
                    "matrix.dq",
                    &["matrix.steps", "matrix.scales", "matrix.zeros"],
                    "matrix.weight",
                ),
                "axis",
                &[0],
            ),
            matrix_node("flat.rounded", "matrix.weight"),
        ],
        initializer,
    )
}

/// The same model with its map after the convolution, `[1, 4, H, W]`, as a second output.
///
/// # Panics
/// When it is not one of the models above.
pub fn with_local_output(mut model: ModelProto) -> ModelProto {
    let graph = model.graph.as_mut().expect("the model has a graph");
    let type_proto::Value::TensorType(input) = graph.input[0]
        .r#type
        .as_ref()
        .and_then(|t| t.value.as_ref())
        .expect("the image has a type");
    let shape = input.shape.as_ref().expect("the image has a shape");
    let side = |at: usize| match shape.dim[at].value {
        Some(dimension::Value::DimValue(size)) => size,
        _ => panic!("the image has a fixed size"),
    };
    let shape = [1, HIDDEN as i64, side(2), side(3)];
    graph.output.push(value("clipped", &shape));
    model
}

/// Passes a grey image through: `image` `[1, 1, height, width]` to `embedding` `[1, height * width]`.
pub fn passthrough_model(height: u32, width: u32) -> ModelProto {
    let (height, width) = (i64::from(height), i64::from(width));
    ModelProto {
        graph: Some(GraphProto {
            name: "passthrough".into(),
            node: vec![node("Flatten", "flatten", &["image"], "embedding")],
            input: vec![value("image", &[1, 1, height, width])],
            output: vec![value("embedding", &[1, height * width])],
            ..GraphProto::default()
        }),
        ..model([1, 1, 1], vec![], vec![])
    }
}

/// The bytes of `model.onnx`.
pub fn bytes(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}

fn common_constants() -> [TensorProto; 3] {
    [
        floats("conv.bias", &[HIDDEN], &[0.1, -0.1, 0.2, 0.0]),
        floats("zero", &[], &[0.0]),
        floats("six", &[], &[6.0]),
    ]
}

fn conv_node(input: &str, weight: &str) -> NodeProto {
    let conv = node("Conv", "conv", &[input, weight, "conv.bias"], "convolved");
    with_ints(
        with_ints(conv, "kernel_shape", &[3, 3]),
        "pads",
        &[1, 1, 1, 1],
    )
}

fn matrix_node(input: &str, weight: &str) -> NodeProto {
    with_ints(
        node("Gemm", "matrix", &[input, weight], "embedding"),
        "transB",
        &[1],
    )
}

/// A model with one image as input and `embedding` as output.
pub fn model(
    [c, h, w]: [usize; 3],
    node: Vec<NodeProto>,
    initializer: Vec<TensorProto>,
) -> ModelProto {
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 17,
        }],
        graph: Some(GraphProto {
            name: "tiny".into(),
            node,
            initializer,
            input: vec![value("image", &[1, c as i64, h as i64, w as i64])],
            output: vec![value("embedding", &[1, DIMENSION as i64])],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
}

/// A node with one output.
pub fn node(op_type: &str, name: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: op_type.into(),
        name: name.into(),
        input: inputs.iter().map(|&i| i.into()).collect(),
        output: vec![output.into()],
        ..NodeProto::default()
    }
}

/// Adds an attribute: a single number where ONNX expects one, a list otherwise.
pub fn with_ints(mut node: NodeProto, name: &str, ints: &[i64]) -> NodeProto {
    let mut attribute = AttributeProto {
        name: name.into(),
        ..AttributeProto::default()
    };
    match *ints {
        [one] => {
            attribute.r#type = AttributeType::Int as i32;
            attribute.i = one;
        }
        _ => {
            attribute.r#type = AttributeType::Ints as i32;
            attribute.ints = ints.to_vec();
        }
    }
    node.attribute.push(attribute);
    node
}

/// An f32 constant.
pub fn floats(name: &str, dims: &[usize], values: &[f32]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.iter().map(|&d| d as i64).collect(),
        data_type: DataType::Float as i32,
        raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..TensorProto::default()
    }
}

/// An int8 constant.
pub fn int8s(name: &str, dims: &[usize], values: &[i8]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.iter().map(|&d| d as i64).collect(),
        data_type: DataType::Int8 as i32,
        raw_data: values.iter().map(|&v| v as u8).collect(),
        ..TensorProto::default()
    }
}

/// An f32 input or output; a size of -1 is dynamic and named `N`.
pub fn value(name: &str, shape: &[i64]) -> ValueInfoProto {
    let dim = shape
        .iter()
        .map(|&d| {
            let value = if d < 0 {
                dimension::Value::DimParam("N".into())
            } else {
                dimension::Value::DimValue(d)
            };
            Dimension {
                value: Some(value),
                ..Dimension::default()
            }
        })
        .collect();
    let tensor = type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: Some(TensorShapeProto { dim }),
    };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}
