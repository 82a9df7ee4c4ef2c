//! The range of every tensor that will be quantised, measured on images.

use super::QuantizeError;
use super::float_graph::{FloatGraph, Ranges};
use super::histogram::Histogram;
use super::images::{Images, Tick};
use super::observe::{Observed, numbers};
use rayon::prelude::*;

/// The histograms cover the largest value among this many first images, times the headroom.
const REACH_IMAGES: usize = 32;
const HEADROOM: f32 = 1.2;

/// Number of calls of `tick` by [`ranges`] for this many images.
pub fn range_ticks(images: usize) -> usize {
    images + images.min(REACH_IMAGES)
}

/// The range with the least squared error of each tensor of [`FloatGraph::quantised_tensors`].
/// Memory grows with the number of tensors and of cores, not of images.
///
/// # Errors
/// If there are no images, an image cannot be used, or a tensor is not finite on one.
pub fn ranges(
    graph: &FloatGraph,
    images: &(impl Images + ?Sized),
    tick: Tick<'_>,
) -> Result<Ranges, QuantizeError> {
    let count = images.count();
    if count == 0 {
        return Err(QuantizeError::NoImages);
    }
    let names = graph.quantised_tensors();
    let observed = Observed::of(graph.write(), &names)?;
    let check = |histograms: &[Histogram]| {
        let bad = histograms.iter().position(|h| !h.peak().is_finite());
        bad.map_or(Ok(()), |at| {
            Err(QuantizeError::NotFinite {
                tensor: names[at].clone(),
            })
        })
    };
    let empty = vec![Histogram::default(); names.len()];
    let first = count.min(REACH_IMAGES);
    let mut histograms = pass(&observed, images, first, &empty, tick, Histogram::see_peak)?;
    check(&histograms)?;
    histograms.iter_mut().for_each(|h| h.settle(HEADROOM));
    let counted = pass(
        &observed,
        images,
        count,
        &histograms,
        tick,
        Histogram::count,
    )?;
    check(&counted)?;
    Ok(names
        .iter()
        .cloned()
        .zip(counted.iter().map(Histogram::range))
        .collect())
}

/// Adds the first `count` images to histograms initialised with `start`; each core has its own,
/// which are then merged.
fn pass(
    observed: &Observed,
    images: &(impl Images + ?Sized),
    count: usize,
    start: &[Histogram],
    tick: Tick<'_>,
    see: fn(&mut Histogram, &[f32]),
) -> Result<Vec<Histogram>, QuantizeError> {
    let share = count.div_ceil(rayon::current_num_threads()).max(1);
    (0..count)
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
    use crate::quantize::fixtures::images;
    use crate::samples::mean_of_relu;

    /// The input goes from -2 to 2 over the images, and the matrix reads the mean of Relu(3 x).
    #[test]
    fn ranges_of_a_model_worked_by_hand() {
        let graph = mean_of_relu(3.0);
        let photos = images(&[-2.0, 1.0, 2.0, 0.5]);
        let found = ranges(&graph, photos.as_slice(), &|| {}).unwrap();
        let tensors: Vec<_> = found.keys().map(String::as_str).collect();
        assert_eq!(tensors, ["flat", "image"]);
        // So few values are worth no clipping; a range is exact to a bin, 1.2 / 2048 of the largest.
        for (name, largest) in [("flat", 6.0), ("image", 2.0)] {
            let off = found[name] / largest - 1.0;
            assert!(off.abs() <= HEADROOM / 2048.0, "{found:?}");
        }
    }

    #[test]
    fn an_outlier_after_the_first_images_is_counted() {
        let graph = mean_of_relu(3.0);
        let mut values = [1.0; REACH_IMAGES + 1];
        values[REACH_IMAGES] = 9.0;
        let found = ranges(&graph, images(&values).as_slice(), &|| {}).unwrap();
        // It counts in the last bin, which reaches to the headroom.
        assert!(
            (found["image"] - HEADROOM).abs() <= HEADROOM / 2048.0,
            "{found:?}"
        );
    }

    #[test]
    fn no_images_and_values_that_are_not_finite_are_errors() {
        let graph = mean_of_relu(3.0);
        let run = |values: &[f32]| ranges(&graph, images(values).as_slice(), &|| {}).unwrap_err();
        assert!(matches!(run(&[]), QuantizeError::NoImages));
        let mut late = vec![1.0; REACH_IMAGES];
        late.push(f32::NAN);
        for values in [&[1.0, f32::NAN][..], &late] {
            match run(values) {
                QuantizeError::NotFinite { tensor } => assert_eq!(tensor, "image"),
                other => panic!("{other}"),
            }
        }
    }
}
