//! Photos to batches, ahead of the training step: decoded and prepared once and kept as `u8`, varied on threads of their own.

use super::augment::{self, Warp};
use super::recipe::{Augmentation, Stage};
use super::sampler::{Draw, Planned};
use crate::dataset::{DatasetError, LabelledPhoto};
use flukewatch_common::prepare::Preparation;
use ndarray::Array3;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvError, sync_channel};

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
            let pixels = photo.prepared(preparation)?;
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
    /// Photos as they are, at the stage's size: `[N, C, H, W] f32`, row-major.
    pub fn plain(&self, photos: &[usize], mirrored: bool, stage: &Stage) -> Vec<f32> {
        let (h, w) = (stage.height as usize, stage.width as usize);
        let size = self.preparation.channels() * h * w;
        let mut images = vec![0f32; photos.len() * size];
        images
            .par_chunks_exact_mut(size)
            .zip(photos)
            .for_each(|(image, &photo)| {
                augment::sample(&self.photos[photo], &Warp::STILL, mirrored, h, w, image);
                self.normalise(h * w, image);
            });
        images
    }

    fn normalise(&self, plane: usize, image: &mut [f32]) {
        let numbers = self
            .preparation
            .mean
            .iter()
            .zip(&self.preparation.deviation);
        for (plane, (mean, deviation)) in image.chunks_exact_mut(plane).zip(numbers) {
            for v in plane {
                *v = (*v - mean) / deviation;
            }
        }
    }

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
            self.normalise(h * w, image);
        }
        Batch {
            images,
            classes: draws.iter().map(|d| d.class as i64).collect(),
        }
    }
}

/// An epoch's batches, made ahead of their use by threads of their own, in order.
pub struct Ahead {
    queues: Vec<Receiver<Batch>>,
    from: usize,
    next: usize,
    end: usize,
}

impl Ahead {
    /// Batches `from` and on of `plan`, by `workers` threads, each up to two batches ahead. Dropping it ends them.
    pub fn start(
        making: &Arc<Making>,
        epoch: usize,
        plan: &Arc<Vec<Planned>>,
        from: usize,
        stage: &Stage,
        workers: usize,
    ) -> Self {
        let workers = workers.max(1);
        let queues = (0..workers)
            .map(|worker| {
                let (send, receive) = sync_channel(2);
                let (making, plan, stage) = (making.clone(), plan.clone(), stage.clone());
                std::thread::spawn(move || {
                    let mut number = from + worker;
                    while let Some(planned) = plan.get(number) {
                        let batch = making.batch(&planned.draws, epoch, number, &stage);
                        if send.send(batch).is_err() {
                            return;
                        }
                        number += workers;
                    }
                });
                receive
            })
            .collect();
        Self {
            queues,
            from,
            next: from,
            end: plan.len(),
        }
    }
}

impl Iterator for Ahead {
    /// `Err` when the thread that makes it is gone.
    type Item = Result<Batch, RecvError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.end {
            return None;
        }
        // The first batch is the first worker's, wherever the epoch is taken up.
        let queue = &self.queues[(self.next - self.from) % self.queues.len()];
        self.next += 1;
        Some(queue.recv())
    }
}
