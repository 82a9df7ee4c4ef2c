//! Cross-layer equalisation (Nagel et al., *Data-Free Quantization Through Weight Equalization and Bias Correction*, ICCV 2019): where a
//! layer's channel is read by one other layer only, and what lies between keeps factors (`f(s x) = s f(x)` for `s > 0`), the channel's
//! weights and bias may be divided by any factor and the other's weights for it multiplied by it: the same function. The factor
//! `sqrt(r1 / r2)` gives both the same range.
//!
//! Relu keeps factors; a Clip between 0 and a number does not, unless its bound is divided too, channel by channel: it then becomes Relu
//! and Min.

use super::constants::{scalar, values};
use super::float_graph::FloatGraph;
use super::layers::Layer;
use crate::export::onnx::{floats, node};
use crate::inspect::graph::name_of;
use serde::Serialize;
use tract_onnx::pb::NodeProto;

/// What was equalised.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Equalised {
    /// The pairs of layers.
    pub pairs: Vec<Pair>,
    /// The layers that could have been the first of a pair but for the activation after them.
    pub skipped: Vec<Skipped>,
    /// Times that all pairs were gone through.
    pub rounds: usize,
}

/// Two layers with shared channels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// The one that makes them.
    pub first: String,
    /// The one that reads them.
    pub second: String,
    /// How much larger the largest than the smallest factor of all channels became.
    pub spread: f32,
    #[serde(skip)]
    places: (usize, usize),
    #[serde(skip)]
    bounds: Vec<String>,
}

/// A layer before something that does not keep factors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The layer.
    pub layer: String,
    /// Why it cannot be equalised.
    pub why: String,
}

/// Rounds at most, and when it is settled: no factor farther from 1 than this.
const ROUNDS: usize = 100;
const SETTLED: f32 = 1e-3;
/// A factor's limits: a dead channel would else get a boundless bias.
const FACTORS: (f32, f32) = (1e-3, 1e3);

/// What keeps factors, channel by channel.
const KEEPS: [&str; 7] = [
    "Relu",
    "LeakyRelu",
    "PRelu",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "GlobalMaxPool",
];
/// Activations that do not.
const BENDS: [&str; 8] = [
    "HardSwish",
    "HardSigmoid",
    "Sigmoid",
    "Tanh",
    "Elu",
    "Selu",
    "Softplus",
    "Erf",
];

/// Equalises all pairs, in place, until nothing changes. With `clips`, a Clip between 0 and a number becomes a Relu and a Min with a bound
/// for each channel, where a pair is won by it.
pub fn equalise(graph: &mut FloatGraph, clips: bool) -> Equalised {
    let mut found = Equalised::default();
    if clips {
        open_clips(graph);
    }
    for first in graph.roundable() {
        match follow(graph, first) {
            Way::To { second, bounds } => found.pairs.push(Pair {
                first: graph.layers[first].name.clone(),
                second: graph.layers[second].name.clone(),
                spread: 1.0,
                places: (first, second),
                bounds,
            }),
            Way::Blocked(why) => found.skipped.push(Skipped {
                layer: graph.layers[first].name.clone(),
                why,
            }),
            Way::Clipped { .. } => found.skipped.push(Skipped {
                layer: graph.layers[first].name.clone(),
                why: "a Clip with an upper bound follows, which a factor would move".into(),
            }),
            Way::Open => {}
        }
    }
    let mut reached: Vec<Vec<f32>> = found
        .pairs
        .iter()
        .map(|p| vec![1.0; graph.layers[p.places.0].outputs()])
        .collect();
    while found.rounds < ROUNDS {
        found.rounds += 1;
        let mut farthest = 0f32;
        for (pair, reached) in found.pairs.iter().zip(&mut reached) {
            let factors = balance(graph, pair);
            for (total, factor) in reached.iter_mut().zip(&factors) {
                *total *= factor;
                farthest = farthest.max(factor.max(1.0 / factor) - 1.0);
            }
        }
        if farthest < SETTLED {
            break;
        }
    }
    for (pair, reached) in found.pairs.iter_mut().zip(&reached) {
        let (low, high) = reached
            .iter()
            .fold((f32::INFINITY, 0f32), |(l, h), f| (l.min(*f), h.max(*f)));
        pair.spread = high / low;
    }
    found
}

/// Where the channels of a layer go.
enum Way {
    /// To one other layer, through what keeps factors and these bounds.
    To { second: usize, bounds: Vec<String> },
    /// To a Clip between 0 and a number.
    Clipped { node: NodeProto, high: f32 },
    /// To an activation that does not keep factors.
    Blocked(String),
    /// To several readers, the output, or something that mixes channels.
    Open,
}

