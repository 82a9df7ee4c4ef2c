//! Compares two engines: the cosines between their embeddings of images drawn from a seed.

use super::{Engine, EngineError};
use crate::drawn::{IMAGES, SEED, random_image};
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::prepare::{Preparation, PrepareError};
use ndarray::Array3;

/// The lowest accepted cosine between an int8 engine and tract with all quantisation of the file:
/// they differ in the order of sums, and a sum near a rounding boundary may be rounded either way.
pub const MIN_COSINE_SAME_PRECISION: f32 = 0.98;
/// The lowest accepted cosine between the quantised model and the one whose activations stay
/// floats.
pub const MIN_COSINE_OTHER_PRECISION: f32 = 0.95;

/// How well two engines agree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// The lowest cosine of any image; -1 if one is NaN.
    pub lowest: f32,
    /// The mean cosine of all images.
    pub mean: f32,
}

/// Runs both engines on each image.
///
/// # Errors
/// When an engine fails on an image.
pub fn agreement(
    one: &mut dyn Engine,
    other: &mut dyn Engine,
    images: &[Array3<f32>],
) -> Result<Agreement, EngineError> {
    let mut lowest = f32::INFINITY;
    let mut sum = 0.0;
    for image in images {
        let cosine = cosine(&one.run(image.view())?, &other.run(image.view())?);
        // A NaN cosine must not count as agreement.
        let cosine = if cosine.is_nan() { -1.0 } else { cosine };
        lowest = lowest.min(cosine);
        sum += cosine;
    }
    Ok(Agreement {
        lowest,
        mean: sum / images.len() as f32,
    })
}

/// The cosine between two embeddings; NaN if one is zero, not finite, or of another size.
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    if a.len() != b.len() {
        return f32::NAN;
    }
    let dot = |x: &[f32], y: &[f32]| -> f64 {
        x.iter()
            .zip(y)
            .map(|(x, y)| f64::from(*x) * f64::from(*y))
            .sum()
    };
    (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()) as f32
}

/// Judges whether two engines run a model alike.
pub trait AgreementCheck: Send + Sync {
    /// Runs `engine` and `reference` on test images. Returns how they differ, in words; `None` where they agree.
    ///
    /// # Errors
    /// When one of them fails on an image, or the model's description does not fit it.
    fn difference(
        &self,
        engine: &mut dyn Engine,
        reference: &mut dyn Engine,
    ) -> Result<Option<String>, EngineError>;
}

/// Engines of an embedding network agree where the cosine of their embeddings of each drawn fluke reaches
/// [`MIN_COSINE_SAME_PRECISION`].
pub struct EmbeddingsAgree {
    /// How a photo becomes the network's input.
    pub preparation: Preparation,
}

impl AgreementCheck for EmbeddingsAgree {
    fn difference(
        &self,
        engine: &mut dyn Engine,
        reference: &mut dyn Engine,
    ) -> Result<Option<String>, EngineError> {
        let images =
            inputs(&self.preparation).map_err(|e| EngineError::Unsupported(e.to_string()))?;
        let found = agreement(engine, reference, &images)?;
        let agree = found.lowest >= MIN_COSINE_SAME_PRECISION;
        Ok((!agree).then(|| {
            format!(
                "the cosine of their embeddings of a drawn fluke is {:.4}, below {MIN_COSINE_SAME_PRECISION}",
                found.lowest
            )
        }))
    }
}

/// Drawn flukes, prepared for the model.
fn inputs(preparation: &Preparation) -> Result<Vec<Array3<f32>>, PrepareError> {
    (0..IMAGES)
        .map(|number| {
            let photo = random_image(SEED, number);
            let whole = PixelBox::whole(photo.width(), photo.height());
            let pixels = preparation.pixels(&photo, whole)?;
            Ok(preparation.normalise(&pixels, false))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_worked_by_hand() {
        assert_eq!(cosine(&[3.0, 4.0], &[6.0, 8.0]), 1.0);
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 2.0]), 0.0);
        assert!((cosine(&[1.0, 0.0], &[1.0, 1.0]) - 0.5f32.sqrt()).abs() < 1e-6);
        assert!(cosine(&[0.0, 0.0], &[1.0, 1.0]).is_nan());
        assert!(cosine(&[1.0], &[1.0, 1.0]).is_nan());
        assert!(cosine(&[f32::NAN, 1.0], &[1.0, 1.0]).is_nan());
    }

    struct Fixed(Vec<f32>);

    impl Engine for Fixed {
        fn name(&self) -> &str {
            "fixed"
        }
        fn input_shape(&self) -> [usize; 3] {
            [1, 2, 2]
        }
        fn dimension(&self) -> usize {
            2
        }
        fn run(&mut self, _: ndarray::ArrayView3<f32>) -> Result<Vec<f32>, EngineError> {
            Ok(self.0.clone())
        }
    }

    #[test]
    fn nan_is_not_agreement() {
        let images = [Array3::zeros((1, 2, 2)), Array3::zeros((1, 2, 2))];
        let between = |a: [f32; 2], b: [f32; 2]| {
            agreement(&mut Fixed(a.to_vec()), &mut Fixed(b.to_vec()), &images).unwrap()
        };
        let same = between([3.0, 4.0], [3.0, 4.0]);
        assert_eq!((same.lowest, same.mean), (1.0, 1.0));
        assert_eq!(between([1.0, 0.0], [0.0, 1.0]).lowest, 0.0);
        for bad in [[f32::NAN, 1.0], [0.0, 0.0]] {
            assert_eq!(between(bad, [1.0, 1.0]).lowest, -1.0);
        }
    }
}
