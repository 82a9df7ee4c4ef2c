//! GPTQ: rounds the weights of a layer together so that its output on images changes little,
//! instead of each weight to the nearest.
//!
//! The output of a layer is `W x + b`; quantised it is `Q x' + b'`, where `x'` comes from layers
//! that are already quantised. Layer by layer from the image on: the float weights that fit `W x`
//! to `x'` by least squares, regularised towards `W`; these rounded by the nearest-plane algorithm
//! ([`nearest_plane`]), so that later weights compensate the error of earlier ones; and the bias
//! that keeps the mean output. Only numbers in the file change, so it costs nothing at run time.
//!
//! After GPTQ (Frantar et al., ICLR 2023) and its asymmetric form, which compensates earlier layers
//! (GPTAQ: Li et al., ICML 2025).

mod nearest_plane;
mod window;

use super::QuantizeError;
use super::float_graph::Ranges;
use super::float_graph::{FloatGraph, Quantisation};
use super::images::{Images, Tick, each};
use super::observe::{Observed, numbers};
use ndarray::{Array1, Array2, Axis};
use nearest_plane::Cholesky;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeSet;
use tract_onnx::pb::ModelProto;
use window::Window;

/// Output positions sampled over all images.
const POSITIONS: usize = 8192;
/// Added to the diagonal of the inputs' covariance, as a fraction of its mean.
const DAMPING: f64 = 0.01;
/// The largest int8 code.
const LARGEST: f64 = 127.0;

/// The error of a layer's output.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GptqLayer {
    /// The layer's name.
    pub layer: String,
    /// Mean squared error over the variance of the output, with each weight rounded to the nearest
    /// and the bias corrected.
    pub nearest: f64,
    /// The same with GPTQ.
    pub gptq: f64,
}

/// Rounds the weights of `layers` in place and corrects their biases. Takes two passes over the
/// images per layer; `tick` is called after each image of each pass. A layer with an unsupported
/// kernel or padding is skipped; its weights are rounded to the nearest.
///
/// # Errors
/// If a model does not run or an image cannot be used.
pub fn gptq(
    graph: &mut FloatGraph,
    ranges: &Ranges,
    layers: &BTreeSet<usize>,
    images: &(impl Images + ?Sized),
    tick: Tick<'_>,
) -> Result<Vec<GptqLayer>, QuantizeError> {
    let float = graph.clone();
    let mut report = vec![];
    for &at in layers {
        let layer = &float.layers[at];
        let node = float
            .nodes()
            .iter()
            .find(|n| n.output.first() == Some(&layer.output));
        let Some(window) = node.and_then(|node| Window::of(layer, node)) else {
            continue;
        };
        let target = inputs_of(float.write(), &layer.input, &window, images, tick)?;
        let so_far = graph.write_quantised(Quantisation { ranges, layers });
        let actual = inputs_of(so_far, &layer.input, &window, images, tick)?;
        let rows = layer.outputs() / layer.groups;
        let width = window.width(layer.inputs());
        let groups: Vec<Group> = target
            .into_par_iter()
            .zip(actual)
            .enumerate()
            .map(|(group, (target, actual))| {
                let from = group * rows;
                let weights = &layer.weight.data[from * width..(from + rows) * width];
                Group::round(weights, &target, &actual)
            })
            .collect();
        if groups.is_empty() {
            continue;
        }
        let layer = &mut graph.layers[at];
        layer.weight.data = groups
            .iter()
            .flat_map(|g| g.weights.iter().copied())
            .collect();
        layer.scales = Some(
            groups
                .iter()
                .flat_map(|g| g.scales.iter().copied())
                .collect(),
        );
        let corrections = groups.iter().flat_map(|g| &g.bias_corrections);
        for (bias, by) in layer.bias.data.iter_mut().zip(corrections) {
            *bias += *by as f32;
        }
        let total = |of: fn(&Group) -> f64| groups.iter().map(of).sum::<f64>();
        let all = total(|g| g.variance).max(f64::MIN_POSITIVE);
        report.push(GptqLayer {
            layer: layer.name.clone(),
            nearest: total(|g| g.nearest) / all,
            gptq: total(|g| g.gptq) / all,
        });
    }
    Ok(report)
}

/// For each group `[positions, width]`: what the layer's weights are multiplied with, over all
/// images.
fn inputs_of(
    model: ModelProto,
    input: &str,
    window: &Window,
    images: &(impl Images + ?Sized),
    tick: Tick<'_>,
) -> Result<Vec<Array2<f32>>, QuantizeError> {
    let observed = Observed::of(model, &[input.to_owned()])?;
    let count = POSITIONS.div_ceil(images.count().max(1));
    let photos = each(images, tick, |photo, image| {
        let found = observed.run(image)?;
        let Some(tensor) = found.first() else {
            return Ok(vec![]);
        };
        window.patches(&numbers(tensor)?, tensor.shape(), count, photo)
    })?;
    let groups = photos.first().map_or(0, Vec::len);
    (0..groups)
        .map(|group| {
            let views: Vec<_> = photos
                .iter()
                .filter_map(|p| Some(p.get(group)?.view()))
                .collect();
            ndarray::concatenate(Axis(0), &views)
                .map_err(|e| QuantizeError::Unsupported(e.to_string()))
        })
        .collect()
}

