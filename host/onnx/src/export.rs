//! From trained weights to the ONNX model for a boat.
//!
//! A [`Network`] and its weights become steps with their batch norms folded, these are written as a
//! float model, and [`crate::quantize`] makes an int8 model of it, as of any other float model.

mod folded;
mod writer;

use crate::quantize::{FloatGraph, Quantisation, QuantizeError, ranges};
use flukewatch_network::quantisation::{is_quantised, learned_range};
use flukewatch_network::weights::{Weights, WeightsError, select};
use flukewatch_network::{Network, Node, NodeId, shapes_of};
use folded::{Folded, fold_nodes};
use ndarray::Array3;
use prost::Message;
use std::collections::BTreeSet;
use std::path::Path;

/// Why a model cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The weights are not the network's.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The float model cannot be quantised.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
}

/// The network as an ONNX file of 32-bit floats, for one normalised image `[1, C, height, width]
/// f32`, to one embedding `[1, D] f32` of length 1.
///
/// # Errors
/// When weights are missing or of another shape.
pub fn float_model(
    network: &Network,
    weights: &Weights,
    height: usize,
    width: usize,
) -> Result<Vec<u8>, WeightsError> {
    let folded = fold(network, weights, height, width)?;
    Ok(writer::embedding_model(&folded).encode_to_vec())
}

/// The same in int8. Ranges are measured on `photos`, normalised `[C, height, width]`, except those
/// that quantisation-aware training has learned.
///
/// # Errors
/// When weights are missing or of another shape, or ranges cannot be measured on the photos.
pub fn int8_model(
    network: &Network,
    weights: &Weights,
    height: usize,
    width: usize,
    photos: &[Array3<f32>],
) -> Result<Vec<u8>, ExportError> {
    let folded = fold(network, weights, height, width)?;
    let graph = FloatGraph::of(&writer::embedding_model(&folded).encode_to_vec(), None)?;
    let in_int8: BTreeSet<String> = folded
        .steps
        .iter()
        .enumerate()
        .filter(|(_, step)| is_quantised(&network.nodes[step.node]))
        .map(|(id, _)| writer::tensor(id))
        .collect();
    let layers = graph
        .quantisable()
        .into_iter()
        .filter(|&layer| in_int8.contains(&graph.layers()[layer].name))
        .collect();
    let mut ranges = ranges(&graph, photos, &|| {})?;
    for (id, step) in folded.steps.iter().enumerate() {
        let learned = weights.get(&learned_range(step.node));
        if let (Some(range), Some(learned)) = (
            ranges.get_mut(&writer::tensor(id)),
            learned.and_then(|v| v.data.first()),
        ) {
            *range = *learned;
        }
    }
    let quantisation = Quantisation {
        ranges: &ranges,
        layers: &layers,
    };
    Ok(graph.encode_quantised(quantisation))
}

/// The float model of `nodes` for one image of `[C, H, W]`, whose output is the maps of the nodes
/// `outputs`, each row by row, one after another: `[1, N]` under the name `output`. `weights` holds
/// every parameter of the nodes.
pub fn maps_model(
    nodes: &[Node],
    weights: &Weights,
    image: [usize; 3],
    outputs: &[NodeId],
    output: &str,
) -> Vec<u8> {
    let shapes = shapes_of(nodes, image);
    let steps = fold_nodes(nodes, &shapes, weights);
    let numbers = outputs
        .iter()
        .map(|&node| shapes[node].iter().product::<usize>())
        .sum();
    let outputs: Vec<usize> = outputs
        .iter()
        .filter_map(|&node| steps.iter().position(|s| s.node == node))
        .collect();
    writer::maps_model(&steps, image, &outputs, numbers, output).encode_to_vec()
}

fn fold(
    network: &Network,
    weights: &Weights,
    height: usize,
    width: usize,
) -> Result<Folded, WeightsError> {
    let weights = select(network, weights, Path::new("the trained weights"), |_| true)?;
    let shapes = network.shapes(height, width);
    Ok(Folded {
        steps: fold_nodes(&network.nodes, &shapes, &weights),
        input: [network.channels, height, width],
        dimension: network.dimension,
        slices: network.slices,
    })
}

#[cfg(test)]
mod tests;
