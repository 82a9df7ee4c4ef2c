//! Photos to batches, ahead of the training step: decoded and prepared once and kept as `u8`, varied on a thread of its own.

use super::augment::{self, Warp};
use super::recipe::{Augmentation, Stage};
use super::sampler::Draw;
use crate::dataset::{DatasetError, LabelledPhoto};
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::prepare::Preparation;
use ndarray::Array3;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

/// Decodes and prepares photos to `[H, W, C] u8`, in order.
///
/// # Errors
/// The first photo that cannot be used.
pub fn cache(
    photos: &[&LabelledPhoto],
    preparation: &Preparation,
    done: impl Fn() + Sync,
) -> Result<Vec<Array3<u8>>, DatasetError> {
    photos
        .par_iter()
        .map(|photo| {
            let picture = photo.decode()?;
            let region = photo
                .region
                .unwrap_or_else(|| PixelBox::whole(picture.width(), picture.height()));
            let pixels =
                preparation
                    .pixels(&picture, region)
                    .map_err(|source| DatasetError::Photo {
                        path: photo.path.clone(),
                        source,
                    })?;
            done();
            Ok(pixels)
        })
        .collect()
}

/// Numbers for one step.
pub struct Batch {
    /// `[N, C, H, W] f32`, row-major.
    pub images: Vec<f32>,
    /// `[N]`
    pub classes: Vec<i64>,
}

/// What a batch is made of.
pub struct Making {
    /// Prepared photos.
    pub photos: Arc<Vec<Array3<u8>>>,
    /// How to normalise.
    pub preparation: Preparation,
    /// How to vary.
    pub augmentation: Augmentation,
    /// The seed of the run.
    pub seed: u64,
}

impl Making {
    /// One batch; the same for the same seed, epoch and number, on whichever thread it is made.
    pub fn batch(&self, draws: &[Draw], epoch: usize, number: usize, stage: &Stage) -> Batch {
        let (h, w, c) = (
            stage.height as usize,
            stage.width as usize,
            self.preparation.channels(),
        );
        let size = c * h * w;
        let mut images = vec![0f32; draws.len() * size];
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ 0x5eed_ba7c);
        rng.set_stream(((epoch as u64) << 32) | number as u64);
        for (draw, image) in draws.iter().zip(images.chunks_exact_mut(size)) {
            let warp = Warp::random(&self.augmentation, &mut rng);
            augment::sample(&self.photos[draw.photo], &warp, draw.mirrored, h, w, image);
            augment::disturb(&self.augmentation, &mut rng, h, w, image);
            for (plane, (mean, deviation)) in image.chunks_exact_mut(h * w).zip(
                self.preparation
                    .mean
                    .iter()
                    .zip(&self.preparation.deviation),
            ) {
                for v in plane {
                    *v = (*v - mean) / deviation;
                }
            }
        }
        Batch {
            images,
            classes: draws.iter().map(|d| d.class as i64).collect(),
        }
    }
}

/// Makes an epoch's batches ahead of their use; ends early when the receiver is dropped.
pub fn ahead(
    making: Arc<Making>,
    epoch: usize,
    batches: Vec<Vec<Draw>>,
    stage: Stage,
) -> (Receiver<Batch>, JoinHandle<()>) {
    let (send, receive) = sync_channel(4);
    let thread = std::thread::spawn(move || {
        for (number, draws) in batches.iter().enumerate() {
            if send
                .send(making.batch(draws, epoch, number, &stage))
                .is_err()
            {
                return;
            }
        }
    });
    (receive, thread)
}