fn follow(graph: &FloatGraph, first: usize) -> Way {
    let layer = &graph.layers[first];
    let mut tensor = layer.output.clone();
    let mut bounds = vec![];
    loop {
        if tensor == graph.output() {
            return Way::Open;
        }
        let reads = |n: &&NodeProto| n.input.contains(&tensor);
        let mut readers = graph.nodes().iter().filter(reads);
        let (Some(reader), None) = (readers.next(), readers.next()) else {
            return Way::Open;
        };
        let made = reader.output.first().cloned().unwrap_or_default();
        if let Some(second) = graph.layers.iter().position(|l| l.output == made) {
            let other = &graph.layers[second];
            return if other.stays.is_none() && other.inputs() == layer.outputs() {
                Way::To { second, bounds }
            } else {
                Way::Open
            };
        }
        let operator = reader.op_type.as_str();
        let constant = |i: usize| graph.constant(reader.input.get(i)?.as_str());
        let bound = |i: usize| match reader.input.get(i).filter(|n| !n.is_empty()) {
            None => Some(None),
            Some(_) => constant(i).and_then(scalar).map(Some),
        };
        match operator {
            "Clip" => match (bound(1), bound(2)) {
                (Some(Some(0.0)), Some(None)) => {}
                (Some(Some(0.0)), Some(Some(high))) if high.is_infinite() => {}
                (Some(Some(0.0)), Some(Some(high))) if high > 0.0 => {
                    return Way::Clipped {
                        node: reader.clone(),
                        high,
                    };
                }
                _ => {
                    let why = format!(
                        "'{}' (Clip) follows, with bounds that a factor would move",
                        name_of(reader)
                    );
                    return Way::Blocked(why);
                }
            },
            "Min"
                if constant(1).and_then(values).is_some_and(|b| {
                    b.data.len() == layer.outputs() && b.shape.get(1) == Some(&layer.outputs())
                }) =>
            {
                bounds.push(reader.input[1].clone());
            }
            // A map of one row and column; where it has more, the number of channels no longer fits.
            "Flatten" => {}
            operator if KEEPS.contains(&operator) => {}
            operator if BENDS.contains(&operator) => {
                let why = format!(
                    "'{}' ({operator}) follows, which does not keep factors",
                    name_of(reader)
                );
                return Way::Blocked(why);
            }
            _ => return Way::Open,
        }
        tensor = made;
    }
}

/// Every Clip between 0 and a number that alone stands between a layer and another one, as Relu and Min.
fn open_clips(graph: &mut FloatGraph) {
    for first in graph.roundable() {
        // A copy shows whether a pair is won.
        let mut tried = graph.clone();
        let mut opened = false;
        while let Way::Clipped { node: clip, high } = follow(&tried, first) {
            let layer = &tried.layers[first];
            let (Some(source), Some(made)) =
                (clip.input.first().cloned(), clip.output.first().cloned())
            else {
                break;
            };
            let mut shape = vec![1; layer.weight.shape.len()];
            shape[1] = layer.outputs();
            let (open, bound) = (format!("{made}.open"), format!("{made}.bound"));
            let values = vec![high; layer.outputs()];
            tried.set_constant(floats(&bound, &shape, &values));
            let relu = node("Relu", &open, &[&source], &open, vec![]);
            let min = node(
                "Min",
                &format!("{}.bounded", name_of(&clip)),
                &[&open, &bound],
                &made,
                vec![],
            );
            tried.replace(&made, vec![relu, min]);
            opened = true;
        }
        if opened && matches!(follow(&tried, first), Way::To { .. }) {
            *graph = tried;
        }
    }
}

/// Gives every channel of a pair the same range on both sides; the factors.
fn balance(graph: &mut FloatGraph, pair: &Pair) -> Vec<f32> {
    let (first, second) = pair.places;
    let mut factors = Vec::with_capacity(graph.layers[first].outputs());
    for channel in 0..graph.layers[first].outputs() {
        let before = largest(row(&mut graph.layers[first], channel));
        let after = columns(&mut graph.layers[second], channel)
            .map(|w| w.abs())
            .fold(0.0, f32::max);
        let factor = if before > 0.0 && after > 0.0 {
            (before / after).sqrt().clamp(FACTORS.0, FACTORS.1)
        } else {
            1.0
        };
        row(&mut graph.layers[first], channel)
            .iter_mut()
            .for_each(|w| *w /= factor);
        graph.layers[first].bias.data[channel] /= factor;
        columns(&mut graph.layers[second], channel).for_each(|w| *w *= factor);
        factors.push(factor);
    }
    for name in &pair.bounds {
        if let Some(mut bound) = graph.constant(name).and_then(values) {
            for (bound, factor) in bound.data.iter_mut().zip(&factors) {
                *bound /= factor;
            }
            graph.set_constant(floats(name, &bound.shape, &bound.data));
        }
    }
    factors
}

fn largest(weights: &[f32]) -> f32 {
    weights.iter().fold(0.0, |m, w| m.max(w.abs()))
}

/// The weights that make a channel.
fn row(layer: &mut Layer, channel: usize) -> &mut [f32] {
    let per_row = layer.weight.data.len() / layer.outputs().max(1);
    &mut layer.weight.data[channel * per_row..(channel + 1) * per_row]
}

/// The weights that read a channel: in each row of its group.
fn columns(layer: &mut Layer, channel: usize) -> impl Iterator<Item = &mut f32> {
    let (rows, per_group) = (layer.outputs() / layer.groups, layer.weight.shape[1]);
    let kernel: usize = layer.weight.shape[2..].iter().product();
    let (group, within) = (channel / per_group, channel % per_group);
    layer
        .weight
        .data
        .chunks_exact_mut(per_group * kernel)
        .skip(group * rows)
        .take(rows)
        .flat_map(move |row| row[within * kernel..(within + 1) * kernel].iter_mut())
}

#[cfg(test)]
mod tests;
