//! Where in a model's graph the local descriptors come from: its head, the map that the head averages, and the map of twice its size.

use super::{LocalOutputError, decode, graph_of};
use crate::proto::read::{by_name, integer_or, name_of, real_or, values};
use crate::quantize::observe::Observed;
use flukewatch_inference::engine::EngineError;
use flukewatch_inference::engine::strip::dequantise;
use ndarray::{Array1, Array2, Array3};
use std::collections::HashMap;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

/// The head of a model as one linear layer on the last feature map.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// The name of the map, `[1, C, H, W]`.
    pub map: String,
    /// `[D, C] f32`.
    pub weights: Array2<f32>,
    /// `[D] f32`.
    pub bias: Array1<f32>,
}

impl Head {
    /// Finds the head of a float or quantised model.
    ///
    /// # Errors
    /// When the bytes are not a model, or its head is of another form.
    pub fn of(model: &[u8]) -> Result<Self, LocalOutputError> {
        let model = decode(&dequantise(model)?)?;
        let graph = graph_of(&model)?;
        let makers = makers(graph);
        let constants = by_name(graph);
        let heads: Vec<(&NodeProto, Vec<&NodeProto>)> = graph
            .node
            .iter()
            .filter(|n| n.op_type == "Gemm")
            .filter_map(|gemm| Some((gemm, up_to_pooling(gemm, &makers, &constants)?)))
            .collect();
        let [(gemm, chain)] = &heads[..] else {
            return Err(LocalOutputError::Head(format!(
                "{} linear layers follow a GlobalAveragePool",
                heads.len()
            )));
        };
        folded(gemm, chain, &constants)
    }
}

/// The nodes from the pooling to the linear layer, in this order; `None` if there is another operator between.
fn up_to_pooling<'a>(
    gemm: &NodeProto,
    makers: &HashMap<&str, &'a NodeProto>,
    constants: &HashMap<&str, &TensorProto>,
) -> Option<Vec<&'a NodeProto>> {
    let mut chain = vec![];
    let mut tensor = gemm.input.first()?.as_str();
    // A graph with a circle has no order, but may be in a file.
    for _ in 0..=makers.len() {
        let node = *makers.get(tensor)?;
        chain.push(node);
        tensor = match node.op_type.as_str() {
            "GlobalAveragePool" => {
                chain.reverse();
                return Some(chain);
            }
            "Flatten" | "Identity" => node.input.first()?,
            "Mul" | "Add" => node
                .input
                .iter()
                .find(|i| !constants.contains_key(i.as_str()))?,
            _ => return None,
        };
    }
    None
}

fn folded(
    gemm: &NodeProto,
    chain: &[&NodeProto],
    constants: &HashMap<&str, &TensorProto>,
) -> Result<Head, LocalOutputError> {
    let bad = |node: &NodeProto, why: &str| {
        LocalOutputError::Head(format!("node '{}' {why}", name_of(node)))
    };
    let constant = |node: &NodeProto, name: Option<&String>| {
        name.and_then(|name| constants.get(name.as_str()))
            .and_then(|tensor| values(tensor))
            .ok_or_else(|| bad(node, "lacks a constant of floats"))
    };
    let weights = constant(gemm, gemm.input.get(1))?;
    let plain = integer_or(gemm, "transA", 0) == 0
        && integer_or(gemm, "transB", 0) == 1
        && real_or(gemm, "alpha", 1.0) == 1.0
        && real_or(gemm, "beta", 1.0) == 1.0;
    let [dimension, channels] = weights.shape[..] else {
        return Err(bad(gemm, "has weights that are not a matrix"));
    };
    if !plain {
        return Err(bad(
            gemm,
            "is not of the form x * transposed weights + bias",
        ));
    }
    let (mut scale, mut shift) = (vec![1f32; channels], vec![0f32; channels]);
    for node in chain
        .iter()
        .filter(|n| matches!(n.op_type.as_str(), "Mul" | "Add"))
    {
        let name = node
            .input
            .iter()
            .find(|i| constants.contains_key(i.as_str()));
        let by = constant(node, name)?.data;
        if by.len() != 1 && by.len() != channels {
            return Err(bad(
                node,
                "has a constant of another size than the channels",
            ));
        }
        let by = by.iter().cycle();
        for ((scale, shift), by) in scale.iter_mut().zip(&mut shift).zip(by) {
            if node.op_type == "Mul" {
                *scale *= by;
                *shift *= by;
            } else {
                *shift += by;
            }
        }
    }
    let mut matrix = Array2::from_shape_vec((dimension, channels), weights.data)
        .map_err(|_| bad(gemm, "has weights that contradict their shape"))?;
    let mut bias = matrix.dot(&Array1::from(shift));
    if let Some(name) = gemm.input.get(2).filter(|n| !n.is_empty()) {
        let own = constant(gemm, Some(name))?.data;
        if own.len() != 1 && own.len() != dimension {
            return Err(bad(gemm, "has a bias of another size than its rows"));
        }
        bias.iter_mut()
            .zip(own.iter().cycle())
            .for_each(|(b, own)| *b += own);
    }
    matrix *= &Array1::from(scale);
    let map = chain.first().and_then(|pooling| pooling.input.first());
    Ok(Head {
        map: map.cloned().ok_or_else(|| bad(gemm, "has no input"))?,
        weights: matrix,
        bias,
    })
}

