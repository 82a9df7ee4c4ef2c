//! Photos to batches: cut from cached crops and varied on the prefetcher's threads.

use super::augment::{self, Warp};
use super::crops::{Crop, CropCache, at_size};
use super::degrade::Degradation;
use super::recipe::{Augmentation, Recipe, Stage};
use super::sampler::{BatchPlan, Draw};
use crate::trainer::error::TrainError;
use crate::trainer::prefetch::Prefetcher;
use flukewatch_common::prepare::Preparation;
use flukewatch_dataset::{DatasetError, LabelledPhoto};
use ndarray::Array3;
use rand::{RngExt, SeedableRng};
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

/// Makes batches of cached crops.
pub(super) struct BatchBuilder {
    crops: CropCache,
    preparation: Preparation,
    augmentation: Augmentation,
    seed: u64,
}

impl BatchBuilder {
    pub(super) fn new(crops: CropCache, recipe: &Recipe) -> Self {
        Self {
            crops,
            preparation: recipe.preparation(),
            augmentation: recipe.augmentation.clone(),
            seed: recipe.seed,
        }
    }

    /// The crops of the photos.
    pub(super) fn crops(&self) -> &CropCache {
        &self.crops
    }

    /// How evaluation prepares photos at the size of a stage.
    pub(super) fn preparation(&self, stage: &Stage) -> Preparation {
        at_size(&self.preparation, stage)
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
    ///
    /// # Errors
    /// When a crop has to be made again and cannot be.
    pub(super) fn plain(
        &self,
        photos: &[usize],
        mirrored: bool,
        stage: &Stage,
    ) -> Result<Vec<f32>, TrainError> {
        let preparation = self.preparation(stage);
        let size = image_size(&preparation);
        let mut images = vec![0f32; photos.len() * size];
        images
            .par_chunks_exact_mut(size)
            .zip(photos)
            .try_for_each(|(image, &photo)| {
                let crop = self.crops.get(photo, stage)?;
                let warp = Warp::IDENTITY;
                view(
                    &crop,
                    &warp,
                    mirrored,
                    Degradation::NONE,
                    &preparation,
                    image,
                );
                preparation.normalise_planes(image);
                Ok::<_, TrainError>(())
            })?;
        Ok(images)
    }

    /// A batch; depends only on seed, epoch and number, not on the thread.
    fn batch(
        &self,
        draws: &[Draw],
        epoch: usize,
        number: u64,
        stage: &Stage,
    ) -> Result<Batch, TrainError> {
        let preparation = self.preparation(stage);
        let (h, w) = (stage.height as usize, stage.width as usize);
        let size = image_size(&preparation);
        let mut images = vec![0f32; draws.len() * size];
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ 0x5eed_ba7c);
        rng.set_stream(((epoch as u64) << 32) | number);
        for (draw, image) in draws.iter().zip(images.chunks_exact_mut(size)) {
            let crop = self.crops.get(draw.photo, stage)?;
            let aspect = crop.placement(&preparation).aspect();
            let warp = Warp::random(&self.augmentation, aspect, &mut rng);
            let flip = self.augmentation.flip;
            let flipped = flip > 0.0 && rng.random::<f32>() < flip;
            let degradation = Degradation::random(&self.augmentation, w, &mut rng);
            view(
                &crop,
                &warp,
                draw.mirrored != flipped,
                degradation,
                &preparation,
                image,
            );
            augment::disturb(&self.augmentation, &mut rng, h, w, image);
            preparation.normalise_planes(image);
        }
        Ok(Batch {
            images,
            classes: draws.iter().map(|d| d.class as i64).collect(),
        })
    }

    /// Prepares an epoch's batches ahead, starting at number `from`.
    pub(super) fn prefetch(
        self: &Arc<Self>,
        epoch: usize,
        plan: &Arc<Vec<BatchPlan>>,
        from: usize,
        stage: &Stage,
        workers: usize,
    ) -> Prefetcher<Result<Batch, TrainError>> {
        let (builder, plan, stage) = (self.clone(), plan.clone(), stage.clone());
        let range = (from as u64, plan.len() as u64);
        Prefetcher::new(range, workers, move |number| {
            builder.batch(&plan[number as usize].draws, epoch, number, &stage)
        })
    }
}

fn image_size(preparation: &Preparation) -> usize {
    preparation.channels() * preparation.height as usize * preparation.width as usize
}

/// A view of a crop as levels `[C, H, W]`. A letterbox keeps its place, whatever the warp: what it leaves
/// has the mean colour, as in evaluation.
fn view(
    crop: &Crop,
    warp: &Warp,
    mirrored: bool,
    degradation: Degradation,
    preparation: &Preparation,
    image: &mut [f32],
) {
    let placement = crop.placement(preparation);
    if (placement.height, placement.width) != placement.image {
        let plane = image.len() / preparation.channels();
        for (channel, plane) in image.chunks_exact_mut(plane).enumerate() {
            plane.fill(crop.mean(channel));
        }
    }
    degradation.sample(&crop.source(), warp, mirrored, &placement, image);
}
