//! How large the tensors that will be rounded become on photos, in two passes: how far they reach, then how often how large.

use super::QuantizeError;
use super::float_graph::FloatGraph;
use super::photos::{Images, Tick};
use crate::export::calibrate::Ranges;
use crate::export::histogram::{Histogram, Method};
use crate::export::observe::{Observed, numbers};
use rayon::prelude::*;

/// Passes over the photos, for who counts them.
pub const PASSES: usize = 2;

/// The range of each tensor of [`FloatGraph::rounded_tensors`]. Memory grows with the number of tensors and of cores, not of photos.
///
/// # Errors
/// When there is no photo, a photo cannot be used, or a tensor is not finite on one.
pub fn ranges(
    graph: &FloatGraph,
    images: &(impl Images + ?Sized),
    method: Method,
    tick: Tick<'_>,
) -> Result<Ranges, QuantizeError> {
    if images.count() == 0 {
        return Err(QuantizeError::NoPhotos);
    }
    let names = graph.rounded_tensors();
    let observed = Observed::of(graph.write(), &names)?;
    let none = vec![Histogram::default(); names.len()];
    let mut histograms = pass(&observed, images, &none, tick, Histogram::reach_to)?;
    for (name, histogram) in names.iter().zip(&mut histograms) {
        if !histogram.peak().is_finite() {
            return Err(QuantizeError::NotFinite {
                tensor: name.clone(),
                why: "are --mean and --deviation those that the model was trained with?".into(),
            });
        }
        histogram.settle(1.0);
    }
    let counted = pass(&observed, images, &histograms, tick, Histogram::count)?;
    Ok(names
        .into_iter()
        .zip(counted.iter().map(|h| h.range(method)))
        .collect())
}

/// Shows every image to histograms that begin as `start`; each core has its own, and what they see is added up.
fn pass(
    observed: &Observed,
    images: &(impl Images + ?Sized),
    start: &[Histogram],
    tick: Tick<'_>,
    see: fn(&mut Histogram, &[f32]),
) -> Result<Vec<Histogram>, QuantizeError> {
    let share = images.count().div_ceil(rayon::current_num_threads()).max(1);
    (0..images.count())
        .into_par_iter()
        .with_min_len(share)
        .try_fold(
            || start.to_vec(),
            |mut histograms, at| {
                let outputs = observed.run(&images.image(at)?)?;
                for (histogram, output) in histograms.iter_mut().zip(outputs.iter()) {
                    see(histogram, &numbers(output)?);
                }
                tick();
                Ok(histograms)
            },
        )
        .try_reduce(
            || start.to_vec(),
            |mut one, other| {
                one.iter_mut().zip(&other).for_each(|(a, b)| a.merge(b));
                Ok(one)
            },
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::fixtures::{images, mean_of_relu};

    /// The input goes from -2 to 2 over the images, and what the matrix reads is the mean of Relu(3 x).
    #[test]
    fn ranges_of_a_model_worked_by_hand() {
        let graph = mean_of_relu(3.0);
        let photos = images(&[-2.0, 1.0, 2.0, 0.5]);
        let found = ranges(&graph, photos.as_slice(), Method::Max, &|| {}).unwrap();
        let tensors: Vec<_> = found.iter().map(|(name, r)| (name.as_str(), *r)).collect();
        assert_eq!(tensors, [("flat", 6.0), ("image", 2.0)]);
        // Half of 2, 1, 2 and 0.5 is at most 1.
        let half = ranges(&graph, photos.as_slice(), Method::Percentile(50.0), &|| {}).unwrap();
        assert!((half["image"] - 1.0).abs() < 0.002, "{half:?}");
        // Half of 0, 3, 6 and 1.5 is at most 1.5.
        assert!((half["flat"] - 1.5).abs() < 0.004, "{half:?}");
    }

    #[test]
    fn no_photo_and_no_number_are_refused() {
        let graph = mean_of_relu(3.0);
        let run = |values: &[f32]| {
            let photos = images(values);
            ranges(&graph, photos.as_slice(), Method::Mse, &|| {})
                .unwrap_err()
                .to_string()
        };
        assert_eq!(run(&[]), "calibration needs photos");
        assert!(run(&[1.0, f32::NAN]).contains("'image'"));
    }
}
