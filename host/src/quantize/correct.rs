//! Bias correction (Nagel et al., *Data-Free Quantization Through Weight Equalization and Bias Correction*, ICCV 2019, in its form with
//! data): what rounding adds to a layer's output on the average of photos is taken off its bias, which stays in float.
//!
//! Layer by layer from the image on, with all layers before it rounded and corrected: what they still get wrong on average is made good
//! too.

use super::QuantizeError;
use super::float_graph::{FloatGraph, Rounding};
use super::photos::{Images, Tick, each};
use crate::export::calibrate::Ranges;
use crate::export::observe::{Observed, numbers};
use crate::export::onnx::{integer, integers, node};
use serde::Serialize;
use std::collections::BTreeSet;
use tract_onnx::pb::ModelProto;

/// How far a layer's bias was moved.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Correction {
    /// Its name.
    pub layer: String,
    /// The mean over its channels of how far each bias moved.
    pub mean: f32,
    /// The farthest.
    pub largest: f32,
    /// The same as a share of the mean absolute output of that channel, the layer's mean.
    pub share: f32,
}

/// Moves the biases of the layers that `rounding` names, in place. Takes a pass over the images in float and one for each layer, up to
/// that layer; `tick` is called after each image of each.
///
/// # Errors
/// When a model does not run or a photo cannot be used.
pub fn correct(
    graph: &mut FloatGraph,
    ranges: &Ranges,
    layers: &BTreeSet<usize>,
    images: &(impl Images + ?Sized),
    tick: Tick<'_>,
) -> Result<Vec<Correction>, QuantizeError> {
    let places: Vec<usize> = layers.iter().copied().collect();
    let float = means(graph, graph.write(), &places, images, tick)?;
    let mut corrections = vec![];
    for (&place, float) in places.iter().zip(&float) {
        let rounded = graph.write_rounded(Rounding { ranges, layers });
        let rounded = means(graph, rounded, &[place], images, tick)?;
        let Some(rounded) = rounded.first() else {
            continue;
        };
        let layer = &mut graph.layers[place];
        let moves: Vec<f32> = float
            .iter()
            .zip(rounded)
            .map(|(f, r)| (f - r) as f32)
            .collect();
        for (bias, by) in layer.bias.data.iter_mut().zip(&moves) {
            *bias += by;
        }
        let mean =
            |values: &mut dyn Iterator<Item = f32>| values.sum::<f32>() / moves.len().max(1) as f32;
        let moved = mean(&mut moves.iter().map(|m| m.abs()));
        let size = mean(&mut float.iter().map(|f| f.abs() as f32));
        corrections.push(Correction {
            layer: layer.name.clone(),
            mean: moved,
            largest: moves.iter().fold(0.0, |m, v| m.max(v.abs())),
            share: if size > 0.0 { moved / size } else { 0.0 },
        });
    }
    Ok(corrections)
}

/// The mean of each channel of the layers' outputs, before any activation, over rows, columns and images.
fn means(
    graph: &FloatGraph,
    mut model: ModelProto,
    places: &[usize],
    images: &(impl Images + ?Sized),
    tick: Tick<'_>,
) -> Result<Vec<Vec<f64>>, QuantizeError> {
    let mut names = vec![];
    for &place in places {
        let layer = &graph.layers[place];
        if layer.operator == "Gemm" {
            names.push(layer.output.clone());
            continue;
        }
        let name = format!("{}.mean", layer.output);
        let axes: Vec<usize> = (2..layer.weight.shape.len()).collect();
        let attributes = vec![integers("axes", &axes), integer("keepdims", 0)];
        if let Some(graph) = model.graph.as_mut() {
            let mean = node("ReduceMean", &name, &[&layer.output], &name, attributes);
            graph.node.push(mean);
        }
        names.push(name);
    }
    let observed = Observed::of(model, &names)?;
    let all = each(images, tick, |_, image| {
        let outputs = observed.run(image)?;
        let channels = outputs.iter().map(|o| numbers(o));
        Ok(channels.collect::<Result<Vec<_>, _>>()?)
    })?;
    let mut sums: Vec<Vec<f64>> = places
        .iter()
        .map(|&p| vec![0.0; graph.layers[p].outputs()])
        .collect();
    for photo in &all {
        for (sums, channels) in sums.iter_mut().zip(photo) {
            for (sum, value) in sums.iter_mut().zip(channels) {
                *sum += f64::from(*value) / all.len() as f64;
            }
        }
    }
    Ok(sums)
}

#[cfg(test)]
mod tests;
