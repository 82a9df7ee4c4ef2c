//! Int8 by QuantizeLinear and DequantizeLinear, in the form that TensorRT takes: symmetric, zero point 0, one scale a tensor for
//! activations and one a row (axis 0) for weights, float biases; on the inputs and weights of Conv and Gemm and on the skip of
//! a sum. The stem and the first blocks stay in float: their few depthwise weights cancel each other over a large mean, so that
//! rounding them costs more than all other layers together (the first depthwise layer of EfficientNet-Lite0 alone brings the
//! cosine to the float embedding down to 0.978). Squeeze-and-excitation stays in float too: its two layers see one number a channel, so
//! that int8 would make the file smaller but save no time, and what they get wrong scales whole channels (MobileNetV3-Large with drawn
//! weights: cosine 0.87 with them in int8, 0.95 without). Activations keep their Relu or Clip, so that the pairs may be taken out again for engines without int8.

use super::calibrate::Ranges;
use super::fold::{Folded, Kind, Step};
use super::onnx::{self, Float, Wrap, bytes, floats, integer, node};
use crate::network::weights::Values;
use std::collections::BTreeSet;
use tract_onnx::pb::{GraphProto, ModelProto};

/// The stem and this many blocks stay in float.
pub const FLOAT_BLOCKS: usize = 3;

/// What the range of a node's output is called in the weights of a network that was trained with rounding, before the number of
/// the node.
pub const TRAINED_RANGE: &str = "rounding.range.";

/// The network with int8 weights and activations.
pub fn write(folded: &Folded, ranges: &Ranges) -> ModelProto {
    onnx::write_with(
        folded,
        &mut Int8 {
            ranges,
            done: BTreeSet::new(),
            float: true,
        },
    )
}

struct Int8<'a> {
    ranges: &'a Ranges,
    done: BTreeSet<String>,
    float: bool,
}

impl Wrap for Int8<'_> {
    fn enter(&mut self, step: &Step) {
        let excitation = matches!(
            step.kind,
            Kind::Convolution {
                excitation: true,
                ..
            }
        );
        self.float = step.block <= FLOAT_BLOCKS || excitation;
    }

    fn activation(&mut self, graph: &mut GraphProto, tensor: &str) -> String {
        if self.float {
            return tensor.to_owned();
        }
        // A tensor that several nodes read is quantised once.
        let Some(range) = self.ranges.get(tensor) else {
            return tensor.to_owned();
        };
        if self.done.insert(tensor.to_owned()) {
            rounded_activation(graph, tensor, *range)
        } else {
            rounded_name(tensor)
        }
    }

    fn weight(&mut self, graph: &mut GraphProto, name: &str, values: &Values) -> String {
        if self.float {
            return Float.weight(graph, name, values);
        }
        rounded_weight(graph, name, values, None)
    }
}

/// The name by which `tensor` is read once it is rounded.
pub fn rounded_name(tensor: &str) -> String {
    format!("{tensor}.dequantised")
}

/// Adds the nodes that round `tensor` to int8, 127 steps up to `range`, and returns the name to read it by, [`rounded_name`].
pub fn rounded_activation(graph: &mut GraphProto, tensor: &str, range: f32) -> String {
    let read = rounded_name(tensor);
    let (scale, zero) = (format!("{tensor}.scale"), format!("{tensor}.zero"));
    let quantised = format!("{tensor}.quantised");
    graph
        .initializer
        .push(floats(&scale, &[], &[range / 127.0]));
    graph.initializer.push(bytes(&zero, &[], &[0]));
    graph.node.push(node(
        "QuantizeLinear",
        &quantised,
        &[tensor, &scale, &zero],
        &quantised,
        vec![],
    ));
    graph.node.push(node(
        "DequantizeLinear",
        &read,
        &[&quantised, &scale, &zero],
        &read,
        vec![],
    ));
    read
}

