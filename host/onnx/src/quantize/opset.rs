//! Converts other operator sets to opset 17: forms that changed are rewritten, those without an
//! equivalent are errors that name the node.

use super::QuantizeError;
use super::layers::Shapes;
use crate::proto::build::{OPSET, integers64};
use crate::proto::read::{by_name, integer_or, integers};
use std::collections::HashMap;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

/// The operator sets that are read.
const READ: std::ops::RangeInclusive<i64> = 11..=24;

/// Operators of embedding networks that mean the same in every operator set of [`READ`], except for
/// the forms that [`to_17`] rewrites.
const KNOWN: [&str; 78] = [
    "Abs",
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Ceil",
    "Clip",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Conv",
    "ConvTranspose",
    "DepthToSpace",
    "Div",
    "Dropout",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Expand",
    "Flatten",
    "Floor",
    "Gather",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Greater",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "InstanceNormalization",
    "LayerNormalization",
    "LeakyRelu",
    "Less",
    "Log",
    "LogSoftmax",
    "LpNormalization",
    "LpPool",
    "LRN",
    "MatMul",
    "Max",
    "MaxPool",
    "Mean",
    "Min",
    "Mul",
    "Neg",
    "PRelu",
    "Pad",
    "Pow",
    "Range",
    "Reciprocal",
    "ReduceL1",
    "ReduceL2",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "Relu",
    "Reshape",
    "Resize",
    "Selu",
    "Shape",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Softplus",
    "Softsign",
    "SpaceToDepth",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Tanh",
    "Transpose",
    "Unsqueeze",
    "Where",
];

/// Checks that operator set `from` is read.
///
/// # Errors
/// If it is not.
pub(super) fn check(from: i64) -> Result<(), QuantizeError> {
    if READ.contains(&from) {
        return Ok(());
    }
    Err(QuantizeError::Unsupported(format!(
        "operator set {from} is not supported, only {} to {}; export it with opset {OPSET}",
        READ.start(),
        READ.end()
    )))
}

/// Converts a graph whose constants are initialisers from operator set `from` to 17. `shapes` are the
/// known ones.
///
/// # Errors
/// For a node without an equivalent in opset 17; names the first one.
pub(super) fn to_17(
    graph: &mut GraphProto,
    from: i64,
    shapes: &Shapes,
) -> Result<(), QuantizeError> {
    let axes: HashMap<String, Vec<i64>> = by_name(graph)
        .into_iter()
        .filter_map(|(name, t)| Some((name.to_owned(), integers(t)?)))
        .collect();
    let mut made = vec![];
    for node in &mut graph.node {
        if !KNOWN.contains(&node.op_type.as_str()) {
            let why = format!(
                "the operator is not supported, since its meaning in opset {OPSET} may differ; export the model without it"
            );
            return Err(QuantizeError::at(node, why));
        }
        if from > OPSET {
            lower(node, &axes, shapes, &mut made)?;
        } else if from < 13 {
            raise(node, &mut made)?;
        }
    }
    graph.initializer.append(&mut made);
    Ok(())
}

/// Converts a node from opset 18 or later.
fn lower(
    node: &mut NodeProto,
    constants: &HashMap<String, Vec<i64>>,
    shapes: &Shapes,
    made: &mut Vec<TensorProto>,
) -> Result<(), QuantizeError> {
    let unsupported = |node: &NodeProto, why: &str| Err(QuantizeError::at(node, why));
    let given = |node: &NodeProto, i: usize| node.input.get(i).is_some_and(|n| !n.is_empty());
    match node.op_type.as_str() {
        // The only operator whose axes are an input in opset 17.
        "ReduceSum" => {}
        operator if operator.starts_with("Reduce") => {
            if given(node, 1) {
                let Some(axes) = constants.get(&node.input[1]) else {
                    return unsupported(node, "its axes are not a constant, as opset 17 requires");
                };
                node.attribute.push(list("axes", axes));
            } else if integer_or(node, "noop_with_empty_axes", 0) != 0 {
                return unsupported(
                    node,
                    "it does nothing without axes, which opset 17 cannot express",
                );
            }
            node.input.truncate(1);
            node.attribute.retain(|a| a.name != "noop_with_empty_axes");
        }
        "Pad" if given(node, 3) => {
            return unsupported(
                node,
                "it pads chosen axes only, which opset 17 cannot express",
            );
        }
        "Pad" if text(node, "mode") == "wrap" => {
            return unsupported(node, "it wraps around, which opset 17 cannot express");
        }
        "Split" => {
            if !given(node, 1) {
                let sizes = part_sizes(node, shapes)?;
                let name = format!("{}.split", node.output.first().cloned().unwrap_or_default());
                made.push(integers64(&name, &sizes));
                node.input.truncate(1);
                node.input.push(name);
            }
            node.attribute.retain(|a| a.name != "num_outputs");
        }
        "Resize" => {
            let new = ["antialias", "axes", "keep_aspect_ratio_policy"];
            let says = |a: &AttributeProto| {
                new.contains(&a.name.as_str())
                    && (a.i != 0
                        || !a.ints.is_empty()
                        || !matches!(a.s.as_slice(), b"" | b"stretch"))
            };
            if node.attribute.iter().any(says) {
                return unsupported(
                    node,
                    "it resizes in a way that opset 17 cannot express (antialias, axes or keep_aspect_ratio_policy)",
                );
            }
            node.attribute.retain(|a| !new.contains(&a.name.as_str()));
        }
        "AveragePool" => {
            let wide = |a: &AttributeProto| a.name == "dilations" && a.ints.iter().any(|&d| d != 1);
            if node.attribute.iter().any(wide) {
                return unsupported(node, "it is dilated, which opset 17 cannot express");
            }
            node.attribute.retain(|a| a.name != "dilations");
        }
        "Cast" => node
            .attribute
            .retain(|a| !["saturate", "round_mode"].contains(&a.name.as_str())),
        _ => {}
    }
    Ok(())
}

