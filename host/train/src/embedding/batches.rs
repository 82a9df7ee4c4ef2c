//! Photos to batches: decoded and prepared once, kept as `u8`, varied on the prefetcher's threads.

use super::augment::{self, Warp};
use super::recipe::{Augmentation, Recipe, Stage};
use super::sampler::{BatchPlan, Draw};
use crate::trainer::prefetch::Prefetcher;
use flukewatch_common::prepare::Preparation;
use flukewatch_dataset::{DatasetError, LabelledPhoto};
use ndarray::Array3;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::sync::Arc;

/// Decodes and prepares photos to `[H, W, C] u8`, in order.
///
/// # Errors
/// The first photo that cannot be used.
pub fn decode(
    photos: &[&LabelledPhoto],
    preparation: &Preparation,
    done: impl Fn() + Sync,
) -> Result<Vec<Array3<u8>>, DatasetError> {
    photos
        .par_iter()
        .map(|photo| {
            let pixels = photo.prepared(preparation)?;
            done();
            Ok(pixels)
        })
        .collect()
}

/// The numbers of one step.
pub(super) struct Batch {
    /// `[N, C, H, W] f32`, row-major.
    pub(super) images: Vec<f32>,
    /// `[N]`
    pub(super) classes: Vec<i64>,
}

/// Makes batches of prepared photos.
pub(super) struct BatchBuilder {
    photos: Arc<Vec<Array3<u8>>>,
    preparation: Preparation,
    augmentation: Augmentation,
    seed: u64,
}

impl BatchBuilder {
    pub(super) fn new(photos: Arc<Vec<Array3<u8>>>, recipe: &Recipe) -> Self {
        Self {
            photos,
            preparation: recipe.preparation(),
            augmentation: recipe.augmentation.clone(),
            seed: recipe.seed,
        }
    }

    pub(super) fn preparation(&self) -> &Preparation {
        &self.preparation
    }

    /// `[C, H, W]` at the stage's size.
    pub(super) fn shape(&self, stage: &Stage) -> [i64; 3] {
        [
            self.preparation.channels() as i64,
            i64::from(stage.height),
            i64::from(stage.width),
        ]
    }

    /// Photos without augmentation, at the stage's size: `[N, C, H, W] f32`, row-major.
    pub(super) fn plain(&self, photos: &[usize], mirrored: bool, stage: &Stage) -> Vec<f32> {
        let (h, w) = (stage.height as usize, stage.width as usize);
        let size = self.preparation.channels() * h * w;
        let mut images = vec![0f32; photos.len() * size];
        images
            .par_chunks_exact_mut(size)
            .zip(photos)
            .for_each(|(image, &photo)| {
                augment::sample(&self.photos[photo], &Warp::IDENTITY, mirrored, h, w, image);
                self.normalise(h * w, image);
            });
        images
    }

    fn normalise(&self, plane: usize, image: &mut [f32]) {
        let numbers = self.preparation.mean.iter().zip(&self.preparation.std);
        for (plane, (mean, std)) in image.chunks_exact_mut(plane).zip(numbers) {
            for v in plane {
                *v = (*v - mean) / std;
            }
        }
    }

    /// A batch; depends only on seed, epoch and number, not on the thread.
    fn batch(&self, draws: &[Draw], epoch: usize, number: u64, stage: &Stage) -> Batch {
        let (h, w) = (stage.height as usize, stage.width as usize);
        let size = self.preparation.channels() * h * w;
        let mut images = vec![0f32; draws.len() * size];
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ 0x5eed_ba7c);
        rng.set_stream(((epoch as u64) << 32) | number);
        for (draw, image) in draws.iter().zip(images.chunks_exact_mut(size)) {
            let warp = Warp::random(&self.augmentation, w as f32 / h as f32, &mut rng);
            augment::sample(&self.photos[draw.photo], &warp, draw.mirrored, h, w, image);
            augment::disturb(&self.augmentation, &mut rng, h, w, image);
            self.normalise(h * w, image);
        }
        Batch {
            images,
            classes: draws.iter().map(|d| d.class as i64).collect(),
        }
    }

    /// Prepares an epoch's batches ahead, starting at number `from`.
    pub(super) fn prefetch(
        self: &Arc<Self>,
        epoch: usize,
        plan: &Arc<Vec<BatchPlan>>,
        from: usize,
        stage: &Stage,
        workers: usize,
    ) -> Prefetcher<Batch> {
        let (builder, plan, stage) = (self.clone(), plan.clone(), stage.clone());
        let range = (from as u64, plan.len() as u64);
        Prefetcher::new(range, workers, move |number| {
            builder.batch(&plan[number as usize].draws, epoch, number, &stage)
        })
    }
}
