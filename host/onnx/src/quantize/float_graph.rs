//! A float model with layers whose weights can change; writes it in float, or with chosen layers in
//! int8.

use super::QuantizeError;
use super::fold_norms::{FoldedNorms, fold_norms};
use super::int8::{dequantised, quantise_activation, quantise_weight};
use super::layers::{Layer, Shapes, Sum, sums, take};
use super::observe::Observed;
use super::read::read;
use super::simplify::drop_unread;
use crate::proto::build::{floats, model, value_info};
use crate::proto::read::by_name;
use flukewatch_inference::engine::Engine;
use flukewatch_inference::engine::tract::{TractEngine, TractForm};
use ndarray::Array3;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};

/// A float model from one image to one embedding.
#[derive(Clone, Debug)]
pub struct FloatGraph {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    input: String,
    output: String,
    shape: [usize; 3],
    dimension: usize,
    pub(super) layers: Vec<Layer>,
    pub(super) sums: Vec<Sum>,
    norms: FoldedNorms,
}

/// The largest absolute value that int8 represents, for each tensor by name.
pub type Ranges = BTreeMap<String, f32>;

/// What is written in int8.
#[derive(Clone, Copy, Debug)]
pub struct Quantisation<'a> {
    /// The range of each tensor of [`FloatGraph::quantised_tensors`].
    pub ranges: &'a Ranges,
    /// Indices of the layers.
    pub layers: &'a BTreeSet<usize>,
}

impl FloatGraph {
    /// Reads an ONNX file; external weights are read from the folder `beside`.
    ///
    /// # Errors
    /// Names what cannot be quantised, or why tract cannot run the model.
    pub fn of(file: &[u8], beside: Option<&Path>) -> Result<Self, QuantizeError> {
        let mut graph = read(file, beside)?;
        let norms = fold_norms(&mut graph)?;
        let [input] = graph.input.as_slice() else {
            return Err(QuantizeError::Unsupported("it has no input".into()));
        };
        let input = input.name.clone();
        // The engine checks inputs, outputs and nodes, and knows the size of the embedding.
        let engine = TractEngine::load(&model(graph.clone()).encode_to_vec(), TractForm::AsIs)?;
        let (shape, dimension) = (engine.input_shape(), engine.dimension());
        let shapes = shapes(&graph, shape)?;
        let layers = take(&mut graph, &shapes)?;
        let sums = sums(&graph, &layers);
        if layers.iter().all(|l| l.float_reason.is_some()) {
            let why = "it has no Conv, Gemm or MatMul with constant weights";
            return Err(QuantizeError::Unsupported(why.into()));
        }
        Ok(Self {
            output: graph
                .output
                .first()
                .map(|o| o.name.clone())
                .unwrap_or_default(),
            nodes: graph.node,
            constants: graph.initializer,
            input,
            shape,
            dimension,
            layers,
            sums,
            norms,
        })
    }

    /// `[C, H, W]` of the image.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Numbers in an embedding.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// The convolutions and matrix products, in the order of computation.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The folded and the remaining batch norms.
    pub fn norms(&self) -> &FoldedNorms {
        &self.norms
    }

    /// The nodes, in the order of computation; a layer's node has its input only.
    pub(super) fn nodes(&self) -> &[NodeProto] {
        &self.nodes
    }

    /// The indices of the layers that can be quantised.
    pub fn quantisable(&self) -> BTreeSet<usize> {
        let can = |(i, layer): (usize, &Layer)| layer.float_reason.is_none().then_some(i);
        self.layers.iter().enumerate().filter_map(can).collect()
    }

    /// The index of a layer.
    ///
    /// # Errors
    /// When no layer has this name; the error names a similar one.
    pub fn layer_named(&self, name: &str) -> Result<usize, QuantizeError> {
        let at = self.layers.iter().position(|l| l.name == name);
        at.ok_or_else(|| {
            let near = self.layers.iter().map(|l| &l.name);
            let alike = |l: &&String| l.to_lowercase().contains(&name.to_lowercase());
            QuantizeError::NoLayer {
                name: name.to_owned(),
                near: near.clone().find(alike).or(near.clone().next()).cloned(),
            }
        })
    }