/// Converts a node from opset 11 or 12.
fn raise(node: &mut NodeProto, made: &mut Vec<TensorProto>) -> Result<(), QuantizeError> {
    let attribute = match node.op_type.as_str() {
        "Squeeze" | "Unsqueeze" | "ReduceSum" => "axes",
        "Split" => "split",
        "Softmax" | "LogSoftmax" if integer_or(node, "axis", 1) != -1 => {
            let why = "before opset 13 it also sums over the following axes; export the model with opset 13 or later";
            return Err(QuantizeError::at(node, why));
        }
        _ => return Ok(()),
    };
    if let Some(at) = node.attribute.iter().position(|a| a.name == attribute) {
        let numbers = node.attribute.remove(at).ints;
        let name = format!(
            "{}.{attribute}",
            node.output.first().cloned().unwrap_or_default()
        );
        made.push(integers64(&name, &numbers));
        node.input.push(name);
    }
    Ok(())
}

/// The sizes of the parts of a Split that gives their number: all of the same size, only the last one
/// is smaller where the axis cannot be divided evenly.
fn part_sizes(node: &NodeProto, shapes: &Shapes) -> Result<Vec<i64>, QuantizeError> {
    let error = |why: String| Err(QuantizeError::at(node, why));
    let parts = node.output.len() as i64;
    let given = integer_or(node, "num_outputs", parts);
    if given != parts || parts == 0 {
        return error(format!(
            "it splits into {given} parts, but has {parts} outputs; the model is damaged"
        ));
    }
    let Some(shape) = node.input.first().and_then(|input| shapes.get(input)) else {
        return error(format!(
            "it splits into a number of parts, whose sizes opset {OPSET} requires, but the shape of its input is unknown; export \
             the model with opset {OPSET}"
        ));
    };
    let axis = integer_or(node, "axis", 0);
    let rank = shape.len() as i64;
    let from_front = if axis < 0 {
        axis.saturating_add(rank)
    } else {
        axis
    };
    let Some(&size) = usize::try_from(from_front).ok().and_then(|a| shape.get(a)) else {
        return error(format!("its axis {axis} is not one of {shape:?}"));
    };
    let size = size as i64;
    let part = size / parts + i64::from(size % parts != 0);
    let last = size - part * (parts - 1);
    if last < 0 {
        return error(format!(
            "{size} cannot be split into {parts} parts of {part} with a smaller last one"
        ));
    }
    let mut sizes = vec![part; node.output.len()];
    if let Some(end) = sizes.last_mut() {
        *end = last;
    }
    Ok(sizes)
}

fn list(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints as i32,
        ints: ints.to_vec(),
        ..AttributeProto::default()
    }
}

