//! How large activations become, measured on photos: the float model is run with every tensor that will be quantised as an
//! output, its absolute values are counted in histograms, and the range with the least squared error in int8 is taken.

use super::ExportError;
use super::fold::{Folded, Kind};
use super::histogram::{Histogram, Method};
use super::observe::{Observed, numbers};
use super::onnx::{self, name_of};
use ndarray::Array3;
use std::collections::BTreeMap;
use tract_onnx::prelude::TractError;

/// The largest absolute value that stays exact, for each tensor by name.
pub type Ranges = BTreeMap<String, f32>;

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

/// The first so many photos set how far the histograms reach, and by how much further; what lies beyond counts in the last bin.
const REACH: (usize, f32) = (32, 1.2);

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
    let model = Observed::of(onnx::write(folded), &names).map_err(failed)?;
    let mut counts: Vec<Histogram> = vec![Histogram::default(); names.len()];
    let pass = |photos: &[Array3<f32>],
                counts: &mut [Histogram],
                see: fn(&mut Histogram, &[f32])| {
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
            for (histogram, output) in counts.iter_mut().zip(model.run(photo).map_err(failed)?) {
                see(histogram, &numbers(&output).map_err(failed)?);
            }
        }
        Ok(())
    };
    let (first, margin) = REACH;
    pass(
        &photos[..photos.len().min(first)],
        &mut counts,
        Histogram::reach_to,
    )?;
    counts.iter_mut().for_each(|h| h.settle(margin));
    pass(photos, &mut counts, Histogram::count)?;
    Ok(names
        .into_iter()
        .zip(counts.iter().map(|h| h.range(Method::Mse)))
        .collect())
}