/// One group of a layer.
struct Group {
    /// `[rows, width]`: codes times scales.
    weights: Vec<f32>,
    /// Scale of each row, `[rows]`.
    scales: Vec<f32>,
    /// Correction of each row's bias, `[rows]`.
    bias_corrections: Vec<f64>,
    /// Variance of the outputs, summed over rows.
    variance: f64,
    /// Squared error of rounding to the nearest.
    nearest: f64,
    /// Squared error of GPTQ.
    gptq: f64,
}

impl Group {
    /// Rounds `weights` `[rows, width]` so that their product with `actual` stays near that of the
    /// float weights with `target`, both `[positions, width]`. Without information, e.g. for a
    /// channel that is always 0, each weight is rounded to the nearest.
    fn round(weights: &[f32], target: &Array2<f32>, actual: &Array2<f32>) -> Self {
        let width = actual.ncols().max(1);
        let rows = Self::gptq_rows(weights, target, actual)
            .unwrap_or_else(|| weights.chunks_exact(width).map(Row::nearest).collect());
        let total = |of: fn(&Row) -> f64| rows.iter().map(of).sum::<f64>();
        Self {
            weights: rows
                .iter()
                .flat_map(|r| r.weights.iter().copied())
                .collect(),
            scales: rows.iter().map(|r| r.scale).collect(),
            bias_corrections: rows.iter().map(|r| r.bias_correction).collect(),
            variance: total(|r| r.variance),
            nearest: total(|r| r.nearest),
            gptq: total(|r| r.gptq),
        }
    }

    fn gptq_rows(weights: &[f32], target: &Array2<f32>, actual: &Array2<f32>) -> Option<Vec<Row>> {
        let (positions, width) = actual.dim();
        if positions == 0 || width == 0 || target.dim() != actual.dim() {
            return None;
        }
        let (target_mean, actual_mean) = (target.mean_axis(Axis(0))?, actual.mean_axis(Axis(0))?);
        let (target, actual) = (target - &target_mean, actual - &actual_mean);
        let share = 1.0 / positions as f64;
        let product =
            |a: &Array2<f32>, b: &Array2<f32>| a.t().dot(b).mapv(|v| f64::from(v) * share);
        let (covariance, cross) = (product(&actual, &actual), product(&target, &actual));
        let target_covariance = product(&target, &target);
        let mut damped = covariance.clone();
        let mean = damped.diag().sum() / width as f64;
        if !(mean > 0.0 && mean.is_finite()) {
            return None;
        }
        damped.diag_mut().mapv_inplace(|v| v + DAMPING * mean);
        let cholesky = Cholesky::of(width, damped.into_raw_vec_and_offset().0)?;
        let lost = &cross - &covariance;
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
                    old.dot(&target_covariance.dot(&old)) - 2.0 * old.dot(&cross.dot(new))
                        + new.dot(&covariance.dot(new))
                };
                let scale = scale_of(&best);
                let codes = cholesky.round(&best, f64::from(scale), LARGEST);
                let new = Array1::from_iter(codes.iter().map(|c| f64::from(scale) * f64::from(*c)));
                let nearest_scale = f64::from(scale_of(old.as_slice().expect("old is contiguous")));
                let nearest = old
                    .mapv(|w| (w / nearest_scale).round().clamp(-LARGEST, LARGEST) * nearest_scale);
                let means = |weights: &Array1<f64>, means: &Array1<f32>| -> f64 {
                    weights
                        .iter()
                        .zip(means)
                        .map(|(w, m)| w * f64::from(*m))
                        .sum()
                };
                Row {
                    bias_correction: means(&old, &target_mean) - means(&new, &actual_mean),
                    variance: old.dot(&target_covariance.dot(&old)),
                    nearest: error(&nearest),
                    gptq: error(&new),
                    weights: codes.iter().map(|c| f32::from(*c) * scale).collect(),
                    scale,
                }
            })
            .collect();
        Some(rounded)
    }
}

/// One output of a group.
struct Row {
    weights: Vec<f32>,
    scale: f32,
    bias_correction: f64,
    variance: f64,
    nearest: f64,
    gptq: f64,
}

impl Row {
    /// Each weight rounded to the nearest.
    fn nearest(row: &[f32]) -> Self {
        let wide: Vec<f64> = row.iter().map(|w| f64::from(*w)).collect();
        let scale = scale_of(&wide);
        Self {
            weights: row
                .iter()
                .map(|w| (w / scale).round().clamp(-LARGEST as f32, LARGEST as f32) * scale)
                .collect(),
            scale,
            bias_correction: 0.0,
            variance: 0.0,
            nearest: 0.0,
            gptq: 0.0,
        }
    }
}

/// The scale with which the largest weight has the largest code.
fn scale_of(row: &[f64]) -> f32 {
    let peak = row.iter().fold(0f64, |most, w| most.max(w.abs()));
    let scale = (peak / LARGEST) as f32;
    if scale > 0.0 && scale.is_finite() {
        scale
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests;
