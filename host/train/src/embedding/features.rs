//! The features of all training photos: what clusters and initial class centres are computed from.

use super::batches::BatchBuilder;
use super::network::{EmbeddingPart, Mode, TorchNetwork};
use super::recipe::Stage;
use crate::torch::tensors::{images, values};
use crate::trainer::error::TrainError;
use ndarray::{Array2, ArrayView1};
use tch::Tensor;

/// Photos per forward pass.
const BATCH: usize = 64;

/// Training photos without augmentation, at a stage's size, through a network in evaluation mode.
pub(super) struct TrainingFeatures<'a> {
    pub(super) network: &'a TorchNetwork,
    pub(super) builder: &'a BatchBuilder,
    pub(super) stage: &'a Stage,
    pub(super) photos: usize,
}

impl TrainingFeatures<'_> {
    /// Every photo through `embed`: `[N, D] f32`.
    pub(super) fn points(
        &self,
        embed: impl Fn(&Tensor) -> Tensor,
    ) -> Result<Array2<f32>, TrainError> {
        let (mut data, mut width) = (vec![], 0);
        self.for_each(false, |_, features| {
            let found = values(&embed(features));
            width = found.shape[1];
            data.extend(found.data);
        })?;
        Ok(Array2::from_shape_vec((self.photos, width), data)
            .expect("every photo has a row of the same width"))
    }

    /// The mean embedding of each class, `[classes, D]` for each part of width D. `class_of` is the
    /// class of each plain photo; with mirror classes, a mirrored photo has the next class.
    pub(super) fn class_means(
        &self,
        parts: &[(EmbeddingPart, usize)],
        class_of: &[usize],
        classes: usize,
        mirror_classes: bool,
    ) -> Result<Vec<Array2<f32>>, TrainError> {
        let mut means: Vec<Array2<f32>> = parts
            .iter()
            .map(|&(_, width)| Array2::zeros((classes, width)))
            .collect();
        for view in 0..1 + usize::from(mirror_classes) {
            self.for_each(view == 1, |photos, features| {
                for (means, &(part, _)) in means.iter_mut().zip(parts) {
                    let found = values(&self.network.embedding(features, part));
                    let rows = found.data.chunks_exact(found.shape[1]);
                    for (&photo, row) in photos.iter().zip(rows) {
                        let mut mean = means.row_mut(class_of[photo] + view);
                        mean += &ArrayView1::from(row);
                    }
                }
            })?;
        }
        Ok(means)
    }

    /// Passes positions and features `[n, F]` of all photos to `take`, in order, some at a time.
    fn for_each(
        &self,
        mirrored: bool,
        mut take: impl FnMut(&[usize], &Tensor),
    ) -> Result<(), TrainError> {
        let all: Vec<usize> = (0..self.photos).collect();
        let shape = self.builder.shape(self.stage);
        tch::no_grad(|| {
            for photos in all.chunks(BATCH) {
                let input = images(&self.builder.plain(photos, mirrored, self.stage)?, shape);
                take(photos, &self.network.features(&input, Mode::Evaluate));
            }
            Ok(())
        })
    }
}