fn text(node: &NodeProto, name: &str) -> String {
    let attribute = node.attribute.iter().find(|a| a.name == name);
    attribute
        .map(|a| String::from_utf8_lossy(&a.s).into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::build::{integer, node};

    fn graph(nodes: Vec<NodeProto>) -> GraphProto {
        GraphProto {
            node: nodes,
            initializer: vec![integers64("axes", &[2, 3])],
            ..GraphProto::default()
        }
    }

    fn shapes() -> Shapes {
        [("seven".into(), vec![1, 7, 2])].into()
    }

    /// A Split of `input` into `parts` outputs.
    fn split(input: &str, axis: i64, parts: usize, given: i64) -> NodeProto {
        let attributes = vec![integer("axis", axis), integer("num_outputs", given)];
        let mut split = node("Split", "cut", &[input], "y0", attributes);
        split.output = (0..parts).map(|i| format!("y{i}")).collect();
        split
    }

    fn error(node: NodeProto, from: i64) -> String {
        to_17(&mut graph(vec![node]), from, &shapes())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn the_axes_of_a_mean_become_an_attribute_again() {
        let keep = vec![integer("keepdims", 1), integer("noop_with_empty_axes", 0)];
        let mut g = graph(vec![node("ReduceMean", "mean", &["x", "axes"], "y", keep)]);
        to_17(&mut g, 18, &shapes()).unwrap();
        let mean = &g.node[0];
        assert_eq!(mean.input, ["x"]);
        let names: Vec<_> = mean
            .attribute
            .iter()
            .map(|a| (a.name.as_str(), a.ints.as_slice()))
            .collect();
        assert_eq!(names, [("keepdims", &[][..]), ("axes", &[2, 3])]);
        // Those of a sum are an input in opset 17 too.
        let mut g = graph(vec![node("ReduceSum", "sum", &["x", "axes"], "y", vec![])]);
        to_17(&mut g, 18, &shapes()).unwrap();
        assert_eq!(g.node[0].input, ["x", "axes"]);
    }

    #[test]
    fn axes_become_an_input_from_opset_12_on() {
        let mut g = graph(vec![node(
            "Squeeze",
            "s",
            &["x"],
            "y",
            vec![list("axes", &[2, 3])],
        )]);
        to_17(&mut g, 12, &shapes()).unwrap();
        assert_eq!(g.node[0].input, ["x", "y.axes"]);
        assert_eq!(integers(by_name(&g)["y.axes"]), Some(vec![2, 3]));
        assert_eq!(g.node[0].attribute, []);
    }

    #[test]
    fn a_number_of_parts_becomes_their_sizes() {
        for (axis, parts, expected) in [
            (1, 1, &[7][..]),
            (1, 2, &[4, 3][..]),
            (-2, 3, &[3, 3, 1][..]),
            (2, 2, &[1, 1][..]),
            (-1, 1, &[2][..]),
            (1, 7, &[1; 7][..]),
        ] {
            let mut g = graph(vec![split("seven", axis, parts, parts as i64)]);
            to_17(&mut g, 18, &shapes()).unwrap();
            let cut = &g.node[0];
            assert_eq!(cut.input, ["seven", "y0.split"]);
            assert_eq!(integers(by_name(&g)["y0.split"]).unwrap(), expected);
            assert!(cut.attribute.iter().all(|a| a.name == "axis"));
        }
        // Sizes that are given stay.
        let mut given = split("seven", 1, 2, 2);
        given.input.push("axes".into());
        given.attribute.pop();
        let mut g = graph(vec![given.clone()]);
        to_17(&mut g, 20, &shapes()).unwrap();
        assert_eq!(g.node[0], given);
    }

    #[test]
    fn a_number_of_parts_without_sizes_is_an_error() {
        for (split, why) in [
            (split("x", 1, 2, 2), "shape of its input is unknown"),
            (split("seven", 3, 2, 2), "axis 3"),
            (split("seven", -4, 2, 2), "axis -4"),
            (split("seven", 1, 2, 3), "3 parts, but has 2"),
            (split("seven", 1, 5, 5), "7 cannot be split into 5"),
        ] {
            let text = error(split, 18);
            assert!(
                text.contains("'cut' (Split)") && text.contains(why),
                "{text}"
            );
        }
    }

    #[test]
    fn nodes_without_an_equivalent_in_17_are_errors() {
        let axes = node("ReduceMax", "top", &["x", "run time"], "y", vec![]);
        assert!(error(axes, 20).contains("'top' (ReduceMax)"));
        let softmax = node("Softmax", "soft", &["x"], "y", vec![]);
        assert!(error(softmax, 12).contains("'soft' (Softmax)"));
        let antialias = node("Resize", "size", &["x"], "y", vec![integer("antialias", 1)]);
        assert!(error(antialias, 18).contains("'size' (Resize)"));
        let pad = node("Pad", "pad", &["x", "p", "", "axes"], "y", vec![]);
        assert!(error(pad, 18).contains("'pad' (Pad)"));
        let gelu = node("Gelu", "gelu", &["x"], "y", vec![]);
        assert!(error(gelu, 20).contains("'gelu' (Gelu)"));
        let relu = || node("Relu", "r", &["x"], "y", vec![]);
        for from in [10, 25] {
            let text = check(from).unwrap_err().to_string();
            assert!(text.contains(&format!("operator set {from}")), "{text}");
        }
        check(24).unwrap();
        to_17(&mut graph(vec![relu()]), 24, &shapes()).unwrap();
    }
}
