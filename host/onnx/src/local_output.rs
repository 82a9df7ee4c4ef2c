//! The second output of a model: local descriptors for local matching.
//!
//! The head of an embedding model is average pooling, a normalisation and a linear layer. Pooling and linear layers commute, so the
//! embedding is the mean of what normalisation and linear layer give for each location of the last feature map. [`Head::of`] finds that
//! map and folds both into one layer; [`with_local_output`] adds a 1 x 1 convolution on the map, e.g. this layer followed by a projection.
//! The nodes of the embedding stay as they are, so that it does not change by a bit.
//!
//! Descriptors of a fine grid come from the last map of twice the size ([`fine_map`]), where the network is narrowest: the input of the block
//! that halves it. A convolution of 2 x 2 with a stride of 2 puts the four of them that lie in one location of the last map side by side, so
//! that both grids are one output.

mod maps;

pub use maps::{FeatureMap, Head, fine_map, head_map};

use crate::proto::build::{floats, integer, integers, node, value_info};
use crate::quantize::histogram::Histogram;
use crate::quantize::{quantise_activation, quantise_weight};
use flukewatch_inference::engine::EngineError;
use flukewatch_network::weights::Values;
use ndarray::{Array1, Array2};
use prost::Message;
use std::collections::HashSet;
use tract_onnx::pb::{GraphProto, ModelProto};

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
    /// No map of twice the size of the last one is found.
    #[error("the model has no map for a fine grid: {0}")]
    FineMap(String),
    /// Its head is of another form.
    #[error(
        "the model's head is not average pooling, an optional normalisation and a linear layer: {0}"
    )]
    Head(String),
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

/// The model with a map itself as a second output.
///
/// # Errors
/// When the model cannot be read or has another output.
pub fn with_map_output(model: &[u8], map: &FeatureMap) -> Result<Vec<u8>, LocalOutputError> {
    let mut model = single_output(model)?;
    let graph = graph_mut(&mut model)?;
    let [height, width] = map.size;
    let shape = [1, map.channels, height, width];
    graph
        .node
        .push(node("Identity", OUTPUT, &[&map.name], OUTPUT, vec![]));
    graph.output.push(value_info(OUTPUT, &shape));
    Ok(model.encode_to_vec())
}

/// A map with the layer that computes descriptors from it.
pub type Described<'a> = (&'a FeatureMap, &'a LocalLayer);

/// The model with the second output [`OUTPUT`]: a layer applied to each location of the head's map, and where there is a fine map, a layer
/// applied to each of its locations, in the form of `flukewatch_common::local_matching::ViewMap`.
///
/// # Errors
/// When the model cannot be read or has another output.
pub fn with_local_output(
    model: &[u8],
    coarse: Described<'_>,
    fine: Option<Described<'_>>,
) -> Result<Vec<u8>, LocalOutputError> {
    let mut model = single_output(model)?;
    let graph = graph_mut(&mut model)?;
    let (map, layer) = coarse;
    let rows = layer.weights.nrows();
    let [height, width] = map.size;
    let channels = match fine {
        None => {
            let weights = kernels(&layer.weights, [[1.0]]);
            convolution(graph, map, layer, &weights, OUTPUT, OUTPUT);
            rows
        }
        Some((fine_map, fine_layer)) => {
            let weights = kernels(&layer.weights, [[1.0]]);
            convolution(graph, map, layer, &weights, OUTPUT, COARSE);
            let quarter = |at: usize| {
                let mut place = [[0.0; 2]; 2];
                place[at / 2][at % 2] = 1.0;
                kernels(&fine_layer.weights, place)
            };
            let data = (0..4).flat_map(|at| quarter(at).data).collect();
            let (values, inputs) = fine_layer.weights.dim();
            let weights = Values {
                shape: vec![4 * values, inputs, 2, 2],
                data,
            };
            convolution(graph, fine_map, fine_layer, &weights, FINE, FINE);
            let axis = vec![integer("axis", 1)];
            let both = node("Concat", OUTPUT, &[COARSE, FINE], OUTPUT, axis);
            graph.node.push(both);
            rows + 4 * values
        }
    };
    let output = value_info(OUTPUT, &[1, channels, height, width]);
    graph.output.push(output);
    Ok(model.encode_to_vec())
}

/// `[channels, C] f32` as the kernels of a convolution, with each weight at the ones of `place`.
fn kernels<const N: usize>(weights: &Array2<f32>, place: [[f32; N]; N]) -> Values {
    let (rows, columns) = weights.dim();
    let place = place.as_flattened();
    Values {
        shape: vec![rows, columns, N, N],
        data: weights
            .iter()
            .flat_map(|weight| place.iter().map(move |at| at * weight))
            .collect(),
    }
}

/// Adds the convolution of a map with `weights`, without overlap; its constants begin with `name`.
fn convolution(
    graph: &mut GraphProto,
    map: &FeatureMap,
    layer: &LocalLayer,
    weights: &Values,
    name: &str,
    output: &str,
) {
    let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
    let (input, weight) = match layer.range {
        Some(range) => (
            quantised(graph, &map.name)
                .unwrap_or_else(|| quantise_activation(graph, &map.name, range)),
            quantise_weight(graph, &weight, weights, None),
        ),
        None => {
            let tensor = floats(&weight, &weights.shape, &weights.data);
            graph.initializer.push(tensor);
            (map.name.clone(), weight)
        }
    };
    let repeated: Vec<f32> = layer
        .bias
        .iter()
        .copied()
        .cycle()
        .take(weights.shape[0])
        .collect();
    graph
        .initializer
        .push(floats(&bias, &[repeated.len()], &repeated));
    let side = weights.shape[3];
    let mut attributes = vec![integers("kernel_shape", &[side, side])];
    if side > 1 {
        attributes.push(integers("strides", &[side, side]));
    }
    let inputs = [input.as_str(), &weight, &bias];
    graph
        .node
        .push(node("Conv", output, &inputs, output, attributes));
}

