//! The second output of a model: local descriptors for local matching.
//!
//! The head of an embedding model is average pooling, a normalisation and a linear layer. Pooling and linear layers commute, so the
//! embedding is the mean of what normalisation and linear layer give for each location of the last feature map. [`Head::of`] finds that
//! map and folds both into one layer; [`with_local_output`] adds a 1 x 1 convolution on the map, e.g. this layer followed by a projection.
//! The nodes of the embedding stay as they are, so that it does not change by a bit.

use crate::proto::build::{floats, integers, node, value_info};
use crate::proto::read::{by_name, integer_or, name_of, real_or, values};
use crate::quantize::histogram::Histogram;
use crate::quantize::observe::Observed;
use crate::quantize::{quantise_activation, quantise_weight};
use flukewatch_inference::engine::EngineError;
use flukewatch_inference::engine::strip::dequantise;
use flukewatch_network::weights::Values;
use ndarray::{Array1, Array2, Array3};
use prost::Message;
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};

/// The name of the second output.
pub const OUTPUT: &str = "local";

/// Why a model gets no local descriptors.
#[derive(Debug, thiserror::Error)]
pub enum LocalOutputError {
    /// The model cannot be read.
    #[error(transparent)]
    Model(#[from] EngineError),
    /// It has the output already, or more than one.
    #[error("the model has {0} outputs; expected the embedding alone")]
    Outputs(usize),
    /// Its head is of another form.
    #[error(
        "the model's head is not average pooling, an optional normalisation and a linear layer: {0}"
    )]
    Head(String),
}

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

/// The `[height, width]` of the head's map for an image `[C, H, W]`.
///
/// # Errors
/// When the model cannot be run.
pub fn map_size(
    model: &[u8],
    head: &Head,
    image: [usize; 3],
) -> Result<[usize; 2], LocalOutputError> {
    let failed = |e: tract_onnx::prelude::TractError| EngineError::Load(format!("{e:#}"));
    let model = decode(&dequantise(model)?)?;
    let observed = Observed::of(model, std::slice::from_ref(&head.map)).map_err(failed)?;
    let outputs = observed.run(&Array3::zeros(image)).map_err(failed)?;
    match outputs.first().map(|map| map.shape()) {
        Some(&[1, _, height, width]) => Ok([height, width]),
        other => Err(LocalOutputError::Head(format!(
            "its map has the shape {other:?}"
        ))),
    }
}

/// The range of the least squared error when `maps` are quantised to int8.
pub fn range_of(maps: &[Vec<f32>]) -> f32 {
    let mut histogram = Histogram::default();
    maps.iter().for_each(|map| histogram.see_peak(map));
    histogram.settle(1.0);
    maps.iter().for_each(|map| histogram.count(map));
    histogram.range()
}

/// The layer that computes the descriptors from the map.
#[derive(Clone, Debug)]
pub struct LocalLayer {
    /// `[channels, C] f32`.
    pub weights: Array2<f32>,
    /// `[channels] f32`.
    pub bias: Array1<f32>,
    /// Quantised: the range of the map; `None` for floats.
    pub range: Option<f32>,
}

/// The model with the map itself, of `[height, width]` locations, as a second output.
///
/// # Errors
/// When the model cannot be read or has another output.
pub fn with_map_output(
    model: &[u8],
    head: &Head,
    size: [usize; 2],
) -> Result<Vec<u8>, LocalOutputError> {
    let mut model = single_output(model)?;
    let graph = graph_mut(&mut model)?;
    let shape = [1, head.weights.ncols(), size[0], size[1]];
    graph
        .node
        .push(node("Identity", OUTPUT, &[&head.map], OUTPUT, vec![]));
    graph.output.push(value_info(OUTPUT, &shape));
    Ok(model.encode_to_vec())
}

