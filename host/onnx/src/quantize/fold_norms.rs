//! Folds BatchNormalization nodes into the Conv or Gemm before them.

use super::QuantizeError;
use super::simplify::drop_unread;
use crate::proto::build::floats;
use crate::proto::read::{by_name, integer_or, name_of, real_or, values};
use flukewatch_network::ChannelAffine;
use std::collections::HashSet;
use tract_onnx::pb::{GraphProto, NodeProto};

/// The result of folding the batch norms of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoldedNorms {
    /// Number of batch norms folded into the layer before them.
    pub folded: usize,
    /// The names of those that remain, in float: the tensor before them has other readers, or is
    /// not a layer's.
    pub left: Vec<String>,
}

/// Folds every BatchNormalization that is the only reader of a Conv or a Gemm (with `transB`, as
/// exporters write it) with constant weights.
///
/// # Errors
/// If one is in training mode, or its statistics are not constants.
pub(super) fn fold_norms(graph: &mut GraphProto) -> Result<FoldedNorms, QuantizeError> {
    let outputs: HashSet<String> = graph.output.iter().map(|o| o.name.clone()).collect();
    let mut found = FoldedNorms::default();
    let mut gone = HashSet::new();
    for at in 0..graph.node.len() {
        if graph.node[at].op_type != "BatchNormalization" {
            continue;
        }
        let norm = graph.node[at].clone();
        if norm.output.iter().skip(1).any(|o| !o.is_empty())
            || integer_or(&norm, "training_mode", 0) != 0
        {
            let why = "it is in training mode; export the model in evaluation mode";
            return Err(QuantizeError::at(&norm, why));
        }
        let source = norm.input.first().cloned().unwrap_or_default();
        let readers = graph.node.iter().flat_map(|n| &n.input);
        let alone = readers.filter(|i| **i == source).count() == 1 && !outputs.contains(&source);
        let layer = graph
            .node
            .iter()
            .position(|n| n.output.first() == Some(&source));
        let folded = match layer.filter(|_| alone) {
            Some(layer) => fold_into(graph, layer, &norm)?,
            None => false,
        };
        if folded {
            found.folded += 1;
            gone.insert(at);
        } else {
            found.left.push(name_of(&norm));
        }
    }
    let mut at = 0;
    graph.node.retain(|_| {
        at += 1;
        !gone.contains(&(at - 1))
    });
    drop_unread(graph);
    Ok(found)
}

/// Gives the layer the norm's output and folded weights; `false` if it is not a layer with constant
/// weights.
fn fold_into(
    graph: &mut GraphProto,
    layer: usize,
    norm: &NodeProto,
) -> Result<bool, QuantizeError> {
    let constants = by_name(graph);
    let constant = |node: &NodeProto, i: usize| values(constants.get(node.input.get(i)?.as_str())?);
    let node = &graph.node[layer];
    let rows_first = match node.op_type.as_str() {
        "Conv" => true,
        "Gemm" => {
            integer_or(node, "transB", 0) == 1
                && real_or(node, "alpha", 1.0) == 1.0
                && real_or(node, "beta", 1.0) == 1.0
        }
        _ => false,
    };
    let Some(mut weight) = constant(node, 1).filter(|_| rows_first) else {
        return Ok(false);
    };
    let parts = (|| {
        Some([
            constant(norm, 1)?,
            constant(norm, 2)?,
            constant(norm, 3)?,
            constant(norm, 4)?,
        ])
    })();
    let rows = weight.shape.first().copied().unwrap_or(0);
    let Some([gamma, beta, mean, variance]) =
        parts.filter(|p| rows > 0 && p.iter().all(|v| v.data.len() == rows))
    else {
        let why = "its scale, shift, mean and variance are not constants of one number per channel";
        return Err(QuantizeError::at(norm, why));
    };
    let mut bias = match node.input.get(2).filter(|n| !n.is_empty()) {
        None => vec![0.0; rows],
        Some(_) => match constant(node, 2).filter(|b| b.data.len() == rows) {
            Some(bias) => bias.data,
            None => return Ok(false),
        },
    };
    let epsilon = f64::from(real_or(norm, "epsilon", 1e-5));
    ChannelAffine::of_statistics(&gamma.data, &beta.data, &mean.data, &variance.data, epsilon)
        .fold_into(&mut weight.data, &mut bias);
    let output = norm.output.first().cloned().unwrap_or_default();
    let names = ["folded.kernel", "folded.shift"].map(|part| format!("{output}.{part}"));
    graph.initializer.extend([
        floats(&names[0], &weight.shape, &weight.data),
        floats(&names[1], &[rows], &bias),
    ]);
    let node = &mut graph.node[layer];
    node.input.truncate(1);
    node.input.extend(names);
    node.output = vec![output];
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::build::{integers, node, real, value_info};

    fn graph(extra: Vec<NodeProto>) -> GraphProto {
        let shape = vec![integers("kernel_shape", &[1, 1])];
        let parts = ["x", "gamma", "beta", "mean", "variance"];
        let parts = |from: &'static str| [&[from], &parts[1..]].concat();
        let epsilon = || vec![real("epsilon", 0.0)];
        let mut nodes = vec![
            node("Conv", "conv", &["x", "w"], "c", shape),
            node("BatchNormalization", "bn", &parts("c"), "n", epsilon()),
            node("Relu", "relu", &["n"], "y", vec![]),
        ];
        nodes.extend(extra);
        GraphProto {
            node: nodes,
            initializer: vec![
                floats("w", &[2, 1, 1, 1], &[1.0, 2.0]),
                floats("gamma", &[2], &[3.0, 1.0]),
                floats("beta", &[2], &[0.5, 0.0]),
                floats("mean", &[2], &[2.0, 1.0]),
                floats("variance", &[2], &[4.0, 1.0]),
            ],
            output: vec![value_info("y", &[1, 2, 1, 1])],
            ..GraphProto::default()
        }
    }

    /// (x - 2) / 2 * 3 + 0.5 = 1.5 x - 2.5, and 2 x - 1.
    #[test]
    fn a_norm_is_folded_into_its_convolution() {
        let mut g = graph(vec![]);
        let found = fold_norms(&mut g).unwrap();
        assert_eq!((found.folded, found.left.len()), (1, 0));
        let operators: Vec<_> = g.node.iter().map(|n| n.op_type.as_str()).collect();
        assert_eq!(operators, ["Conv", "Relu"]);
        let constants = by_name(&g);
        let read = |i: usize| values(constants[g.node[0].input[i].as_str()]).unwrap().data;
        assert_eq!((read(1), read(2)), (vec![1.5, 2.0], vec![-2.5, -1.0]));
        assert_eq!(g.initializer.len(), 2);
    }

    #[test]
    fn a_norm_beside_another_reader_remains() {
        let mut g = graph(vec![node("Relu", "also", &["c"], "z", vec![])]);
        g.output.push(value_info("z", &[1, 2, 1, 1]));
        assert_eq!(fold_norms(&mut g).unwrap().left, ["bn"]);
        assert_eq!(g.node.len(), 4);
    }

    #[test]
    fn a_norm_in_training_mode_is_an_error() {
        let mut g = graph(vec![]);
        g.node[1].output.push("running mean".into());
        let error = fold_norms(&mut g).unwrap_err().to_string();
        assert!(
            error.contains("'bn' (BatchNormalization)") && error.contains("training"),
            "{error}"
        );
        let mut g = graph(vec![]);
        g.node[1].input[3] = "x".into();
        assert!(fold_norms(&mut g).unwrap_err().to_string().contains("'bn'"));
    }
}