/// The tensor that is a map in int8, where the model reads it so already.
fn quantised(graph: &GraphProto, map: &str) -> Option<String> {
    let reader = |tensor: &str, operator: &str| {
        let mut readers = graph.node.iter();
        let found =
            readers.find(|n| n.op_type == operator && n.input.first().is_some_and(|i| i == tensor));
        found.and_then(|n| n.output.first().cloned())
    };
    reader(&reader(map, "QuantizeLinear")?, "DequantizeLinear")
}

const COARSE: &str = "local.coarse";
const FINE: &str = "local.fine";

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::fixtures::{conv, drawn, model as fixture};
    use flukewatch_inference::engine::Engine;
    use flukewatch_inference::engine::tract::{TractEngine, TractForm};
    use flukewatch_inference::samples::onnx as tiny;
    use ndarray::{Array3, Axis};

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
            let map = head_map(&model, &head, INPUT).unwrap();
            let local = with_local_output(&model, (&map, &layer), None).unwrap();
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
            let map = head_map(&model, &head, INPUT).unwrap();
            let local = with_local_output(&model, (&map, &layer), None).unwrap();
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
        let found = head_map(&model, &head, INPUT).unwrap();
        assert_eq!((found.channels, found.size), (4, [6, 8]));
        let map = with_map_output(&model, &found).unwrap();
        assert_eq!(run(&map).1.unwrap().len(), 4 * 48);
        assert!(matches!(
            with_map_output(&map, &found),
            Err(LocalOutputError::Outputs(2))
        ));
    }

    /// A block that widens `stem` and halves it with a depthwise convolution, as in EfficientNet.
    fn halving() -> Vec<u8> {
        let mut constants = vec![];
        for (name, shape) in [
            ("stem", [3, 1, 3, 3]),
            ("wide", [6, 3, 1, 1]),
            ("deep", [6, 1, 3, 3]),
            ("narrow", [4, 6, 1, 1]),
        ] {
            let data = drawn(shape.iter().product(), name.len());
            constants.push(floats(&format!("{name}_w"), &shape, &data));
        }
        constants.push(floats("gemm_w", &[5, 4], &drawn(20, 3)));
        let nodes = vec![
            conv("stem", "image", 3, 1, 1, false),
            conv("wide", "stem", 1, 1, 1, false),
            node("Relu", "relu", &["wide"], "relu", vec![]),
            conv("deep", "relu", 3, 2, 6, false),
            conv("narrow", "deep", 1, 1, 1, false),
            node("GlobalAveragePool", "pooled", &["narrow"], "pooled", vec![]),
            node("Flatten", "flat", &["pooled"], "flat", vec![]),
            node(
                "Gemm",
                "embedding",
                &["flat", "gemm_w"],
                "embedding",
                vec![integer("transB", 1)],
            ),
        ];
        fixture(INPUT, 5, nodes, constants).encode_to_vec()
    }

    #[test]
    fn the_fine_grid_lies_beside_the_coarse_one() {
        let model = halving();
        let head = Head::of(&model).unwrap();
        let coarse = head_map(&model, &head, INPUT).unwrap();
        assert_eq!(coarse.size, [3, 4]);
        let fine = fine_map(&model, &coarse, INPUT).unwrap();
        let expected = FeatureMap {
            name: "stem".into(),
            channels: 3,
            size: [6, 8],
        };
        assert_eq!(fine, expected);
        let layer = LocalLayer {
            weights: head.weights.clone(),
            bias: head.bias.clone(),
            range: None,
        };
        let fine_layer = LocalLayer {
            weights: Array2::from_shape_vec((2, 3), drawn(6, 1)).unwrap(),
            bias: Array1::from(vec![0.5, -0.25]),
            range: None,
        };
        let both =
            with_local_output(&model, (&coarse, &layer), Some((&fine, &fine_layer))).unwrap();
        let (embedding, output) = run(&both);
        assert_eq!(embedding, run(&model).0);
        let output = output.unwrap();
        let alone = with_local_output(&model, (&coarse, &layer), None).unwrap();
        let (blocks, quarters) = output.split_at(5 * 12);
        assert_eq!(blocks, run(&alone).1.unwrap());
        let map = run(&with_map_output(&model, &fine).unwrap()).1.unwrap();
        assert_eq!(quarters.len(), 4 * 2 * 12);
        for (number, got) in quarters.iter().enumerate() {
            let (block, at) = (number / 12, number % 12);
            let (quarter, value) = (block / 2, block % 2);
            let (row, column) = (2 * (at / 4) + quarter / 2, 2 * (at % 4) + quarter % 2);
            let terms =
                (0..3).map(|c| fine_layer.weights[[value, c]] * map[c * 48 + row * 8 + column]);
            let expected = terms.sum::<f32>() + fine_layer.bias[value];
            assert!((got - expected).abs() < 1e-5, "{number}: {got} {expected}");
        }
        assert_eq!(without_local_output(&both).unwrap(), model);
    }
}
