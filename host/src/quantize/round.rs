//! Weights rounded by what they are multiplied with: not each weight stays nearest to what it was, but what a layer makes of photos.
//!
//! A layer's output over photos is `W x + b`; rounded it is `Q x' + b'`, where `x'` comes from layers that are rounded already. Layer by layer
//! from the image on: the float weights that make the most of `x'` by least squares, held to the old ones where photos say little; those
//! rounded by the nearest plane ([`lattice`]), so that what one weight loses the next ones give back; and the bias that makes the means the
//! same. All of it changes no more than the numbers in the file, and is free at run time.
//!
//! After GPTQ (Frantar et al., ICLR 2023) and its form that makes good what earlier layers lost (GPTAQ: Li et al., ICML 2025).

mod lattice;
mod patches;

use super::QuantizeError;
use super::float_graph::{FloatGraph, Rounding};
use super::photos::{Images, Tick, each};
use crate::export::calibrate::Ranges;
use crate::export::observe::{Observed, numbers};
use lattice::Cholesky;
use ndarray::{Array1, Array2, Axis};
use patches::Walk;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeSet;
use tract_onnx::pb::ModelProto;

/// Places of a layer's output that are looked at, over all photos.
const PLACES: usize = 8192;
/// Added to the diagonal of what inputs have in common, as a share of its mean: so little is what photos must say to be believed.
const DAMPING: f64 = 0.01;
/// The largest code.
const LARGEST: f64 = 127.0;

/// What rounding a layer cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rounded {
    /// Its name.
    pub layer: String,
    /// Mean squared error of its output over that output's variance, each weight rounded to its nearest and the bias corrected.
    pub nearest: f64,
    /// The same, rounded by what it is multiplied with.
    pub fitted: f64,
}

/// Rounds the weights of `layers` in place and moves their biases. Takes two passes over the images for each layer, up to that layer; `tick`
/// is called after each image of each. A layer whose inputs cannot be told is left as it is, to be rounded to the nearest.
///
/// # Errors
/// When a model does not run or a photo cannot be used.
pub fn round(
    graph: &mut FloatGraph,
    ranges: &Ranges,
    layers: &BTreeSet<usize>,
    images: &(impl Images + ?Sized),
    tick: Tick<'_>,
) -> Result<Vec<Rounded>, QuantizeError> {
    let float = graph.clone();
    let mut rounded = vec![];
    for &place in layers {
        let layer = &float.layers[place];
        let node = float
            .nodes()
            .iter()
            .find(|n| n.output.first() == Some(&layer.output));
        let Some(walk) = node.and_then(|node| Walk::of(layer, node)) else {
            continue;
        };
        let wanted = seen(float.write(), &layer.input, &walk, images, tick)?;
        let so_far = graph.write_rounded(Rounding { ranges, layers });
        let got = seen(so_far, &layer.input, &walk, images, tick)?;
        let rows = layer.outputs() / layer.groups;
        let width = walk.width(layer.inputs());
        let groups: Vec<Group> = wanted
            .into_par_iter()
            .zip(got)
            .enumerate()
            .map(|(group, (wanted, got))| {
                let from = group * rows;
                let weights = &layer.weight.data[from * width..(from + rows) * width];
                Group::round(weights, &wanted, &got)
            })
            .collect();
        if groups.is_empty() {
            continue;
        }
        let layer = &mut graph.layers[place];
        layer.weight.data = groups
            .iter()
            .flat_map(|g| g.weights.iter().copied())
            .collect();
        layer.steps = Some(
            groups
                .iter()
                .flat_map(|g| g.steps.iter().copied())
                .collect(),
        );
        let moves = groups.iter().flat_map(|g| &g.moves);
        for (bias, by) in layer.bias.data.iter_mut().zip(moves) {
            *bias += *by as f32;
        }
        let total = |of: fn(&Group) -> f64| groups.iter().map(of).sum::<f64>();
        let all = total(|g| g.variance).max(f64::MIN_POSITIVE);
        rounded.push(Rounded {
            layer: layer.name.clone(),
            nearest: total(|g| g.nearest) / all,
            fitted: total(|g| g.fitted) / all,
        });
    }
    Ok(rounded)
}

/// For each group `[places, width]`: what the layer's weights are multiplied with over all images.
fn seen(
    model: ModelProto,
    input: &str,
    walk: &Walk,
    images: &(impl Images + ?Sized),
    tick: Tick<'_>,
) -> Result<Vec<Array2<f32>>, QuantizeError> {
    let observed = Observed::of(model, &[input.to_owned()])?;
    let count = PLACES.div_ceil(images.count().max(1));
    let photos = each(images, tick, |photo, image| {
        let found = observed.run(image)?;
        let Some(tensor) = found.first() else {
            return Ok(vec![]);
        };
        walk.patches(&numbers(tensor)?, tensor.shape(), count, photo)
    })?;
    let groups = photos.first().map_or(0, Vec::len);
    (0..groups)
        .map(|group| {
            let views: Vec<_> = photos
                .iter()
                .filter_map(|p| Some(p.get(group)?.view()))
                .collect();
            ndarray::concatenate(Axis(0), &views).map_err(|e| QuantizeError::Unfit(e.to_string()))
        })
        .collect()
}

