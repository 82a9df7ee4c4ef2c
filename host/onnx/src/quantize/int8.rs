//! The nodes and constants of int8: symmetric with zero point 0, as TensorRT requires it.

use crate::proto::build::{bytes, floats, integer, node};
use flukewatch_network::weights::Values;
use tract_onnx::pb::GraphProto;

/// The largest int8 code; -128 is not used.
const LARGEST: f32 = 127.0;

/// The name under which `tensor` is read once it is quantised.
pub(super) fn dequantised(tensor: &str) -> String {
    format!("{tensor}.dequantised")
}

/// Adds the nodes that quantise `tensor` up to `range`; returns the name to read it by,
/// [`dequantised`].
pub(crate) fn quantise_activation(graph: &mut GraphProto, tensor: &str, range: f32) -> String {
    let read = dequantised(tensor);
    let (scale, zero) = (format!("{tensor}.scale"), format!("{tensor}.zero"));
    let quantised = format!("{tensor}.quantised");
    graph
        .initializer
        .push(floats(&scale, &[], &[range / LARGEST]));
    graph.initializer.push(bytes(&zero, &[], &[0]));
    for (op, input, output) in [
        ("QuantizeLinear", tensor, &quantised),
        ("DequantizeLinear", &quantised, &read),
    ] {
        let inputs = [input, &scale, &zero];
        graph.node.push(node(op, output, &inputs, output, vec![]));
    }
    read
}

/// Adds an int8 weight with one scale per row, `scales` or those of [`quantise_rows`]; returns the
/// name to read it by.
pub(crate) fn quantise_weight(
    graph: &mut GraphProto,
    name: &str,
    values: &Values,
    scales: Option<&[f32]>,
) -> String {
    let rows = values.shape[0];
    let (scales, codes) = match scales {
        Some(scales) => (scales.to_vec(), codes(values, scales)),
        None => quantise_rows(values),
    };
    let (scale, zero) = (format!("{name}.scale"), format!("{name}.zero"));
    let (quantised, read) = (format!("{name}.int8"), dequantised(name));
    graph.initializer.push(floats(&scale, &[rows], &scales));
    graph
        .initializer
        .push(bytes(&zero, &[rows], &vec![0; rows]));
    graph
        .initializer
        .push(bytes(&quantised, &values.shape, &codes));
    let axis = vec![integer("axis", 0)];
    graph.node.push(node(
        "DequantizeLinear",
        &read,
        &[&quantised, &scale, &zero],
        &read,
        axis,
    ));
    read
}

/// One scale per row, such that its largest weight has the code 127, and the codes.
pub fn quantise_rows(values: &Values) -> (Vec<f32>, Vec<i8>) {
    let scale = |row: &[f32]| {
        let peak = row.iter().fold(0f32, |m, v| m.max(v.abs()));
        if peak > 0.0 { peak / LARGEST } else { 1.0 }
    };
    let scales: Vec<f32> = rows(values).map(scale).collect();
    let codes = codes(values, &scales);
    (scales, codes)
}

fn codes(values: &Values, scales: &[f32]) -> Vec<i8> {
    let rows = rows(values).zip(scales);
    rows.flat_map(|(row, scale)| row.iter().map(move |v| v / scale))
        .map(|v| v.round().clamp(-LARGEST, LARGEST) as i8)
        .collect()
}

fn rows(values: &Values) -> impl Iterator<Item = &[f32]> {
    let per_row = values.data.len() / values.shape[0].max(1);
    values.data.chunks_exact(per_row.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_weight_of_a_row_has_the_largest_code() {
        let values = Values {
            shape: vec![2, 2],
            data: vec![1.0, -2.0, 0.0, 0.0],
        };
        assert_eq!(
            quantise_rows(&values),
            (vec![2.0 / 127.0, 1.0], vec![64, -127, 0, 0])
        );
        assert_eq!(codes(&values, &[0.5, 1.0]), [2, -4, 0, 0]);
    }
}