/// A feature map of a model for images of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureMap {
    /// Its name in the graph.
    pub name: String,
    /// The number of channels.
    pub channels: usize,
    /// Height and width.
    pub size: [usize; 2],
}

/// The map that a model's head averages, for an image `[C, H, W]`.
///
/// # Errors
/// When the model cannot be run.
pub fn head_map(
    model: &[u8],
    head: &Head,
    image: [usize; 3],
) -> Result<FeatureMap, LocalOutputError> {
    map_named(model, &head.map, image)
}

/// The map for a fine grid: the last one of twice the height and width of `coarse`, where it is narrowest.
///
/// # Errors
/// When the model has no such map.
pub fn fine_map(
    model: &[u8],
    coarse: &FeatureMap,
    image: [usize; 3],
) -> Result<FeatureMap, LocalOutputError> {
    let missing = |why: &str| LocalOutputError::FineMap(why.into());
    let floats = decode(&dequantise(model)?)?;
    let graph = graph_of(&floats)?;
    let makers = makers(graph);
    let mut halving = graph.node.iter().rev().filter(|n| halves(n));
    let last = halving
        .next()
        .ok_or(missing("no convolution has a stride of 2"))?;
    let input = |node: &NodeProto| node.input.first().cloned();
    let mut tensor = input(last).ok_or(missing("a convolution has no input"))?;
    if integer_or(last, "group", 1) > 1 {
        // A depthwise convolution reads a map that a convolution of 1 x 1 has widened.
        let mut widening = makers.get(tensor.as_str());
        for _ in 0..makers.len() {
            match widening {
                Some(node) if node.op_type != "Conv" => {
                    widening = node.input.first().and_then(|i| makers.get(i.as_str()));
                }
                _ => break,
            }
        }
        let widening = widening.ok_or(missing("no layer widens it"))?;
        tensor = input(widening).ok_or(missing("a convolution has no input"))?;
    }
    let found = map_named(model, &tensor, image)?;
    if found.size == coarse.size.map(|side| 2 * side) {
        Ok(found)
    } else {
        Err(LocalOutputError::FineMap(format!(
            "the input '{}' of the block that halves it last has {:?} locations, not twice {:?}",
            found.name, found.size, coarse.size
        )))
    }
}

fn halves(node: &NodeProto) -> bool {
    let strides = node.attribute.iter().find(|a| a.name == "strides");
    node.op_type == "Conv" && strides.is_some_and(|s| s.ints == [2, 2])
}

fn map_named(model: &[u8], name: &str, image: [usize; 3]) -> Result<FeatureMap, LocalOutputError> {
    let failed = |e: tract_onnx::prelude::TractError| EngineError::Load(format!("{e:#}"));
    let model = decode(&dequantise(model)?)?;
    let observed = Observed::of(model, &[name.to_owned()]).map_err(failed)?;
    let outputs = observed.run(&Array3::zeros(image)).map_err(failed)?;
    match outputs.first().map(|map| map.shape()) {
        Some(&[1, channels, height, width]) => Ok(FeatureMap {
            name: name.to_owned(),
            channels,
            size: [height, width],
        }),
        other => Err(LocalOutputError::Head(format!(
            "its map has the shape {other:?}"
        ))),
    }
}

fn makers(graph: &GraphProto) -> HashMap<&str, &NodeProto> {
    let outputs = graph.node.iter();
    outputs
        .flat_map(|n| n.output.iter().map(move |o| (o.as_str(), n)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::build::model;
    use flukewatch_inference::samples::onnx as tiny;
    use prost::Message;

    const INPUT: [usize; 3] = [1, 6, 8];

    #[test]
    fn other_heads_are_rejected() {
        let mut other = tiny::float_model(INPUT);
        let graph = other.graph.as_mut().unwrap();
        let pooling = graph
            .node
            .iter_mut()
            .find(|n| n.op_type == "GlobalAveragePool");
        pooling.unwrap().op_type = "GlobalMaxPool".into();
        let scaled = |alpha| {
            let mut model = tiny::float_model(INPUT);
            let graph = model.graph.as_mut().unwrap();
            let gemm = graph.node.iter_mut().find(|n| n.op_type == "Gemm").unwrap();
            gemm.attribute
                .push(crate::proto::build::real("alpha", alpha));
            model
        };
        assert!(Head::of(&tiny::bytes(&scaled(1.0))).is_ok());
        for bad in [other, scaled(2.0)] {
            let error = Head::of(&tiny::bytes(&bad)).unwrap_err();
            assert!(matches!(error, LocalOutputError::Head(_)), "{error}");
        }
        assert!(matches!(Head::of(b"text"), Err(LocalOutputError::Model(_))));
        let empty = model(GraphProto::default()).encode_to_vec();
        assert!(matches!(Head::of(&empty), Err(LocalOutputError::Head(_))));
    }

    #[test]
    fn a_model_that_is_never_halved_has_no_fine_map() {
        let model = tiny::bytes(&tiny::float_model(INPUT));
        let head = Head::of(&model).unwrap();
        let coarse = head_map(&model, &head, INPUT).unwrap();
        let error = fine_map(&model, &coarse, INPUT).unwrap_err();
        assert!(matches!(error, LocalOutputError::FineMap(_)), "{error}");
    }
}