/// The model with the second output [`OUTPUT`]: `layer` applied to each of the `[height, width]` locations of the head's map.
///
/// # Errors
/// When the model cannot be read or has another output.
pub fn with_local_output(
    model: &[u8],
    head: &Head,
    layer: &LocalLayer,
    size: [usize; 2],
) -> Result<Vec<u8>, LocalOutputError> {
    let mut model = single_output(model)?;
    let graph = graph_mut(&mut model)?;
    let (rows, columns) = layer.weights.dim();
    let weights = Values {
        shape: vec![rows, columns, 1, 1],
        data: layer.weights.iter().copied().collect(),
    };
    let (map, weight) = match layer.range {
        Some(range) => (
            quantise_activation(graph, &head.map, range),
            quantise_weight(graph, WEIGHT, &weights, None),
        ),
        None => {
            let tensor = floats(WEIGHT, &weights.shape, &weights.data);
            graph.initializer.push(tensor);
            (head.map.clone(), WEIGHT.to_owned())
        }
    };
    let bias: Vec<f32> = layer.bias.to_vec();
    graph.initializer.push(floats(BIAS, &[rows], &bias));
    let kernel = vec![integers("kernel_shape", &[1, 1])];
    let inputs = [map.as_str(), &weight, BIAS];
    graph
        .node
        .push(node("Conv", OUTPUT, &inputs, OUTPUT, kernel));
    graph
        .output
        .push(value_info(OUTPUT, &[1, rows, size[0], size[1]]));
    Ok(model.encode_to_vec())
}

const WEIGHT: &str = "local.weight";
const BIAS: &str = "local.bias";

/// The model with its first output alone, without the nodes that only others need.
///
/// # Errors
/// When the bytes are not a model.
pub fn without_local_output(model: &[u8]) -> Result<Vec<u8>, LocalOutputError> {
    let mut model = decode(model)?;
    let graph = graph_mut(&mut model)?;
    graph.output.truncate(1);
    let mut needed: HashSet<String> = graph.output.iter().map(|o| o.name.clone()).collect();
    // Nodes come after those that they read.
    for node in graph.node.iter().rev() {
        if node.output.iter().any(|o| needed.contains(o)) {
            needed.extend(node.input.iter().cloned());
        }
    }
    graph
        .node
        .retain(|n| n.output.iter().any(|o| needed.contains(o)));
    graph.initializer.retain(|t| needed.contains(&t.name));
    Ok(model.encode_to_vec())
}

fn decode(model: &[u8]) -> Result<ModelProto, LocalOutputError> {
    let decoded = ModelProto::decode(model);
    Ok(decoded.map_err(|e| EngineError::NotOnnx(e.to_string()))?)
}

fn graph_of(model: &ModelProto) -> Result<&GraphProto, LocalOutputError> {
    let none = || EngineError::NotOnnx("it holds no graph".into());
    Ok(model.graph.as_ref().ok_or_else(none)?)
}

fn graph_mut(model: &mut ModelProto) -> Result<&mut GraphProto, LocalOutputError> {
    let none = || EngineError::NotOnnx("it holds no graph".into());
    Ok(model.graph.as_mut().ok_or_else(none)?)
}