/// One group of a layer, rounded.
struct Group {
    /// `[rows, width]`: codes times steps.
    weights: Vec<f32>,
    /// `[rows]`
    steps: Vec<f32>,
    /// `[rows]`: by how much each bias moves.
    moves: Vec<f64>,
    /// Of the outputs, over places, all rows together.
    variance: f64,
    /// The squared error of rounding to the nearest.
    nearest: f64,
    /// The squared error of this.
    fitted: f64,
}

impl Group {
    /// Of `weights` `[rows, width]` that should make of `got` what they make of `wanted`, both `[places, width]`. Where these say nothing, as of a
    /// channel that is always zero, each weight goes to its nearest.
    fn round(weights: &[f32], wanted: &Array2<f32>, got: &Array2<f32>) -> Self {
        let width = got.ncols().max(1);
        let rows = Self::fitted_rows(weights, wanted, got)
            .unwrap_or_else(|| weights.chunks_exact(width).map(Row::nearest).collect());
        let total = |of: fn(&Row) -> f64| rows.iter().map(of).sum::<f64>();
        Self {
            weights: rows
                .iter()
                .flat_map(|r| r.weights.iter().copied())
                .collect(),
            steps: rows.iter().map(|r| r.step).collect(),
            moves: rows.iter().map(|r| r.moves).collect(),
            variance: total(|r| r.variance),
            nearest: total(|r| r.nearest),
            fitted: total(|r| r.fitted),
        }
    }

    fn fitted_rows(weights: &[f32], wanted: &Array2<f32>, got: &Array2<f32>) -> Option<Vec<Row>> {
        let (places, width) = got.dim();
        if places == 0 || width == 0 || wanted.dim() != got.dim() {
            return None;
        }
        let (wanted_mean, got_mean) = (wanted.mean_axis(Axis(0))?, got.mean_axis(Axis(0))?);
        let (wanted, got) = (wanted - &wanted_mean, got - &got_mean);
        let share = 1.0 / places as f64;
        let product =
            |a: &Array2<f32>, b: &Array2<f32>| a.t().dot(b).mapv(|v| f64::from(v) * share);
        let (common, across) = (product(&got, &got), product(&wanted, &got));
        let own = product(&wanted, &wanted);
        let mut damped = common.clone();
        let mean = damped.diag().sum() / width as f64;
        if !(mean > 0.0 && mean.is_finite()) {
            return None;
        }
        damped.diag_mut().mapv_inplace(|v| v + DAMPING * mean);
        let cholesky = Cholesky::of(width, damped.into_raw_vec_and_offset().0)?;
        let lost = &across - &common;
        let rows: Vec<&[f32]> = weights.chunks_exact(width).collect();
        let rounded = rows
            .par_iter()
            .map(|row| {
                let old = Array1::from_iter(row.iter().map(|w| f64::from(*w)));
                let mut best = old.dot(&lost).to_vec();
                cholesky.solve(&mut best);
                for (best, old) in best.iter_mut().zip(&old) {
                    *best += old;
                }
                let error = |new: &Array1<f64>| {
                    old.dot(&own.dot(&old)) - 2.0 * old.dot(&across.dot(new))
                        + new.dot(&common.dot(new))
                };
                let step = step_of(&best);
                let codes = cholesky.round(&best, f64::from(step), LARGEST);
                let new = Array1::from_iter(codes.iter().map(|c| f64::from(step) * f64::from(*c)));
                let nearest_step = f64::from(step_of(old.as_slice().unwrap_or(&best)));
                let nearest = old
                    .mapv(|w| (w / nearest_step).round().clamp(-LARGEST, LARGEST) * nearest_step);
                let means = |weights: &Array1<f64>, means: &Array1<f32>| -> f64 {
                    weights
                        .iter()
                        .zip(means)
                        .map(|(w, m)| w * f64::from(*m))
                        .sum()
                };
                Row {
                    moves: means(&old, &wanted_mean) - means(&new, &got_mean),
                    variance: old.dot(&own.dot(&old)),
                    nearest: error(&nearest),
                    fitted: error(&new),
                    weights: codes.iter().map(|c| f32::from(*c) * step).collect(),
                    step,
                }
            })
            .collect();
        Some(rounded)
    }
}

/// One output of a group, rounded.
struct Row {
    weights: Vec<f32>,
    step: f32,
    moves: f64,
    variance: f64,
    nearest: f64,
    fitted: f64,
}

impl Row {
    /// Each weight to its nearest.
    fn nearest(row: &[f32]) -> Self {
        let wide: Vec<f64> = row.iter().map(|w| f64::from(*w)).collect();
        let step = step_of(&wide);
        Self {
            weights: row
                .iter()
                .map(|w| (w / step).round().clamp(-LARGEST as f32, LARGEST as f32) * step)
                .collect(),
            step,
            moves: 0.0,
            variance: 0.0,
            nearest: 0.0,
            fitted: 0.0,
        }
    }
}

/// What a step of the codes is, so that the largest weight has the largest code.
fn step_of(row: &[f64]) -> f32 {
    let peak = row.iter().fold(0f64, |most, w| most.max(w.abs()));
    let step = (peak / LARGEST) as f32;
    if step > 0.0 && step.is_finite() {
        step
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests;