    /// The tensors that are quantised where all layers are: inputs of layers and skips of residual
    /// sums.
    pub(super) fn quantised_tensors(&self) -> Vec<String> {
        let inputs = self
            .layers
            .iter()
            .filter(|l| l.float_reason.is_none())
            .map(|l| &l.input);
        let skips = self.sums.iter().map(|s| &s.tensor);
        let mut seen = HashSet::new();
        inputs
            .chain(skips)
            .filter(|t| seen.insert(*t))
            .cloned()
            .collect()
    }

    /// The model in float as an ONNX file.
    pub fn encode(&self) -> Vec<u8> {
        self.write().encode_to_vec()
    }

    /// The model with chosen layers in int8 as an ONNX file.
    pub fn encode_quantised(&self, quantisation: Quantisation<'_>) -> Vec<u8> {
        self.write_quantised(quantisation).encode_to_vec()
    }

    pub(super) fn write(&self) -> ModelProto {
        self.write_with(None)
    }

    pub(super) fn write_quantised(&self, quantisation: Quantisation<'_>) -> ModelProto {
        self.write_with(Some(quantisation))
    }

    fn write_with(&self, quantisation: Option<Quantisation<'_>>) -> ModelProto {
        let mut graph = GraphProto {
            name: "flukewatch".into(),
            input: vec![value_info(
                &self.input,
                &[1, self.shape[0], self.shape[1], self.shape[2]],
            )],
            output: vec![value_info(&self.output, &[1, self.dimension])],
            initializer: self.constants.clone(),
            ..GraphProto::default()
        };
        let layers: HashMap<&str, usize> = self
            .layers
            .iter()
            .enumerate()
            .map(|(i, l)| (l.output.as_str(), i))
            .collect();
        let sums: HashMap<&str, &Sum> = self.sums.iter().map(|s| (s.output.as_str(), s)).collect();
        let mut done = BTreeSet::new();
        let mut quantise = |graph: &mut GraphProto, tensor: &String, ranges: &Ranges| -> String {
            match ranges.get(tensor) {
                None => tensor.clone(),
                Some(range) if done.insert(tensor.clone()) => {
                    quantise_activation(graph, tensor, *range)
                }
                Some(_) => dequantised(tensor),
            }
        };
        for node in &self.nodes {
            let made = node.output.first().map_or("", String::as_str);
            let mut node = node.clone();
            let in_int8 = |layer: usize| quantisation.filter(|q| q.layers.contains(&layer));
            if let Some(&at) = layers.get(made) {
                let layer = &self.layers[at];
                let (weight, bias) = (
                    format!("{}.weight", layer.name),
                    format!("{}.bias", layer.name),
                );
                let weight = if let Some(quantisation) = in_int8(at) {
                    node.input = vec![quantise(&mut graph, &layer.input, quantisation.ranges)];
                    quantise_weight(&mut graph, &weight, &layer.weight, layer.scales.as_deref())
                } else {
                    let tensor = floats(&weight, &layer.weight.shape, &layer.weight.data);
                    graph.initializer.push(tensor);
                    weight
                };
                graph
                    .initializer
                    .push(floats(&bias, &layer.bias.shape, &layer.bias.data));
                node.input.extend([weight, bias]);
            } else if let Some(sum) = sums.get(made)
                && let Some(quantisation) = in_int8(sum.layer)
            {
                node.input[sum.skip] = quantise(&mut graph, &sum.tensor, quantisation.ranges);
            }
            graph.node.push(node);
        }
        drop_unread(&mut graph);
        model(graph)
    }
}

/// The shapes of the inputs of layers and products, by running the model once.
fn shapes(graph: &GraphProto, [c, h, w]: [usize; 3]) -> Result<Shapes, QuantizeError> {
    let constants = by_name(graph);
    let mut seen = HashSet::new();
    let names: Vec<String> = graph
        .node
        .iter()
        .filter(|n| ["Conv", "Gemm", "MatMul", "Mul"].contains(&n.op_type.as_str()))
        .flat_map(|n| &n.input)
        .filter(|i| !i.is_empty() && !constants.contains_key(i.as_str()) && seen.insert(i.as_str()))
        .cloned()
        .collect();
    let found = Observed::of(model(graph.clone()), &names)?.run(&Array3::zeros((c, h, w)))?;
    let shapes = found.iter().map(|tensor| tensor.shape().to_vec());
    Ok(names.into_iter().zip(shapes).collect())
}

#[cfg(test)]
mod tests;
