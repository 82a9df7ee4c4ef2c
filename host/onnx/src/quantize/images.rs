//! The images that ranges and weights are fitted on.

use super::{ImageError, QuantizeError};
use ndarray::Array3;
use rayon::prelude::*;

/// Called after each image or layer, from any thread.
pub type Tick<'a> = &'a (dyn Fn() + Sync);

/// Images as the model reads them, one at a time, so that memory does not grow with their number.
pub trait Images: Sync {
    /// The number of images.
    fn count(&self) -> usize;
    /// An image by its index, `[C, H, W] f32`, normalised.
    ///
    /// # Errors
    /// If it cannot be read.
    fn image(&self, at: usize) -> Result<Array3<f32>, ImageError>;
}

impl Images for [Array3<f32>] {
    fn count(&self) -> usize {
        self.len()
    }

    fn image(&self, at: usize) -> Result<Array3<f32>, ImageError> {
        Ok(self[at].clone())
    }
}

/// The results of `work` for each image and its index, in order, computed on all cores.
pub(super) fn each<T: Send>(
    images: &(impl Images + ?Sized),
    tick: Tick<'_>,
    work: impl Fn(usize, &Array3<f32>) -> Result<T, QuantizeError> + Sync,
) -> Result<Vec<T>, QuantizeError> {
    let one = |at| {
        let result = work(at, &images.image(at)?);
        tick();
        result
    };
    (0..images.count()).into_par_iter().map(one).collect()
}