/// The model, if it has one output.
fn single_output(model: &[u8]) -> Result<ModelProto, LocalOutputError> {
    let model = decode(model)?;
    match graph_of(&model)?.output.len() {
        1 => Ok(model),
        other => Err(LocalOutputError::Outputs(other)),
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
    use flukewatch_inference::engine::Engine;
    use flukewatch_inference::engine::tract::{TractEngine, TractForm};
    use flukewatch_inference::samples::onnx as tiny;
    use ndarray::Axis;

    const INPUT: [usize; 3] = [1, 6, 8];

    fn image() -> Array3<f32> {
        Array3::from_shape_fn(INPUT, |(_, y, x)| ((y * 5 + x * 3) % 7) as f32 / 4.0 - 0.5)
    }

    /// The tiny model, with a normalisation between pooling and matrix.
    fn with_norm(mut model: ModelProto) -> ModelProto {
        let graph = model.graph.as_mut().unwrap();
        let at = graph
            .node
            .iter()
            .position(|n| n.op_type == "Flatten")
            .unwrap();
        graph.node[at].output = vec!["pooled.flat".into()];
        let mul = node("Mul", "by", &["pooled.flat", "by.c"], "by", vec![]);
        let add = node("Add", "plus", &["plus.c", "by"], "flat", vec![]);
        graph.node.insert(at + 1, mul);
        graph.node.insert(at + 2, add);
        graph
            .initializer
            .push(floats("by.c", &[4], &[1.0, -2.0, 0.5, 3.0]));
        graph.initializer.push(floats("plus.c", &[1], &[0.25]));
        model
    }

    fn run(model: &[u8]) -> (Vec<f32>, Option<Vec<f32>>) {
        let mut engine = TractEngine::load(model, TractForm::Dequantised).unwrap();
        let outputs = engine.run_with_local(image().view()).unwrap();
        (outputs.embedding, outputs.local)
    }

    #[test]
    fn the_mean_of_the_local_outputs_is_the_embedding() {
        for model in [
            tiny::float_model(INPUT),
            with_norm(tiny::quantised_model(INPUT)),
        ] {
            let model = tiny::bytes(&model);
            let head = Head::of(&model).unwrap();
            assert_eq!(head.map, "clipped");
            let layer = LocalLayer {
                weights: head.weights.clone(),
                bias: head.bias.clone(),
                range: None,
            };
            let local = with_local_output(&model, &head, &layer, [6, 8]).unwrap();
            let (embedding, map) = run(&local);
            assert_eq!(
                embedding,
                run(&model).0,
                "the embedding is the same to the bit"
            );
            let map = Array2::from_shape_vec((6, 48), map.unwrap()).unwrap();
            let mean = map.mean_axis(Axis(1)).unwrap();
            for (mean, expected) in mean.iter().zip(&embedding) {
                assert!((mean - expected).abs() < 1e-4, "{mean} {expected}");
            }
            assert_eq!(without_local_output(&local).unwrap(), model);
        }
    }

    #[test]
    fn a_quantised_layer_is_close_to_the_floats() {
        let model = tiny::bytes(&tiny::quantised_model(INPUT));
        let head = Head::of(&model).unwrap();
        let run_with = |range| {
            let layer = LocalLayer {
                weights: head.weights.clone(),
                bias: head.bias.clone(),
                range,
            };
            let local = with_local_output(&model, &head, &layer, [6, 8]).unwrap();
            let mut engines = [TractForm::Dequantised, TractForm::AsIs]
                .map(|form| TractEngine::load(&local, form).unwrap());
            engines
                .each_mut()
                .map(|e| e.run_with_local(image().view()).unwrap().local.unwrap())
        };
        let [floats, _] = run_with(None);
        let [weights, both] = run_with(Some(6.0));
        let peak = floats.iter().fold(0f32, |m, v| m.max(v.abs()));
        for quantised in [&weights, &both] {
            for (a, b) in floats.iter().zip(quantised) {
                assert!((a - b).abs() < 0.05 * peak, "{a} {b}");
            }
        }
        // The map is quantised too where the engine runs the file as it is.
        assert_ne!(weights, both);
    }

    #[test]
    fn the_map_itself_is_an_output() {
        let model = tiny::bytes(&tiny::float_model(INPUT));
        let head = Head::of(&model).unwrap();
        assert_eq!(map_size(&model, &head, INPUT).unwrap(), [6, 8]);
        let map = with_map_output(&model, &head, [6, 8]).unwrap();
        assert_eq!(run(&map).1.unwrap().len(), 4 * 48);
        assert!(matches!(
            with_map_output(&map, &head, [6, 8]),
            Err(LocalOutputError::Outputs(2))
        ));
    }

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
}