/// Adds a weight as int8 with a scale for each of its rows, and returns the name to read it by. The scales are `steps` where these are given,
/// `[rows]`, and such that the largest weight of a row is 127 of them otherwise.
pub fn rounded_weight(
    graph: &mut GraphProto,
    name: &str,
    values: &Values,
    steps: Option<&[f32]>,
) -> String {
    let rows = values.shape[0];
    let (scales, data) = quantised_rows(values, steps);
    let (scale, zero) = (format!("{name}.scale"), format!("{name}.zero"));
    let (quantised, read) = (format!("{name}.int8"), rounded_name(name));
    graph.initializer.push(floats(&scale, &[rows], &scales));
    graph
        .initializer
        .push(bytes(&zero, &[rows], &vec![0; rows]));
    graph
        .initializer
        .push(bytes(&quantised, &values.shape, &data));
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

/// One scale for each row, that of `steps` or its own, and the row in steps of it, -127..=127.
pub fn quantised_rows(values: &Values, steps: Option<&[f32]>) -> (Vec<f32>, Vec<i8>) {
    let per_row = (values.data.len() / values.shape[0].max(1)).max(1);
    let mut scales = vec![];
    let mut data = Vec::with_capacity(values.data.len());
    for (at, row) in values.data.chunks_exact(per_row).enumerate() {
        let own = || {
            let peak = row.iter().fold(0f32, |m, v| m.max(v.abs()));
            if peak > 0.0 { peak / 127.0 } else { 1.0 }
        };
        let scale = steps.and_then(|s| s.get(at).copied()).unwrap_or_else(own);
        scales.push(scale);
        data.extend(
            row.iter()
                .map(|v| (v / scale).round().clamp(-127.0, 127.0) as i8),
        );
    }
    (scales, data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::calibrate::quantised_tensors;
    use crate::export::fold::fold;
    use crate::network::head::Head;
    use crate::network::{Backbone, Network, Op, Pooling};

    /// The form of a network with hard-swish and squeeze-and-excitation, whatever its weights.
    #[test]
    fn convolutions_and_skips_are_quantised_and_nothing_else() {
        let head = Head {
            pooling: Pooling::Gem,
            dropout: 0.2,
            dimension: 8,
        };
        let network = Network::new(Backbone::MobilenetV3Large, 1, &head);
        let weights = network
            .parameters()
            .into_iter()
            .map(|p| {
                let data = vec![1.0; p.shape.iter().product()];
                (
                    p.name,
                    Values {
                        shape: p.shape,
                        data,
                    },
                )
            })
            .collect();
        let folded = fold(&network, &weights, 64, 64).unwrap();
        let ranges: Ranges = quantised_tensors(&folded)
            .into_iter()
            .map(|name| (name, 1.0))
            .collect();
        let graph = write(&folded, &ranges).graph.unwrap();
        let maker = |tensor: &str| {
            let node = graph.node.iter().find(|n| n.output[0] == tensor);
            node.map_or("", |n| n.op_type.as_str())
        };
        let (mut int8, mut float) = (0, 0);
        for node in &graph.node {
            let read: Vec<&str> = node.input.iter().map(|i| maker(i)).collect();
            match (
                node.op_type.as_str(),
                read[..].split_at(2.min(read.len())).0,
            ) {
                ("Conv" | "Gemm", ["DequantizeLinear", "DequantizeLinear"]) => int8 += 1,
                ("Conv", _) => {
                    assert!(!read.contains(&"DequantizeLinear"), "{}", node.name);
                    float += 1;
                }
                ("HardSwish", from) => assert_eq!(from, ["Conv"]),
                ("HardSigmoid", from) => assert_eq!(from, ["Conv"]),
                ("GlobalAveragePool" | "Mul", from) => {
                    assert!(!from.contains(&"DequantizeLinear"), "{}", node.name);
                }
                _ => {}
            }
        }
        let expected = network.nodes.iter().filter(|n| match &n.op {
            Op::Convolution(c) => c.norm.is_some() && n.block > FLOAT_BLOCKS,
            Op::Linear { .. } => true,
            _ => false,
        });
        assert_eq!(int8, expected.count());
        // The stem, three blocks (2, 3 and 3 convolutions), and 8 times squeeze-and-excitation.
        assert_eq!(float, 1 + 2 + 3 + 3 + 8 * 2);
    }

    #[test]
    fn rows_keep_their_peak() {
        let values = Values {
            shape: vec![2, 2],
            data: vec![1.0, -2.0, 0.0, 0.0],
        };
        assert_eq!(
            quantised_rows(&values, None),
            (vec![2.0 / 127.0, 1.0], vec![64, -127, 0, 0])
        );
    }
}
