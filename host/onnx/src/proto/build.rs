//! Nodes, attributes, constants and files.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};

/// The operator set of every model that is written.
pub const OPSET: i64 = 17;

/// A model of [`OPSET`] with this graph.
pub fn model(graph: GraphProto) -> ModelProto {
    model_of(graph, OPSET)
}

/// A model of another operator set with this graph.
pub(crate) fn model_of(graph: GraphProto, opset: i64) -> ModelProto {
    ModelProto {
        ir_version: 8,
        producer_name: "flukewatch".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: opset,
        }],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

/// A node with one output.
pub fn node(
    op: &str,
    name: &str,
    inputs: &[&str],
    output: &str,
    attribute: Vec<AttributeProto>,
) -> NodeProto {
    NodeProto {
        op_type: op.into(),
        name: name.into(),
        input: inputs.iter().map(|&i| i.to_owned()).collect(),
        output: vec![output.into()],
        attribute,
        ..NodeProto::default()
    }
}

/// An integer attribute.
pub fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Int as i32,
        i: value,
        ..AttributeProto::default()
    }
}

/// A float attribute.
pub fn real(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Float as i32,
        f: value,
        ..AttributeProto::default()
    }
}

/// An attribute of several integers.
pub fn integers(name: &str, values: &[usize]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints as i32,
        ints: values.iter().map(|&v| v as i64).collect(),
        ..AttributeProto::default()
    }
}

/// A constant of 32-bit floats.
pub fn floats(name: &str, shape: &[usize], data: &[f32]) -> TensorProto {
    constant_tensor(
        name,
        shape,
        DataType::Float,
        data.iter().flat_map(|v| v.to_le_bytes()).collect(),
    )
}

/// A constant of 64-bit integers, e.g. a shape.
pub fn integers64(name: &str, data: &[i64]) -> TensorProto {
    constant_tensor(
        name,
        &[data.len()],
        DataType::Int64,
        data.iter().flat_map(|v| v.to_le_bytes()).collect(),
    )
}

/// A constant of 8-bit integers.
pub fn bytes(name: &str, shape: &[usize], data: &[i8]) -> TensorProto {
    constant_tensor(
        name,
        shape,
        DataType::Int8,
        data.iter().map(|&v| v as u8).collect(),
    )
}

fn constant_tensor(
    name: &str,
    shape: &[usize],
    data_type: DataType,
    raw_data: Vec<u8>,
) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: shape.iter().map(|&d| d as i64).collect(),
        data_type: data_type as i32,
        raw_data,
        ..TensorProto::default()
    }
}

/// The name and shape of a graph's input or output, of 32-bit floats.
pub fn value_info(name: &str, shape: &[usize]) -> ValueInfoProto {
    let dim = shape
        .iter()
        .map(|&d| Dimension {
            value: Some(dimension::Value::DimValue(d as i64)),
            ..Dimension::default()
        })
        .collect();
    let tensor = type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: Some(TensorShapeProto { dim }),
    };
    let r#type = TypeProto {
        value: Some(type_proto::Value::TensorType(tensor)),
        ..TypeProto::default()
    };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(r#type),
        ..ValueInfoProto::default()
    }
}
