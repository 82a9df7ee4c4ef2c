//! How large activations become, measured on photos: the float model is run with every tensor that will be quantised as an
//! output, its absolute values are counted in histograms, and the range with the least squared error in int8 is taken.

use super::ExportError;
use super::fold::{Folded, Kind};
use super::onnx::{self, name_of};
use ndarray::Array3;
use prost::Message;
use std::collections::BTreeMap;
use tract_onnx::prelude::*;

/// The largest absolute value that stays exact, for each tensor by name.
pub type Ranges = BTreeMap<String, f32>;

const BINS: usize = 2048;

/// The names of the tensors that are quantised: inputs of convolutions and matrices, and skips of sums.
pub fn quantised_tensors(folded: &Folded) -> Vec<String> {
    let mut ids: Vec<usize> = folded
        .steps
        .iter()
        .filter_map(|step| match step.kind {
            Kind::Convolution {
                excitation: false, ..
            }
            | Kind::Linear { .. } => Some(step.inputs[0]),
            Kind::Add => Some(step.inputs[1]),
            _ => None,
        })
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter().map(name_of).collect()
}

/// Measures the ranges on `photos`, normalised `[C, H, W]`.
///
/// # Errors
/// When there is no photo, or one of another shape than the model's.
pub fn ranges(folded: &Folded, photos: &[Array3<f32>]) -> Result<Ranges, ExportError> {
    if photos.is_empty() {
        return Err(ExportError::NoPhotos);
    }
    let names = quantised_tensors(folded);
    let failed = |e: TractError| ExportError::Calibration(e.to_string());
    let model = observed(folded, &names).map_err(failed)?;
    let mut counts: Vec<Histogram> = vec![Histogram::default(); names.len()];
    // The first photos set how far the histograms reach; what lies beyond counts in the last bin.
    for (pass, photos) in [
        (Pass::Reach, &photos[..photos.len().min(32)]),
        (Pass::Count, photos),
    ] {
        for photo in photos {
            let (c, h, w) = photo.dim();
            if [c, h, w] != folded.input {
                let reason = format!(
                    "a photo of {:?}, the model takes {:?}",
                    [c, h, w],
                    folded.input
                );
                return Err(ExportError::Calibration(reason));
            }
            let numbers: Vec<f32> = photo.iter().copied().collect();
            let image = Tensor::from_shape(&[1, c, h, w], &numbers).map_err(failed)?;
            let outputs = model.run(tvec![image.into_tvalue()]).map_err(failed)?;
            for (histogram, output) in counts.iter_mut().zip(outputs.iter()) {
                let view = output.try_as_plain_ram().map_err(failed)?;
                histogram.see(view.as_slice::<f32>().map_err(failed)?, pass);
            }
        }
        if pass == Pass::Reach {
            counts.iter_mut().for_each(Histogram::settle);
        }
    }
    Ok(names
        .into_iter()
        .zip(counts.iter().map(Histogram::best_range))
        .collect())
}

type Runnable = std::sync::Arc<TypedRunnableModel>;

fn observed(folded: &Folded, names: &[String]) -> TractResult<Runnable> {
    let mut model = onnx::write(folded);
    if let Some(graph) = model.graph.as_mut() {
        // An output must be made by a node; the image is not.
        let mut outputs = vec![];
        for name in names {
            let copy = format!("{name}.observed");
            graph
                .node
                .push(onnx::node("Identity", &copy, &[name], &copy, vec![]));
            outputs.push(tract_onnx::pb::ValueInfoProto {
                name: copy,
                ..Default::default()
            });
        }
        graph.output = outputs;
    }
    let bytes = model.encode_to_vec();
    tract_onnx::onnx()
        .model_for_read(&mut bytes.as_slice())?
        .into_optimized()?
        .into_runnable()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Reach,
    Count,
}

#[derive(Clone, Default)]
struct Histogram {
    reach: f32,
    bins: Vec<u64>,
}

impl Histogram {
    fn see(&mut self, values: &[f32], pass: Pass) {
        match pass {
            Pass::Reach => self.reach = values.iter().fold(self.reach, |m, v| m.max(v.abs())),
            Pass::Count => {
                let per_bin = BINS as f32 / self.reach;
                for v in values {
                    self.bins[((v.abs() * per_bin) as usize).min(BINS - 1)] += 1;
                }
            }
        }
    }

    fn settle(&mut self) {
        self.reach = if self.reach > 0.0 {
            self.reach * 1.2
        } else {
            1.0
        };
        self.bins = vec![0; BINS];
    }

    /// The range whose 127 steps cost the least squared error: rounding inside, cutting off outside.
    fn best_range(&self) -> f32 {
        let width = f64::from(self.reach) / BINS as f64;
        let highest = self.bins.iter().rposition(|&n| n > 0).unwrap_or(BINS - 1) + 1;
        let lowest = (highest / 8).max(1);
        let cost = |end: usize| -> f64 {
            let range = end as f64 * width;
            let step = range / 127.0;
            let inside: u64 = self.bins[..end].iter().sum();
            let cut: f64 = self.bins[end..highest]
                .iter()
                .enumerate()
                .map(|(i, &n)| n as f64 * ((i as f64 + 0.5) * width).powi(2))
                .sum();
            inside as f64 * step * step / 12.0 + cut
        };
        let best = (lowest..=highest)
            .min_by(|&a, &b| cost(a).total_cmp(&cost(b)))
            .unwrap_or(highest);
        (best as f64 * width) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: &[f32]) -> Histogram {
        let mut h = Histogram::default();
        h.see(values, Pass::Reach);
        h.settle();
        h.see(values, Pass::Count);
        h
    }

    #[test]
    fn an_even_spread_keeps_its_whole_range() {
        let values: Vec<f32> = (0..10_000).map(|i| i as f32 / 10_000.0 * 6.0).collect();
        let range = histogram(&values).best_range();
        assert!((5.8..=6.1).contains(&range), "{range}");
    }

    #[test]
    fn a_lone_outlier_is_cut_off() {
        let mut values: Vec<f32> = (0..1_000_000).map(|i| (i % 1000) as f32 / 1000.0).collect();
        values.push(4.0);
        let range = histogram(&values).best_range();
        assert!((0.9..2.0).contains(&range), "{range}");
    }

    #[test]
    fn a_tensor_of_zeros_has_a_range() {
        assert!(histogram(&[0.0; 10]).best_range() > 0.0);
    }
}
