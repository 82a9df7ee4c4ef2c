//! The values of attributes and constants, and the names of nodes.

use flukewatch_network::weights::Values;
use std::collections::HashMap;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

/// The name of a node, or of its output where it has none.
pub fn name_of(node: &NodeProto) -> String {
    let output = || node.output.first().cloned().unwrap_or_default();
    if node.name.is_empty() {
        output()
    } else {
        node.name.clone()
    }
}

/// An integer attribute of a node.
pub fn integer(node: &NodeProto, name: &str) -> Option<i64> {
    node.attribute.iter().find(|a| a.name == name).map(|a| a.i)
}

/// The numbers of a constant of 32-bit floats.
pub fn floats(t: &TensorProto) -> Option<Vec<f32>> {
    if t.data_type != DataType::Float as i32 {
        return None;
    }
    if t.raw_data.is_empty() {
        return Some(t.float_data.clone());
    }
    let (numbers, rest) = t.raw_data.as_chunks::<4>();
    rest.is_empty()
        .then(|| numbers.iter().map(|&b| f32::from_le_bytes(b)).collect())
}

/// The initialisers of a graph by name.
pub fn by_name(graph: &GraphProto) -> HashMap<&str, &TensorProto> {
    graph
        .initializer
        .iter()
        .map(|t| (t.name.as_str(), t))
        .collect()
}

/// The floats of a constant with their shape; `None` where it has another type, or its length
/// contradicts its shape.
pub fn values(tensor: &TensorProto) -> Option<Values> {
    let shape: Vec<usize> = tensor
        .dims
        .iter()
        .map(|&d| usize::try_from(d).ok())
        .collect::<Option<_>>()?;
    let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
    let data = floats(tensor).filter(|data| data.len() == count)?;
    Some(Values { shape, data })
}

/// The float of a constant that holds one.
pub fn scalar(tensor: &TensorProto) -> Option<f32> {
    match floats(tensor)?[..] {
        [one] => Some(one),
        _ => None,
    }
}

/// The numbers of a constant of 64-bit integers.
pub fn integers(tensor: &TensorProto) -> Option<Vec<i64>> {
    if tensor.data_type != DataType::Int64 as i32 {
        return None;
    }
    if tensor.raw_data.is_empty() {
        return Some(tensor.int64_data.clone());
    }
    let (numbers, rest) = tensor.raw_data.as_chunks::<8>();
    rest.is_empty()
        .then(|| numbers.iter().map(|&b| i64::from_le_bytes(b)).collect())
}

/// An integer attribute of a node, or its default.
pub fn integer_or(node: &NodeProto, name: &str, default: i64) -> i64 {
    integer(node, name).unwrap_or(default)
}

/// A float attribute of a node, or its default.
pub fn real_or(node: &NodeProto, name: &str, default: f32) -> f32 {
    let attribute = node.attribute.iter().find(|a| a.name == name);
    attribute
        .filter(|a| a.r#type == AttributeType::Float as i32 || a.r#type == 0)
        .map_or(default, |a| a.f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::build;

    #[test]
    fn a_tensor_whose_length_contradicts_its_shape_has_no_values() {
        let mut tensor = build::floats("w", &[2, 2], &[1.0; 4]);
        assert_eq!(values(&tensor).unwrap().shape, [2, 2]);
        for dims in [vec![5], vec![-1], vec![i64::MAX, i64::MAX]] {
            tensor.dims = dims;
            assert_eq!(values(&tensor), None);
        }
    }
}
