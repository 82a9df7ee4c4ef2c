//! The float model as layers with weights that can be changed, and how it is written: as it is, or with chosen layers in int8.

use super::constants::by_name;
use super::fold::{Folded, fold};
use super::layers::{Layer, Shapes, Sum, sums, take};
use super::{QuantizeError, read};
use crate::export::calibrate::Ranges;
use crate::export::observe::Observed;
use crate::export::onnx::{floats, model, value_info};
use crate::export::quantise::{rounded_activation, rounded_name, rounded_weight};
use flukewatch_common::engine::Engine;
use flukewatch_common::engine::tract::{TractEngine, TractForm};
use ndarray::Array3;
use prost::Message;
use std::collections::{BTreeSet, HashMap, HashSet};
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
    /// The convolutions and matrices, in the order of computation.
    pub layers: Vec<Layer>,
    sums: Vec<Sum>,
    /// What became of its normalisations.
    pub norms: Folded,
}

/// The layers that are rounded, and how far their inputs reach.
#[derive(Clone, Copy, Debug)]
pub struct Rounding<'a> {
    /// The range of each tensor of [`FloatGraph::rounded_tensors`].
    pub ranges: &'a Ranges,
    /// Places of layers.
    pub layers: &'a BTreeSet<usize>,
}

impl FloatGraph {
    /// Of an ONNX file; its weights may lie in files of the folder `beside`.
    ///
    /// # Errors
    /// Naming what cannot be quantised, or why tract cannot run it.
    pub fn of(file: &[u8], beside: Option<&Path>) -> Result<Self, QuantizeError> {
        let mut graph = read::read(file, beside)?;
        let norms = fold(&mut graph)?;
        let [input] = graph.input.as_slice() else {
            return Err(QuantizeError::Unfit("it has no input".into()));
        };
        let input = input.name.clone();
        // The engine says what it does not like of inputs, outputs and nodes, and how many numbers come out.
        let engine = TractEngine::load(&model(graph.clone()).encode_to_vec(), TractForm::AsIs)?;
        let (shape, dimension) = (engine.input_shape(), engine.dimension());
        let shapes = shapes(&graph, shape)?;
        let layers = take(&mut graph, &shapes)?;
        let sums = sums(&graph, &layers);
        if layers.iter().all(|l| l.stays.is_some()) {
            let why = "it has no Conv, Gemm or MatMul with constant weights that could be rounded";
            return Err(QuantizeError::Unfit(why.into()));
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

    /// Numbers of an embedding.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// The name of the embedding.
    pub fn output(&self) -> &str {
        &self.output
    }

    /// The nodes, in the order of computation; a layer's node has its input only.
    pub fn nodes(&self) -> &[NodeProto] {
        &self.nodes
    }

    /// A constant that belongs to no layer.
    pub fn constant(&self, name: &str) -> Option<&TensorProto> {
        self.constants.iter().find(|t| t.name == name)
    }

    /// Sets a constant that belongs to no layer.
    pub(super) fn set_constant(&mut self, tensor: TensorProto) {
        self.constants.retain(|t| t.name != tensor.name);
        self.constants.push(tensor);
    }

    /// Puts nodes in the place of the one that makes `output`.
    pub(super) fn replace(&mut self, output: &str, with: Vec<NodeProto>) {
        if let Some(at) = self
            .nodes
            .iter()
            .position(|n| n.output.first().is_some_and(|o| o == output))
        {
            self.nodes.splice(at..=at, with);
        }
    }

    /// The places of all layers that can be rounded.
    pub fn roundable(&self) -> BTreeSet<usize> {
        let can = |(i, layer): (usize, &Layer)| layer.stays.is_none().then_some(i);
        self.layers.iter().enumerate().filter_map(can).collect()
    }

    /// The place of a layer.
    ///
    /// # Errors
    /// When there is none of this name; a like one is told.
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

    /// The residual sums.
    pub fn skips(&self) -> &[Sum] {
        &self.sums
    }

    /// The tensors that are rounded where all layers are: inputs of layers, and skips of sums.
    pub fn rounded_tensors(&self) -> Vec<String> {
        let inputs = self
            .layers
            .iter()
            .filter(|l| l.stays.is_none())
            .map(|l| &l.input);
        let skips = self.sums.iter().map(|s| &s.tensor);
        let mut seen = HashSet::new();
        inputs
            .chain(skips)
            .filter(|t| seen.insert(*t))
            .cloned()
            .collect()
    }

    /// The model in floats.
    pub fn write(&self) -> ModelProto {
        self.write_with(None)
    }

    /// The model with chosen layers in int8.
    pub fn write_rounded(&self, rounding: Rounding<'_>) -> ModelProto {
        self.write_with(Some(rounding))
    }

    fn write_with(&self, rounding: Option<Rounding<'_>>) -> ModelProto {
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
        let mut round = |graph: &mut GraphProto, tensor: &String, ranges: &Ranges| -> String {
            match ranges.get(tensor) {
                None => tensor.clone(),
                Some(range) if done.insert(tensor.clone()) => {
                    rounded_activation(graph, tensor, *range)
                }
                Some(_) => rounded_name(tensor),
            }
        };
        for node in &self.nodes {
            let made = node.output.first().map_or("", String::as_str);
            let mut node = node.clone();
            let with = |layer: usize| rounding.filter(|r| r.layers.contains(&layer));
            if let Some(&at) = layers.get(made) {
                let layer = &self.layers[at];
                let (weight, bias) = (
                    format!("{}.weight", layer.name),
                    format!("{}.bias", layer.name),
                );
                let weight = if let Some(rounding) = with(at) {
                    node.input = vec![round(&mut graph, &layer.input, rounding.ranges)];
                    rounded_weight(&mut graph, &weight, &layer.weight, layer.steps.as_deref())
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
                && let Some(rounding) = with(sum.layer)
            {
                node.input[sum.skip] = round(&mut graph, &sum.tensor, rounding.ranges);
            }
            graph.node.push(node);
        }
        super::constants::drop_unread(&mut graph);
        model(graph)
    }
}

/// The shapes of what layers, products and matrices read, by running the model once.
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
